//! Backfill of Redis from SQL. One process at a time does it; the others use SQL in the meantime.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use redis::RedisError;

use super::redis::RedisDenylist;
use super::revocation_feed::{is_last_page, read_page};
use super::trust::{self, PROPAGATION_DELAY};
use crate::error::error_chain;
use crate::store::{NumberedDenial, StoreError};
use latchet_guard::denylist::Denial;
use latchet_guard::denylist::redis::{RedisConnection, ServerStatus};
use latchet_guard::keys::random_id;

const CHECK_EVERY: Duration = Duration::from_millis(250);
/// The same while no check of this process asks for the copy. Services may ask for it meanwhile.
const CHECK_EVERY_WHEN_IDLE: Duration = Duration::from_secs(1);
/// Period in which attempts are counted.
const ATTEMPT_WINDOW: Duration = Duration::from_mins(1);
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Outcome of a backfill.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BackfillOutcome {
    /// The copy is complete.
    Completed { entries: usize },
    /// Another process is backfilling the copy, or has completed it.
    NotNeeded,
    /// Data was lost during the backfill, or another process took over.
    Aborted,
}

/// Failure of a backfill.
#[derive(Debug, thiserror::Error)]
pub(super) enum BackfillError {
    #[error("Redis failed")]
    Redis(#[from] RedisError),
    #[error("the database failed")]
    Store(#[from] StoreError),
}

/// Backfills the copy whenever it is needed, without end.
pub(super) async fn keep_backfilled(list: &RedisDenylist) {
    let mut attempts = RecentBackfills::default();
    loop {
        list.handle
            .demand()
            .wait(CHECK_EVERY, CHECK_EVERY_WHEN_IDLE)
            .await;
        if !attempts.allow_attempt(Instant::now()) {
            continue;
        }
        let Some(connection) = connection_to_backfill(list) else {
            continue;
        };
        match backfill(list, &connection).await {
            Ok(BackfillOutcome::NotNeeded) => continue,
            Ok(BackfillOutcome::Completed { entries }) => {
                tracing::info!(entries, "Redis was backfilled from the database");
            }
            Ok(BackfillOutcome::Aborted) => {
                tracing::info!("the backfill of Redis was aborted; it will be retried");
            }
            Err(error) => tracing::warn!(
                error = error_chain(&error).join(": "),
                "the backfill of Redis from the database failed"
            ),
        }
        attempts.record(Instant::now());
    }
}

/// End times of recent backfills. Many aborted backfills indicate two servers that both act as master,
/// or two installations in one Redis: each further attempt waits longer.
#[derive(Debug, Default)]
struct RecentBackfills(VecDeque<Instant>);

impl RecentBackfills {
    fn allow_attempt(&mut self, now: Instant) -> bool {
        self.0
            .retain(|&then| now.duration_since(then) < ATTEMPT_WINDOW);
        let pause = wait_after(self.0.len());
        let last_attempt = self.0.back();
        last_attempt.is_none_or(|&last_attempt| now.duration_since(last_attempt) >= pause)
    }

    fn record(&mut self, now: Instant) {
        self.0.push_back(now);
    }
}

fn wait_after(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts).unwrap_or(u32::MAX).min(10);
    (CHECK_EVERY * 2_u32.pow(doublings)).min(MAX_WAIT)
}

fn connection_to_backfill(list: &RedisDenylist) -> Option<RedisConnection> {
    let inspected = list.handle.current()?;
    trust::needs_backfill(
        list.handle.authority(),
        &inspected.server_status,
        list.handle.now(),
    )
    .then(|| inspected.connection.clone())
}

/// Backfills the copy over this one connection: if it breaks, a new connection may lead to another
/// server, so the backfill is lost.
pub(super) async fn backfill(
    list: &RedisDenylist,
    connection: &RedisConnection,
) -> Result<BackfillOutcome, BackfillError> {
    let owner = random_id();
    if !connection.acquire_backfill_lock(&owner).await? {
        return Ok(BackfillOutcome::NotNeeded);
    }
    let outcome = backfill_locked(list, connection, &owner).await;
    if !matches!(outcome, Ok(BackfillOutcome::Completed { .. })) {
        // The lock expires by itself; releasing it lets the next process begin sooner.
        let _released = connection.release_backfill_lock(&owner).await;
    }
    outcome
}

async fn backfill_locked(
    list: &RedisDenylist,
    connection: &RedisConnection,
    owner: &str,
) -> Result<BackfillOutcome, BackfillError> {
    // Another process may have finished between the last inspection and the lock.
    let requested_at = list.handle.now();
    let server_status = ServerStatus {
        server_info: connection.inspect().await?,
        requested_at,
    };
    list.read_epoch_record().await?;
    if !trust::needs_backfill(list.handle.authority(), &server_status, list.handle.now()) {
        return Ok(BackfillOutcome::NotNeeded);
    }
    let epoch = list
        .begin_epoch(&server_status.server_info.identity)
        .await?;
    // From here on no process trusts an earlier epoch. A process that denies something without knowing
    // this epoch has committed the denial to SQL before the first page is read.
    tokio::time::sleep(PROPAGATION_DELAY).await;
    if !connection.begin_backfill(owner, &epoch).await? {
        return Ok(BackfillOutcome::Aborted);
    }
    let mut entries = 0;
    let mut after = 0;
    loop {
        let page = read_page(&list.store, after, list.clock.now()).await?;
        let denials: Vec<Denial> = page.iter().map(|entry| entry.denial.clone()).collect();
        connection.write_denials(&denials, &epoch).await?;
        entries += page.len();
        after = page
            .last()
            .map_or(after, |entry: &NumberedDenial| entry.seq);
        if is_last_page(&page) {
            break;
        }
        if !connection.continue_backfill(owner, &epoch).await? {
            return Ok(BackfillOutcome::Aborted);
        }
    }
    Ok(if connection.finish_backfill(owner, &epoch).await? {
        BackfillOutcome::Completed { entries }
    } else {
        BackfillOutcome::Aborted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_aborted_backfill_increases_the_wait() {
        let waits = [0, 1, 2, 5, 6, 7, usize::MAX].map(wait_after);

        let expected = [250, 500, 1_000, 8_000, 16_000, 30_000, 30_000];
        assert_eq!(waits, expected.map(Duration::from_millis));
    }

    #[test]
    fn old_backfill_attempts_are_not_counted() {
        let mut attempts = RecentBackfills::default();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        assert!(attempts.allow_attempt(start));
        attempts.record(start);
        assert!(!attempts.allow_attempt(at(499)));
        assert!(attempts.allow_attempt(at(500)));
        attempts.record(at(500));
        assert!(!attempts.allow_attempt(at(1_499)));
        assert!(attempts.allow_attempt(at(1_500)));

        for _ in 0..10 {
            attempts.record(at(1_500));
        }
        assert!(!attempts.allow_attempt(at(31_499)));
        assert!(attempts.allow_attempt(at(31_500)));
        attempts.record(at(61_000));
        assert!(!attempts.allow_attempt(at(61_499)));
        assert!(attempts.allow_attempt(at(61_500)), "it is the first again");
    }
}
