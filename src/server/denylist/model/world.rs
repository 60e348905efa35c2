//! State of SQL, the Redis servers and the replicas, and the events that change it.

use std::fmt;
use std::time::{Duration, Instant};

use super::super::trust::Witness;
use super::check::Question;
use super::steps::{Filling, Logout, Refresh};
use crate::clock::Time;
use crate::denylist::redis::{Inspection, LEASE, Moment, Standing};
use crate::server::rotation::{SessionState, Superseded};

const START: Time = Time::from_millis(0);

/// Increases; the code's epochs are random, and only compared for equality.
pub(super) type Epoch = u8;

pub(super) const FIRST: Epoch = 1;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) sql: Sql,
    /// The current master.
    pub(super) master: Server,
    /// The master before the failover, partitioned: existing connections to it remain.
    pub(super) deposed: Option<Server>,
    /// Number of servers so far.
    pub(super) runs: u8,
    /// Number of data losses so far.
    pub(super) losses: u8,
    pub(super) replicas: [Replica; 2],
    /// Logout on the replica with the same index.
    pub(super) logouts: [Logout; 2],
    /// Check that began after the response to the logout, and waits for Redis.
    pub(super) check: Option<Question>,
    pub(super) refresh: Refresh,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sql {
    pub(super) is_up: bool,
    pub(super) outages: u8,
    /// The session of the tabs.
    pub(super) session: SessionState,
    pub(super) row: Row,
}

/// Row with the backfill of Redis that may be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Row {
    pub(super) epoch: Epoch,
    pub(super) filled: Option<Identity>,
}

/// Identity of a server and its data, from its `INFO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    /// Stands for `run_id` and `master_replid`.
    pub(super) run: u8,
    pub(super) evictions: u8,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.run, self.evictions)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Server {
    pub(super) identity: Identity,
    /// True if it holds the denial of the tabs' session.
    pub(super) is_denied: bool,
    pub(super) mark: Mark,
    /// Replica that holds the backfill lock.
    pub(super) seeder: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Mark {
    None,
    Filling(Epoch),
    Complete(Epoch),
}

impl Mark {
    pub(super) fn is_complete_after(self, epoch: Epoch) -> bool {
        matches!(self, Self::Complete(filled) if filled > epoch)
    }
}

/// Row from SQL, and whether it was read within the last lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Leased {
    pub(super) said: Row,
    pub(super) is_current: bool,
}

impl Leased {
    pub(super) fn now(said: Row) -> Self {
        Self {
            said,
            is_current: true,
        }
    }

