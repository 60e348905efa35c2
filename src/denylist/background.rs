//! Background tasks in Redis mode: watching SQL, watching Redis, and copying the revocations of other
//! processes.

use std::time::Duration;

use super::redis::RedisDenylist;
use super::revocation_feed::RevocationFeed;
use super::trust::DistrustReason;
use crate::error::error_chain;
use latchet_guard::denylist::redis::{Distrust, IDLE_INTERVAL, RedisHandleError, TrustEvent};

/// Often enough that a lease is renewed although one attempt fails.
const CHECK_EVERY: Duration = Duration::from_millis(250);
/// Interval of the search for denials that no process has written into Redis.
const COPY_EVERY: Duration = Duration::from_secs(1);

/// Keeps the epoch record current, without end.
pub(super) async fn keep_epoch_record_current(list: &RedisDenylist) {
    loop {
        // A failure causes distrust when the lease expires.
        let _failed = list.read_epoch_record().await;
        list.handle.demand().wait(CHECK_EVERY, IDLE_INTERVAL).await;
    }
}

/// Keeps the connection and the inspection of its server current, and logs changes, without end.
pub(super) async fn keep_connection_current(list: &RedisDenylist) {
    let mut trust_log = TrustLog::default();
    list.handle
        .keep_current(|event| match event {
            TrustEvent::Changed(distrust) => trust_log.log_change(distrust),
            TrustEvent::ConnectionFailed(error) => trust_log.log_failure(error),
        })
        .await;
}

/// Copies denials from SQL into Redis whose process ended before it copied them. Without end.
pub(super) async fn copy_missed_denials(list: &RedisDenylist) {
    let mut feed = RevocationFeed::for_any_database();
    loop {
        // Just as often when idle, but then together with other tasks.
        list.handle.demand().wait(COPY_EVERY, COPY_EVERY).await;
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

/// Log of changes of trust in Redis. Each failure to connect is logged once.
#[derive(Debug, Default)]
struct TrustLog {
    last_failure: Option<String>,
}

impl TrustLog {
    fn log_change(&mut self, distrust: Option<&Distrust>) {
        match distrust {
            None => tracing::info!("the denylist in Redis is trusted; checks use it"),
            // Normal at every start and every failover.
            Some(distrust @ (Distrust::NotBackfilled | Distrust::OtherServer)) => {
                let reason = DistrustReason(distrust);
                tracing::info!(%reason, "checks use the database, not Redis");
            }
            Some(distrust) => {
                let reason = DistrustReason(distrust);
                tracing::warn!(%reason, "checks use the database, not Redis");
            }
        }
        if distrust != Some(&Distrust::NotConnected) {
            self.last_failure = None;
        }
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

        trust_log.log_failure(&error);
        trust_log.log_change(Some(&Distrust::NotConnected));
        trust_log.log_failure(&error);
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
}
