//! State of SQL, the Redis servers and the replicas, and the events that change it.

use std::fmt;
use std::time::{Duration, Instant};

use super::steps::{BackfillProgress, LogoutProgress, RefreshProgress};
use super::token_check::PendingLookup;
use crate::rotation::{SessionState, Superseded};
use latchet_guard::clock::Time;
use latchet_guard::denylist::redis::{DualInstant, EpochRecord, LEASE, ServerInfo, ServerStatus};

const START: Time = Time::from_millis(0);

/// Increases; the code's epochs are random, and only compared for equality.
pub(super) type Epoch = u8;

pub(super) const FIRST_EPOCH: Epoch = 1;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) sql: Database,
    /// The current master.
    pub(super) master: RedisServer,
    /// The master before the failover, partitioned: existing connections to it remain.
    pub(super) deposed: Option<RedisServer>,
    /// Number of servers so far.
    pub(super) runs: u8,
    /// Number of data losses so far.
    pub(super) losses: u8,
    pub(super) replicas: [Replica; 2],
    /// Logout on the replica with the same index.
    pub(super) logouts: [LogoutProgress; 2],
    /// Check that began after the response to the logout, and waits for Redis.
    pub(super) check: Option<PendingLookup>,
    pub(super) refresh: RefreshProgress,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Database {
    pub(super) is_up: bool,
    pub(super) outages: u8,
    /// The session of the tabs.
    pub(super) session: SessionState,
    pub(super) row: EpochRow,
}

/// Row with the backfill of Redis that may be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct EpochRow {
    pub(super) epoch: Epoch,
    pub(super) backfilled_server: Option<ServerIdentity>,
}

/// Identity of a server and its data, from its `INFO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ServerIdentity {
    /// Stands for `run_id` and `master_replid`.
    pub(super) server_run: u8,
    pub(super) evictions: u8,
}

impl fmt::Display for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.server_run, self.evictions)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RedisServer {
    pub(super) identity: ServerIdentity,
    /// True if it holds the denial of the tabs' session.
    pub(super) is_denied: bool,
    pub(super) epoch_marker: EpochMarker,
    /// Replica that holds the backfill lock.
    pub(super) backfill_owner: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum EpochMarker {
    None,
    Incomplete(Epoch),
    Complete(Epoch),
}

impl EpochMarker {
    pub(super) fn is_complete_after(self, epoch: Epoch) -> bool {
        matches!(self, Self::Complete(backfilled_server) if backfilled_server > epoch)
    }
}

/// Row from SQL, and whether it was read within the last lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct LeasedRow {
    pub(super) row: EpochRow,
    pub(super) is_current: bool,
}

impl LeasedRow {
    pub(super) fn now(row: EpochRow) -> Self {
        Self {
            row,
            is_current: true,
        }
    }

