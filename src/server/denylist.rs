//! Which copy of the revocations checks ask, and what keeps that copy right.
//!
//! SQL is the truth. Beside it stands, by configuration, a copy in memory (SQLite, one process), no
//! copy at all (PostgreSQL alone), or a copy in Redis that is believed only as long as nothing
//! speaks against it. `docs/denylist.md` argues why no revoked token passes.

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

/// Where checks are answered now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// As configured.
    Good,
    /// By SQL, because the copy in Redis is not to be believed now, for this reason.
    AskingSql(String),
    /// Nowhere: neither the copy nor SQL can be relied upon.
    Down,
}

/// The denylist that the settings choose. Clones share it.
#[derive(Clone)]
pub struct OpenDenylist(Kind);

#[derive(Clone)]
enum Kind {
    Memory(Arc<FollowingDenylist>),
    Sql(Arc<SqlDenylist>),
    Redis(Arc<RedisDenylist>),
}

impl OpenDenylist {
    /// Opens the denylist that goes with this database and this Redis. Nothing is connected to and
    /// nothing runs yet: checks ask SQL until the copy is [kept](Self::keep).
    ///
    /// # Errors
    /// [`TargetError`] when the URL names no Redis.
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

    /// Keeps the copy filled and current until `tasks` goes. For the process that answers requests;
    /// one that only denies something and ends, as the command line does, works without.
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

    /// Returns what guards ask.
    pub fn list(&self) -> Arc<dyn Denylist> {
        match &self.0 {
            Kind::Memory(list) => Arc::clone(list) as Arc<dyn Denylist>,
            Kind::Sql(list) => Arc::clone(list) as Arc<dyn Denylist>,
            Kind::Redis(list) => Arc::clone(list) as Arc<dyn Denylist>,
        }
    }

    /// Denies what was revoked; the caller has committed that to SQL. Once this returns `Ok`, every
    /// check that starts later sees it, on every replica.
    ///
    /// # Errors
    /// [`Unavailable`] when that cannot be promised.
    pub async fn deny(&self, denials: &[Denial], now: Time) -> Result<(), Unavailable> {
        self.list().deny(denials, now).await
    }

    /// Returns where checks are answered now. SQL itself is not asked: whoever wants to know pings
    /// the store.
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
