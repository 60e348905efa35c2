//! Use of the connections, for metrics.

use super::{StoreConnections, sqlite_file};
use crate::config::{DatabaseKind, DatabaseUrl};
use crate::store::database::DatabaseHandle;

/// Use of a pool of connections at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    /// Name of the pool: `shared` on PostgreSQL, `writer`, `reader` and `reserved` on SQLite.
    pub pool: &'static str,
    /// Number of connections in use.
    pub in_use: usize,
    /// Number of connections that are open and not in use.
    pub idle: usize,
    /// Maximum number of connections.
    pub max: usize,
    /// Number of requests that wait for a connection; `None` on SQLite, whose driver does not count them.
    pub waiting: Option<usize>,
}

impl StoreConnections {
    /// Returns the use of each pool.
    pub(in crate::store) fn pool_status(&self) -> Vec<PoolStatus> {
        if let DatabaseHandle::Postgres(pool, _) = &self.writer {
            return vec![pool.status()];
        }
        let pools = [
            ("writer", &self.writer),
            ("reader", &self.reader),
            ("reserved", &self.reserved),
        ];
        let pools = pools.into_iter();
        pools
            .filter_map(|(name, handle)| sqlite_status(name, handle))
            .collect()
    }
}

fn sqlite_status(name: &'static str, handle: &DatabaseHandle) -> Option<PoolStatus> {
    let DatabaseHandle::Sqlite(db) = handle else {
        return None;
    };
    let pool = db.get_sqlite_connection_pool();
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let idle = pool.num_idle();
    Some(PoolStatus {
        pool: name,
        in_use: count(pool.size()).saturating_sub(idle),
        idle,
        max: count(pool.options().get_max_connections()),
        waiting: None,
    })
}

/// Returns the free space on the disk of a SQLite file, for programs without special rights; `None` for
/// PostgreSQL.
pub fn free_disk_bytes(url: &DatabaseUrl) -> Option<u64> {
    if url.kind() != DatabaseKind::Sqlite {
        return None;
    }
    let file = sqlite_file(url.expose()).ok()?;
    let disk = rustix::fs::statvfs(&file).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}
