//! Background tasks in Redis mode: watching SQL, watching Redis, and copying the revocations of other
//! processes.

use std::time::{Duration, Instant};

use super::redis::RedisDenylist;
use super::tail::Tail;
use super::trust::Doubt;
use crate::backoff::Backoff;
use crate::denylist::redis::{Link, LinkError};
use crate::server::error::causes;

/// Often enough that a lease is renewed although one attempt fails.
const EVERY: Duration = Duration::from_millis(250);
/// Interval of renewals of the epoch marker; much shorter than its lifetime.
const VOUCH_EVERY: Duration = Duration::from_secs(5);
/// Interval of the search for denials that no process has written into Redis.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);
/// Pause between two attempts to connect: the first and the longest.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Keeps the epoch record current, without end.
pub(super) async fn watch_sql(list: &RedisDenylist) {
    loop {
        // A failure causes distrust when the lease expires.
        let _failed = list.read_witness().await;
        tokio::time::sleep(EVERY).await;
    }
}

/// Keeps a connection and the inspection of its server current, without end.
pub(super) async fn watch_redis(list: &RedisDenylist) {
    let mut backoff = Backoff::new(RECONNECT.0, RECONNECT.1);
    let mut vouched = None;
    let mut log = DoubtLog::default();
    loop {
        let pause = match list.line.link() {
            Some(link) => {
                watch_link(list, &link, &mut vouched).await;
                EVERY
            }
            None => match list.line.connect().await {
                Ok(_) => {
                    backoff.reset();
                    Duration::ZERO
                }
                Err(error) => {
                    log.note_failure(&error);
                    backoff.wait()
                }
            },
        };
        log.note(list.doubt());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = list.line.dropped() => {}
        }
    }
}

async fn watch_link(list: &RedisDenylist, link: &Link, vouched: &mut Option<Instant>) {
    let Ok(link) = list.line.inspect_again(link).await else {
        return;
    };
    if is_to_vouch(*vouched, Instant::now(), list.doubt().as_ref()) {
        match link.connection.vouch().await {
            Ok(()) => *vouched = Some(Instant::now()),
            Err(_) => list.line.drop_link(&link),
        }
    }
}

/// The marker of a distrusted copy is never renewed: readers without SQL would trust the copy.
fn is_to_vouch(vouched: Option<Instant>, now: Instant, doubt: Option<&Doubt>) -> bool {
    let is_due = vouched.is_none_or(|then| now.duration_since(then) >= VOUCH_EVERY);
    is_due && doubt.is_none()
}

/// Copies denials from SQL into Redis whose process ended before it copied them. Without end.
pub(super) async fn follow_sql(list: &RedisDenylist) {
    let mut tail = Tail::of_any();
    loop {
        tokio::time::sleep(FOLLOW_EVERY).await;
        let Some(link) = list.line.link() else {
            continue;
        };
        while let Ok(unread) = tail.read(&list.store, list.clock.now()).await {
            if link.connection.write(&unread.denials, "").await.is_err() {
                list.line.drop_link(&link);
                break;
            }
            if tail.take(unread).is_some() {
                break;
            }
        }
    }
}

/// Log of changes of trust in Redis: each reason for distrust, and each recovery, is logged once.
#[derive(Debug, Default)]
struct DoubtLog {
    said: Option<Doubt>,
    failure: Option<String>,
}

impl DoubtLog {
    fn note(&mut self, doubt: Option<Doubt>) {
        if self.said == doubt {
            return;
        }
        match &doubt {
            None => tracing::info!("the denylist in Redis is trusted; checks use it"),
            // Normal at every start and every failover.
            Some(doubt @ (Doubt::NotFilled | Doubt::OtherServer)) => {
                tracing::info!(reason = %doubt, "checks use the database, not Redis");
            }
            Some(doubt) => tracing::warn!(reason = %doubt, "checks use the database, not Redis"),
        }
        if doubt != Some(Doubt::NotConnected) {
            self.failure = None;
        }
        self.said = doubt;
    }

    fn note_failure(&mut self, error: &LinkError) {
        let text = causes(error).join(": ");
        if self.failure.as_ref() != Some(&text) {
            tracing::warn!(error = text, "Redis connection failed");
            self.failure = Some(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::logging::captured::Captured;

    #[test]
    fn why_redis_is_away_is_told_once_each_time_it_goes() {
        let log = Captured::begin();
        let mut doubts = DoubtLog::default();
        let error = LinkError::Inspect((redis::ErrorKind::Io, "refused").into());

        for _ in 0..2 {
            doubts.note_failure(&error);
            doubts.note(Some(Doubt::NotConnected));
        }
        doubts.note(None);
        doubts.note_failure(&error);

        let lines = log.lines();
        let told = lines.iter().map(|line| line["message"].as_str().unwrap());
        let told: Vec<&str> = told.collect();
        let wanted = [
            "Redis connection failed",
            "checks use the database, not Redis",
            "the denylist in Redis is trusted; checks use it",
            "Redis connection failed",
        ];
        assert_eq!(told, wanted);
    }

    #[test]
    fn a_copy_is_vouched_for_now_and_then_unless_it_is_doubted() {
        let then = Instant::now();
        let after = |time: Duration, doubt| is_to_vouch(Some(then), then + time, doubt);

        assert!(is_to_vouch(None, then, None));
        assert!(after(VOUCH_EVERY, None));
        assert!(!after(Duration::from_millis(4_999), None));
        assert!(!after(VOUCH_EVERY, Some(&Doubt::NotFilled)));
        assert!(!is_to_vouch(None, then, Some(&Doubt::OtherServer)));
    }
}
