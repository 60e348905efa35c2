//! Backfill of Redis from SQL. One process at a time does it; the others use SQL in the meantime.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use redis::RedisError;

use super::redis::RedisDenylist;
use super::tail::{is_last, page_after};
use super::trust::{self, NOTICED};
use crate::denylist::Denial;
use crate::denylist::redis::{Connection, Standing};
use crate::keys::random_id;
use crate::server::error::causes;
use crate::server::store::{Entry, StoreError};

const EVERY: Duration = Duration::from_millis(250);
/// Period in which attempts are counted.
const MEMORY: Duration = Duration::from_mins(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Outcome of a backfill.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The copy is complete.
    Filled { entries: usize },
    /// Another process is backfilling the copy, or has completed it.
    LeftToAnother,
    /// Data was lost during the backfill, or another process took over.
    Undone,
}

/// Failure of a backfill.
#[derive(Debug, thiserror::Error)]
pub(super) enum SeedError {
    #[error("Redis failed")]
    Redis(#[from] RedisError),
    #[error("the database failed")]
    Store(#[from] StoreError),
}

/// Backfills the copy whenever it is needed, without end.
pub(super) async fn keep_filled(list: &RedisDenylist) {
    let mut attempts = Attempts::default();
    loop {
        tokio::time::sleep(EVERY).await;
        if !attempts.allow_another(Instant::now()) {
            continue;
        }
        let Some(connection) = wanting(list) else {
            continue;
        };
        match fill(list, &connection).await {
            Ok(Outcome::LeftToAnother) => continue,
            Ok(Outcome::Filled { entries }) => {
                tracing::info!(entries, "Redis was backfilled from the database");
            }
            Ok(Outcome::Undone) => {
                tracing::info!("the backfill of Redis was aborted; it will be retried");
            }
            Err(error) => tracing::warn!(
                error = causes(&error).join(": "),
                "the backfill of Redis from the database failed"
            ),
        }
        attempts.note(Instant::now());
    }
}

/// End times of recent backfills. Many aborted backfills indicate two servers that both act as master,
/// or two installations in one Redis: each further attempt waits longer.
#[derive(Debug, Default)]
struct Attempts(VecDeque<Instant>);

impl Attempts {
    fn allow_another(&mut self, now: Instant) -> bool {
        self.0.retain(|&then| now.duration_since(then) < MEMORY);
        let wait = wait(self.0.len());
        let last = self.0.back();
        last.is_none_or(|&last| now.duration_since(last) >= wait)
    }

    fn note(&mut self, now: Instant) {
        self.0.push_back(now);
    }
}

fn wait(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts).unwrap_or(u32::MAX).min(10);
    (EVERY * 2_u32.pow(doublings)).min(LONGEST_WAIT)
}

fn wanting(list: &RedisDenylist) -> Option<Connection> {
    let (link, witness) = (list.line.link()?, list.witness()?);
    trust::wants_filling(Some(&witness), Some(&link.standing), list.line.moment())
        .then(|| link.connection.clone())
}

/// Backfills the copy over this one connection: if it breaks, a new connection may lead to another
/// server, so the backfill is lost.
pub(super) async fn fill(
    list: &RedisDenylist,
    connection: &Connection,
) -> Result<Outcome, SeedError> {
    let seeder = random_id();
    if !connection.lock(&seeder).await? {
        return Ok(Outcome::LeftToAnother);
    }
    let outcome = fill_locked(list, connection, &seeder).await;
    if !matches!(outcome, Ok(Outcome::Filled { .. })) {
        // The lock expires by itself; releasing it lets the next process begin sooner.
        let _released = connection.unlock(&seeder).await;
    }
    outcome
}

async fn fill_locked(
    list: &RedisDenylist,
    connection: &Connection,
    seeder: &str,
) -> Result<Outcome, SeedError> {
    // Another process may have finished between the last inspection and the lock.
    let asked = list.line.moment();
    let standing = Standing {
        inspection: connection.inspect().await?,
        asked,
    };
    let witness = list.read_witness().await?;
    if !trust::wants_filling(Some(&witness), Some(&standing), list.line.moment()) {
        return Ok(Outcome::LeftToAnother);
    }
    let epoch = list.begin_epoch(&standing.inspection.identity).await?;
    // From here on no process trusts an earlier epoch. A process that denies something without knowing
    // this epoch has committed the denial to SQL before the first page is read.
    tokio::time::sleep(NOTICED).await;
    if !connection.begin(seeder, &epoch).await? {
        return Ok(Outcome::Undone);
    }
    let mut entries = 0;
    let mut after = 0;
    loop {
        let page = page_after(&list.store, after, list.clock.now()).await?;
        let denials: Vec<Denial> = page.iter().map(|entry| entry.denial.clone()).collect();
        connection.write(&denials, &epoch).await?;
        entries += page.len();
        after = page.last().map_or(after, |entry: &Entry| entry.seq);
        if is_last(&page) {
            break;
        }
        if !connection.go_on(seeder, &epoch).await? {
            return Ok(Outcome::Undone);
        }
    }
    Ok(if connection.finish(seeder, &epoch).await? {
        Outcome::Filled { entries }
    } else {
        Outcome::Undone
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_filling_that_was_undone_lets_the_next_wait_longer() {
        let waits = [0, 1, 2, 5, 6, 7, usize::MAX].map(wait);

        let expected = [250, 500, 1_000, 8_000, 16_000, 30_000, 30_000];
        assert_eq!(waits, expected.map(Duration::from_millis));
    }

    #[test]
    fn attempts_that_are_long_past_are_forgotten() {
        let mut attempts = Attempts::default();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        assert!(attempts.allow_another(start));
        attempts.note(start);
        assert!(!attempts.allow_another(at(499)));
        assert!(attempts.allow_another(at(500)));
        attempts.note(at(500));
        assert!(!attempts.allow_another(at(1_499)));
        assert!(attempts.allow_another(at(1_500)));

        for _ in 0..10 {
            attempts.note(at(1_500));
        }
        assert!(!attempts.allow_another(at(31_499)));
        assert!(attempts.allow_another(at(31_500)));
        attempts.note(at(61_000));
        assert!(!attempts.allow_another(at(61_499)));
        assert!(attempts.allow_another(at(61_500)), "it is the first again");
    }
}