    /// Time of the read, relative to `now`.
    fn asked(self, now: Moment) -> Moment {
        let over = Moment {
            time: now.time - 2 * LEASE,
            ..now
        };
        if self.is_current { now } else { over }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Replica {
    pub(super) witness: Leased,
    /// Connected server, as inspected within the last lease. A server that does not respond for longer
    /// counts as disconnected: checks do not use it, and logouts inspect it again, as after connecting.
    pub(super) link: Option<Identity>,
    pub(super) filling: Option<Filling>,
}

pub(super) fn now() -> Moment {
    Moment {
        instant: Instant::now(),
        time: Time::from_secs(1_000),
    }
}

/// The record as the production code represents it.
pub(super) fn witness(known: Leased, now: Moment) -> Witness {
    Witness {
        epoch: known.said.epoch.to_string(),
        filled: known
            .said
            .filled
            .map_or(String::new(), |filled| filled.to_string()),
        asked: known.asked(now),
    }
}

/// The server status as the production code represents it.
pub(super) fn standing(identity: Identity, mark: Mark, now: Moment) -> Standing {
    let mark = match mark {
        Mark::None => None,
        Mark::Filling(epoch) => Some(format!("filling:{epoch}")),
        Mark::Complete(epoch) => Some(epoch.to_string()),
    };
    Standing {
        inspection: Inspection {
            identity: identity.to_string(),
            unfit: None,
            time: now.time,
            mark,
            vouched: None,
        },
        asked: now,
    }
}

impl World {
    /// Both replicas have the row and are connected to the server.
    pub(super) fn new(row: Row, master: Server) -> Self {
        let replica = Replica {
            witness: Leased::now(row),
            link: Some(master.identity),
            filling: None,
        };
        Self {
            sql: Sql {
                is_up: true,
                outages: 0,
                session: SessionState {
                    generation: 0,
                    rotated_at: START,
                    superseded: Superseded::default(),
                    key: None,
                    expires_at: START + Duration::from_hours(1),
                    idle_limit: Duration::from_hours(1),
                    revoked: None,
                },
                row,
            },
            runs: master.identity.run,
            master,
            deposed: None,
            losses: 0,
            replicas: [replica.clone(), replica],
            logouts: [Logout::None; 2],
            check: None,
            refresh: Refresh::None,
        }
    }

    pub(super) fn server(&self, run: u8) -> Option<&Server> {
        let servers = [Some(&self.master), self.deposed.as_ref()];
        servers
            .into_iter()
            .flatten()
            .find(|server| server.identity.run == run)
    }

    pub(super) fn server_mut(&mut self, run: u8) -> Option<&mut Server> {
        let servers = [Some(&mut self.master), self.deposed.as_mut()];
        servers
            .into_iter()
            .flatten()
            .find(|server| server.identity.run == run)
    }

    /// Returns the server of the replica's connection.
    pub(super) fn linked(&self, replica: usize) -> Option<&Server> {
        self.server(self.replicas[replica].link?.run)
    }

    /// Returns whether no replica relies on an earlier epoch. Leases are shorter than the wait of the
    /// code, so that wait ends when this is true, or later.
    pub(super) fn have_noticed(&self, epoch: Epoch) -> bool {
        self.replicas
            .iter()
            .map(|replica| replica.witness)
            .all(|witness| !witness.is_current || witness.said.epoch >= epoch)
    }

    pub(super) fn read_witness(&mut self, replica: usize) {
        self.replicas[replica].witness = Leased::now(self.sql.row);
    }

    pub(super) fn begin_epoch(&mut self, filled: Option<Identity>) -> Epoch {
        let epoch = self.sql.row.epoch + 1;
        self.sql.row = Row { epoch, filled };
        epoch
    }

    pub(super) fn flush(&mut self) {
        self.losses += 1;
        self.master.is_denied = false;
        self.master.mark = Mark::None;
        self.master.seeder = None;
    }

    /// The server stops, with every connection to it, and another starts with `mark` and no denial:
    /// without a marker it is empty, with one it has loaded an old dump.
    pub(super) fn restart(&mut self, mark: Mark) {
        let ended = self.master.identity.run;
        self.master = self.next_server(mark);
        self.disconnect(ended);
    }

    /// A Redis replica that has the marker but not the denial becomes master. The old master remains for
    /// existing connections.
    pub(super) fn fail_over(&mut self) {
        let next = self.next_server(self.master.mark);
        let old = std::mem::replace(&mut self.master, next);
        if let Some(ended) = self.deposed.replace(old) {
            self.disconnect(ended.identity.run);
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
        let run = self.master.identity.run;
        self.check.is_none_or(|question| question.run != run)
            && self
                .replicas
                .iter()
                .all(|replica| replica.link.is_none_or(|link| link.run != run))
    }

    fn next_server(&mut self, mark: Mark) -> Server {
        self.losses += 1;
        self.runs += 1;
        Server {
            identity: Identity {
                run: self.runs,
                evictions: 0,
            },
            is_denied: false,
            mark,
            seeder: None,
        }
    }

    fn disconnect(&mut self, run: u8) {
        for replica in &mut self.replicas {
            replica.link = replica.link.filter(|link| link.run != run);
            replica.filling = replica.filling.filter(|filling| filling.run != run);
        }
    }
}
