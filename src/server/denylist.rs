//! Denylist of the server: the copy of the revocations that checks use, and its maintenance.
//!
//! SQL is the source of truth. Depending on the configuration there is a copy in memory (SQLite, one
//! process), no copy (PostgreSQL alone), or a copy in Redis that is trusted only while all conditions
//! hold. `docs/denylist.md` explains why no revoked token passes.

use std::fmt;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::clock::{Clock, Time};
use crate::denylist::redis::TargetError;
use crate::denylist::{Denial, Denylist, Unavailable};
use crate::server::config::DatabaseKind;
use crate::server::store::{Store, StoreError};

mod keeper;
mod memory;
#[cfg(test)]
mod model;
mod redis;
mod seed;
mod sql;
mod tail;
#[cfg(test)]
mod tests;
mod trust;

use memory::FollowingDenylist;
use redis::RedisDenylist;
use sql::SqlDenylist;

/// Source of the results of checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// The configured source.
    Good,
    /// SQL, because the copy cannot be trusted now, for this reason.
    AskingSql(String),
    /// None: neither the copy nor SQL can be relied upon.
    Down,
}

/// Denylist that the settings select. Clones share it.
#[derive(Clone)]
pub struct OpenDenylist(Kind);

#[derive(Clone)]
enum Kind {
    Memory(Arc<FollowingDenylist>),
    Sql(Arc<SqlDenylist>),
    Redis(Arc<RedisDenylist>),
}

impl OpenDenylist {
    /// Opens the denylist for this database and this Redis. It does not connect and starts no task:
    /// checks use SQL until the copy is [maintained](Self::keep).
    ///
    /// # Errors
    /// [`TargetError`] when the URL is not a Redis URL.
    pub fn open(
        database: DatabaseKind,
        redis_url: Option<&str>,
        store: Store,
        clock: Clock,
    ) -> Result<Self, TargetError> {
        Ok(Self(match (redis_url, database) {
            (Some(url), _) => Kind::Redis(Arc::new(RedisDenylist::new(url.parse()?, store, clock))),
            (None, DatabaseKind::Postgres) => Kind::Sql(Arc::new(SqlDenylist::new(store, clock))),
            (None, DatabaseKind::Sqlite) => {
                Kind::Memory(Arc::new(FollowingDenylist::new(store, clock)))
            }
        }))
    }

    /// Keeps the copy complete and current until `tasks` is dropped. For the server process; a process
    /// that only denies something and exits, such as the command line, does not need it.
    pub fn keep(&self, tasks: &mut JoinSet<()>) {
        match &self.0 {
            Kind::Memory(list) => {
                list.serve();
                let list = Arc::clone(list);
                tasks.spawn(async move { list.keep_following().await });
            }
            Kind::Sql(_) => {}
            Kind::Redis(list) => {
                list.serve();
                let [sql, redis, seeder, tail] = std::array::from_fn(|_| Arc::clone(list));
                tasks.spawn(async move { keeper::watch_sql(&sql).await });
                tasks.spawn(async move { keeper::watch_redis(&redis).await });
                tasks.spawn(async move { seed::keep_filled(&seeder).await });
                tasks.spawn(async move { keeper::follow_sql(&tail).await });
            }
        }
    }

    /// Returns the denylist for guards.
    pub fn list(&self) -> Arc<dyn Denylist> {
        match &self.0 {
            Kind::Memory(list) => Arc::clone(list) as Arc<dyn Denylist>,
            Kind::Sql(list) => Arc::clone(list) as Arc<dyn Denylist>,
            Kind::Redis(list) => Arc::clone(list) as Arc<dyn Denylist>,
        }
    }

    /// Denies revoked sessions and tokens; the caller has committed the revocation to SQL. Once this
    /// returns `Ok`, every check that starts later sees it, on every replica.
    ///
    /// # Errors
    /// [`Unavailable`] when that cannot be guaranteed.
    pub async fn deny(&self, denials: &[Denial], now: Time) -> Result<(), Unavailable> {
        self.list().deny(denials, now).await
    }

    /// Returns the current source of the results of checks. It does not test SQL itself: ping the store
    /// for that.
    pub fn health(&self) -> Health {
        match &self.0 {
            Kind::Memory(list) => list.health(),
            Kind::Sql(_) => Health::Good,
            Kind::Redis(list) => list.health(),
        }
    }
}

impl fmt::Debug for OpenDenylist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.0 {
            Kind::Memory(_) => "memory",
            Kind::Sql(_) => "sql",
            Kind::Redis(_) => "redis",
        };
        f.debug_tuple("OpenDenylist").field(&kind).finish()
    }
}

fn unavailable(error: StoreError) -> Unavailable {
    Unavailable(Some(Box::new(error)))
}
