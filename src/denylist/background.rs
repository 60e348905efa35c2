//! Background tasks in Redis mode: watching SQL, watching Redis, and copying the revocations of other
//! processes.

use std::time::{Duration, Instant};

use super::redis::RedisDenylist;
use super::revocation_feed::RevocationFeed;
use super::trust::Distrust;
use crate::error::error_chain;
use latchet_guard::backoff::Backoff;
use latchet_guard::denylist::redis::{InspectedConnection, RedisHandleError};

/// Often enough that a lease is renewed although one attempt fails.
const CHECK_EVERY: Duration = Duration::from_millis(250);
/// Interval of renewals of the epoch marker; much shorter than its lifetime.
const RENEW_MARKER_EVERY: Duration = Duration::from_secs(5);
/// Interval of the search for denials that no process has written into Redis.
const COPY_EVERY: Duration = Duration::from_secs(1);
/// Pause between two attempts to connect: the first and the longest.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Keeps the epoch record current, without end.
pub(super) async fn keep_epoch_record_current(list: &RedisDenylist) {
    loop {
        // A failure causes distrust when the lease expires.
        let _failed = list.read_epoch_record().await;
        tokio::time::sleep(CHECK_EVERY).await;
    }
}

/// Keeps a connection and the inspection of its server current, without end.
pub(super) async fn keep_connection_current(list: &RedisDenylist) {
    let mut backoff = Backoff::new(RECONNECT.0, RECONNECT.1);
    let mut renewed_at = None;
    let mut trust_log = TrustLog::default();
    loop {
        let pause = match list.handle.current() {
            Some(inspected) => {
                inspect_and_renew(list, &inspected, &mut renewed_at).await;
                CHECK_EVERY
            }
            None => match list.handle.connect().await {
                Ok(_) => {
                    backoff.reset();
                    Duration::ZERO
                }
                Err(error) => {
                    trust_log.log_failure(&error);
                    backoff.wait()
                }
            },
        };
        trust_log.log_change(list.distrust());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = list.handle.connection_dropped() => {}
        }
    }
}

async fn inspect_and_renew(
    list: &RedisDenylist,
    inspected: &InspectedConnection,
    renewed_at: &mut Option<Instant>,
) {
    let Ok(inspected) = list.handle.reinspect(inspected).await else {
        return;
    };
    if is_renewal_due(*renewed_at, Instant::now(), list.distrust().as_ref()) {
        match inspected.connection.renew_marker().await {
            Ok(()) => *renewed_at = Some(Instant::now()),
            Err(_) => list.handle.drop_connection(&inspected),
        }
    }
}

/// The marker of a distrusted copy is never renewed: readers without SQL would trust the copy.
fn is_renewal_due(renewed_at: Option<Instant>, now: Instant, distrust: Option<&Distrust>) -> bool {
    let is_due = renewed_at.is_none_or(|then| now.duration_since(then) >= RENEW_MARKER_EVERY);
    is_due && distrust.is_none()
}

/// Copies denials from SQL into Redis whose process ended before it copied them. Without end.
pub(super) async fn copy_missed_denials(list: &RedisDenylist) {
    let mut feed = RevocationFeed::for_any_database();
    loop {
        tokio::time::sleep(COPY_EVERY).await;
        let Some(inspected) = list.handle.current() else {
            continue;
        };
        while let Ok(page) = feed.next_page(&list.store, list.clock.now()).await {
            if inspected
                .connection
                .write_denials(&page.denials, "")
                .await
                .is_err()
            {
                list.handle.drop_connection(&inspected);
                break;
            }
            if feed.acknowledge(page).is_some() {
                break;
            }
        }
    }
}

/// Log of changes of trust in Redis: each reason for distrust, and each recovery, is logged once.
#[derive(Debug, Default)]
struct TrustLog {
    last_logged: Option<Distrust>,
    last_failure: Option<String>,
}

impl TrustLog {
    fn log_change(&mut self, distrust: Option<Distrust>) {
        if self.last_logged == distrust {
            return;
        }
        match &distrust {
            None => tracing::info!("the denylist in Redis is trusted; checks use it"),
            // Normal at every start and every failover.
            Some(distrust @ (Distrust::NotBackfilled | Distrust::OtherServer)) => {
                tracing::info!(reason = %distrust, "checks use the database, not Redis");
            }
            Some(distrust) => {
                tracing::warn!(reason = %distrust, "checks use the database, not Redis");
            }
        }
        if distrust != Some(Distrust::NotConnected) {
            self.last_failure = None;
        }
        self.last_logged = distrust;
    }

    fn log_failure(&mut self, error: &RedisHandleError) {
        let text = error_chain(error).join(": ");
        if self.last_failure.as_ref() != Some(&text) {
            tracing::warn!(error = text, "Redis connection failed");
            self.last_failure = Some(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::captured_log::CapturedLog;

    #[test]
    fn each_connection_failure_is_logged_once() {
        let captured = CapturedLog::begin();
        let mut trust_log = TrustLog::default();
        let error = RedisHandleError::Inspect((redis::ErrorKind::Io, "refused").into());

        for _ in 0..2 {
            trust_log.log_failure(&error);
            trust_log.log_change(Some(Distrust::NotConnected));
        }
        trust_log.log_change(None);
        trust_log.log_failure(&error);

        let lines = captured.lines();
        let messages = lines.iter().map(|line| line["message"].as_str().unwrap());
        let messages: Vec<&str> = messages.collect();
        let expected = [
            "Redis connection failed",
            "checks use the database, not Redis",
            "the denylist in Redis is trusted; checks use it",
            "Redis connection failed",
        ];
        assert_eq!(messages, expected);
    }

    #[test]
    fn the_marker_is_renewed_regularly_while_redis_is_trusted() {
        let then = Instant::now();
        let after = |time: Duration, distrust| is_renewal_due(Some(then), then + time, distrust);

        assert!(is_renewal_due(None, then, None));
        assert!(after(RENEW_MARKER_EVERY, None));
        assert!(!after(Duration::from_millis(4_999), None));
        assert!(!after(RENEW_MARKER_EVERY, Some(&Distrust::NotBackfilled)));
        assert!(!is_renewal_due(None, then, Some(&Distrust::OtherServer)));
    }
}
