//! Denylist of the server: the copy of the revocations that checks use, and its maintenance.
//!
//! SQL is the source of truth. Depending on the configuration there is a copy in memory (SQLite, one
//! process), no copy (PostgreSQL alone), or a copy in Redis that is trusted only while all conditions
//! hold. `docs/explanation/redis-trust.md` explains why no revoked token passes.

use std::fmt;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::config::DatabaseKind;
use crate::store::{DenylistEpoch, Store, StoreError};
use latchet_guard::clock::{Clock, Time};
use latchet_guard::denylist::redis::{RedisUrlError, new_epoch};
use latchet_guard::denylist::{Denial, Denylist, DenylistUnavailable};

mod backfill;
mod background;
#[cfg(test)]
mod model;
mod redis;
mod replicated_memory;
mod revocation_feed;
mod sql;
#[cfg(test)]
mod tests;
mod trust;

use redis::RedisDenylist;
use replicated_memory::ReplicatedMemoryDenylist;
use sql::SqlDenylist;
pub(crate) use trust::PROPAGATION_DELAY;

/// Source of the results of checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DenylistHealth {
    /// The configured source.
    Healthy,
    /// SQL, because the copy cannot be trusted now, for this reason.
    UsingSql(String),
    /// None: neither the copy nor SQL can be relied upon.
    Unavailable,
}

/// Denylist that the settings select. Clones share it.
#[derive(Clone)]
pub struct DenylistBackend(BackendKind);

#[derive(Clone)]
enum BackendKind {
    Memory(Arc<ReplicatedMemoryDenylist>),
    Sql(Arc<SqlDenylist>),
    Redis(Arc<RedisDenylist>),
}

impl DenylistBackend {
    /// Opens the denylist for this database and this Redis. It does not connect and starts no task:
    /// checks use SQL until the copy is [maintained](Self::maintain).
    ///
    /// # Errors
    /// [`RedisUrlError`] when the URL is not a Redis URL.
    pub fn open(
        database: DatabaseKind,
        redis_url: Option<&str>,
        store: Store,
        clock: Clock,
    ) -> Result<Self, RedisUrlError> {
        Ok(Self(match (redis_url, database) {
            (Some(url), _) => {
                BackendKind::Redis(Arc::new(RedisDenylist::new(url.parse()?, store, clock)))
            }
            (None, DatabaseKind::Postgres) => {
                BackendKind::Sql(Arc::new(SqlDenylist::new(store, clock)))
            }
            (None, DatabaseKind::Sqlite) => {
                BackendKind::Memory(Arc::new(ReplicatedMemoryDenylist::new(store, clock)))
            }
        }))
    }

    /// Keeps the copy complete and current until `tasks` is dropped. For the server process; a process
    /// that only denies something and exits, such as the command line, does not need it.
    pub fn maintain(&self, tasks: &mut JoinSet<()>) {
        match &self.0 {
            BackendKind::Memory(list) => {
                list.mark_as_server();
                let list = Arc::clone(list);
                tasks.spawn(async move { list.keep_replicating().await });
            }
            BackendKind::Sql(_) => {}
            BackendKind::Redis(list) => {
                list.mark_as_server();
                // What wakes up at the same moments is one task: two would wake up two threads.
                let [trust, copy] = std::array::from_fn(|_| Arc::clone(list));
                tasks.spawn(async move {
                    let sql = background::keep_epoch_record_current(&trust);
                    tokio::join!(sql, background::keep_connection_current(&trust));
                });
                tasks.spawn(async move {
                    let backfill = backfill::keep_backfilled(&copy);
                    tokio::join!(backfill, background::copy_missed_denials(&copy));
                });
            }
        }
    }

    /// Returns the denylist for guards.
    pub fn list(&self) -> Arc<dyn Denylist> {
        match &self.0 {
            BackendKind::Memory(list) => Arc::clone(list) as Arc<dyn Denylist>,
            BackendKind::Sql(list) => Arc::clone(list) as Arc<dyn Denylist>,
            BackendKind::Redis(list) => Arc::clone(list) as Arc<dyn Denylist>,
        }
    }

    /// Denies revoked sessions and tokens; the caller has committed the revocation to SQL. Once this
    /// returns `Ok`, every check that starts later sees it, on every replica.
    ///
    /// # Errors
    /// [`DenylistUnavailable`] when that cannot be guaranteed.
    pub async fn deny(&self, denials: &[Denial], now: Time) -> Result<(), DenylistUnavailable> {
        // A backend may wait until other processes follow: a start of the server would wait for nothing.
        if denials.is_empty() {
            return Ok(());
        }
        self.list().deny(denials, now).await
    }

    /// Returns whether there is a connection to Redis; `None` where the settings name no Redis.
    pub fn is_redis_connected(&self) -> Option<bool> {
        match &self.0 {
            BackendKind::Memory(_) | BackendKind::Sql(_) => None,
            BackendKind::Redis(list) => Some(list.handle.current().is_some()),
        }
    }

    /// Returns the current source of the results of checks. It does not test SQL itself: ping the store
    /// for that.
    pub fn health(&self) -> DenylistHealth {
        match &self.0 {
            BackendKind::Memory(list) => list.health(),
            BackendKind::Sql(_) => DenylistHealth::Healthy,
            BackendKind::Redis(list) => list.health(),
        }
    }
}

impl fmt::Debug for DenylistBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.0 {
            BackendKind::Memory(_) => "memory",
            BackendKind::Sql(_) => "sql",
            BackendKind::Redis(_) => "redis",
        };
        f.debug_tuple("DenylistBackend").field(&kind).finish()
    }
}

/// Returns an epoch that begins now and has no copy: no process trusts a copy of an earlier one, once
/// [`PROPAGATION_DELAY`] has passed.
pub(crate) fn epoch_without_copy(now: Time) -> DenylistEpoch {
    DenylistEpoch {
        epoch: new_epoch(""),
        run_id: String::new(),
        changed_at: now,
    }
}

fn unavailable(error: StoreError) -> DenylistUnavailable {
    DenylistUnavailable(Some(Box::new(error)))
}