    /// Time of the read, relative to `now`.
    fn requested_at(self, now: DualInstant) -> DualInstant {
        let over = DualInstant {
            time: now.time - 2 * LEASE,
            ..now
        };
        if self.is_current { now } else { over }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Replica {
    pub(super) epoch_record: LeasedRow,
    /// Connected server, as inspected within the last lease. A server that does not respond for longer
    /// counts as disconnected: checks do not use it, and logouts inspect it again, as after connecting.
    pub(super) connected_to: Option<ServerIdentity>,
    pub(super) backfill: Option<BackfillProgress>,
}

pub(super) fn now() -> DualInstant {
    DualInstant {
        instant: Instant::now(),
        time: Time::from_secs(1_000),
    }
}

/// The record as the production code represents it.
pub(super) fn epoch_record(known: LeasedRow, now: DualInstant) -> EpochRecord {
    EpochRecord {
        epoch: known.row.epoch.to_string(),
        backfilled_server: known
            .row
            .backfilled_server
            .map_or(String::new(), |backfilled_server| {
                backfilled_server.to_string()
            }),
        requested_at: known.requested_at(now),
    }
}

/// The server status as the production code represents it.
pub(super) fn server_status(
    identity: ServerIdentity,
    epoch_marker: EpochMarker,
    now: DualInstant,
) -> ServerStatus {
    let epoch_marker = match epoch_marker {
        EpochMarker::None => None,
        EpochMarker::Incomplete(epoch) => Some(format!("filling:{epoch}")),
        EpochMarker::Complete(epoch) => Some(epoch.to_string()),
    };
    ServerStatus {
        server_info: ServerInfo {
            identity: identity.to_string(),
            unsuitable: None,
            time: now.time,
            epoch_marker,
            marker_age: None,
        },
        requested_at: now,
    }
}

impl World {
    /// Both replicas have the row and are connected to the server.
    pub(super) fn new(row: EpochRow, master: RedisServer) -> Self {
        let replica = Replica {
            epoch_record: LeasedRow::now(row),
            connected_to: Some(master.identity),
            backfill: None,
        };
        Self {
            sql: Database {
                is_up: true,
                outages: 0,
                session: SessionState {
                    generation: 0,
                    rotated_at: START,
                    superseded: Superseded::default(),
                    retry_key: None,
                    expires_at: START + Duration::from_hours(1),
                    idle_limit: Duration::from_hours(1),
                    revoked: None,
                },
                row,
            },
            runs: master.identity.server_run,
            master,
            deposed: None,
            losses: 0,
            replicas: [replica.clone(), replica],
            logouts: [LogoutProgress::None; 2],
            check: None,
            refresh: RefreshProgress::None,
        }
    }

    pub(super) fn server(&self, server_run: u8) -> Option<&RedisServer> {
        let servers = [Some(&self.master), self.deposed.as_ref()];
        servers
            .into_iter()
            .flatten()
            .find(|server| server.identity.server_run == server_run)
    }

    pub(super) fn server_mut(&mut self, server_run: u8) -> Option<&mut RedisServer> {
        let servers = [Some(&mut self.master), self.deposed.as_mut()];
        servers
            .into_iter()
            .flatten()
            .find(|server| server.identity.server_run == server_run)
    }

    /// Returns the server of the replica's connection.
    pub(super) fn connected_server(&self, replica: usize) -> Option<&RedisServer> {
        self.server(self.replicas[replica].connected_to?.server_run)
    }

    /// Returns whether no replica relies on an earlier epoch. Leases are shorter than the wait of the
    /// code, so that wait ends when this is true, or later.
    pub(super) fn has_propagated(&self, epoch: Epoch) -> bool {
        self.replicas
            .iter()
            .map(|replica| replica.epoch_record)
            .all(|epoch_record| !epoch_record.is_current || epoch_record.row.epoch >= epoch)
    }

    pub(super) fn read_epoch_record(&mut self, replica: usize) {
        self.replicas[replica].epoch_record = LeasedRow::now(self.sql.row);
    }

    pub(super) fn begin_epoch(&mut self, backfilled_server: Option<ServerIdentity>) -> Epoch {
        let epoch = self.sql.row.epoch + 1;
        self.sql.row = EpochRow {
            epoch,
            backfilled_server,
        };
        epoch
    }

    pub(super) fn flush(&mut self) {
        self.losses += 1;
        self.master.is_denied = false;
        self.master.epoch_marker = EpochMarker::None;
        self.master.backfill_owner = None;
    }

    /// The server stops, with every connection to it, and another starts with `epoch_marker` and no denial:
    /// without a marker it is empty, with one it has loaded an old dump.
    pub(super) fn restart(&mut self, epoch_marker: EpochMarker) {
        let ended = self.master.identity.server_run;
        self.master = self.next_server(epoch_marker);
        self.disconnect(ended);
    }

    /// A Redis replica that has the marker but not the denial becomes master. The old master remains for
    /// existing connections.
    pub(super) fn fail_over(&mut self) {
        let next = self.next_server(self.master.epoch_marker);
        let old = std::mem::replace(&mut self.master, next);
        if let Some(ended) = self.deposed.replace(old) {
            self.disconnect(ended.identity.server_run);
        }
    }

    /// Memory was full: the denial is evicted and the marker stays. The server was configured to evict,
    /// which every replica has noticed by now, and no longer is.
    pub(super) fn evict(&mut self) {
        self.losses += 1;
        self.master.is_denied = false;
        self.master.identity.evictions += 1;
    }

    /// Returns whether the master may have been configured to evict: a replica that inspected it within
    /// the lease knows that it was not, and so does a check that still waits for its response.
    pub(super) fn may_evict(&self) -> bool {
        let server_run = self.master.identity.server_run;
        self.check
            .is_none_or(|lookup| lookup.server_run != server_run)
            && self.replicas.iter().all(|replica| {
                replica
                    .connected_to
                    .is_none_or(|connected_to| connected_to.server_run != server_run)
            })
    }

    fn next_server(&mut self, epoch_marker: EpochMarker) -> RedisServer {
        self.losses += 1;
        self.runs += 1;
        RedisServer {
            identity: ServerIdentity {
                server_run: self.runs,
                evictions: 0,
            },
            is_denied: false,
            epoch_marker,
            backfill_owner: None,
        }
    }

    fn disconnect(&mut self, server_run: u8) {
        for replica in &mut self.replicas {
            replica.connected_to = replica
                .connected_to
                .filter(|connected_to| connected_to.server_run != server_run);
            replica.backfill = replica
                .backfill
                .filter(|backfill| backfill.server_run != server_run);
        }
    }
}
