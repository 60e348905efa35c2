//! What SQL, the servers of Redis and the replicas know, and what may happen to them.

use std::fmt;
use std::time::{Duration, Instant};

use super::super::trust::Witness;
use super::check::Question;
use super::steps::{Filling, Logout, Refresh};
use crate::clock::Time;
use crate::denylist::redis::{Inspection, LEASE, Moment, Standing};
use crate::server::rotation::{SessionState, Superseded};

const START: Time = Time::from_millis(0);

/// Counts up; the code's are random, and told apart only by being equal or not.
pub(super) type Epoch = u8;

pub(super) const FIRST: Epoch = 1;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) sql: Sql,
    /// Where Redis is found.
    pub(super) master: Server,
    /// A master before the failover, cut off: who is connected to it stays so.
    pub(super) deposed: Option<Server>,
    /// How many servers there have been.
    pub(super) runs: u8,
    /// How often Redis has forgotten something.
    pub(super) losses: u8,
    pub(super) replicas: [Replica; 2],
    /// Each by the replica of the same index.
    pub(super) logouts: [Logout; 2],
    /// A check that began after the logout was answered, and waits for Redis.
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

/// The row that says which filling of Redis may be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Row {
    pub(super) epoch: Epoch,
    pub(super) filled: Option<Identity>,
}

/// A server and its data, as its `INFO` names them.
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
    /// Whether it holds the denial of the tabs' session.
    pub(super) is_denied: bool,
    pub(super) mark: Mark,
    /// The replica that holds the lock of the seeder.
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

/// What SQL said, and whether it was asked within the last lease.
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

    /// When it was asked, seen from `now`.
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
    /// The server it is connected to, as that said within the last lease. A server that is silent for
    /// longer is as good as none: checks leave it, and logouts ask it anew, as after connecting.
    pub(super) link: Option<Identity>,
    pub(super) filling: Option<Filling>,
}

pub(super) fn now() -> Moment {
    Moment {
        instant: Instant::now(),
        time: Time::from_secs(1_000),
    }
}

/// The witness as the code has it.
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

/// The standing as the code has it.
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
    /// Both replicas know the row and are connected to the server.
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

    /// Returns the server at the other end of the replica's connection.
    pub(super) fn linked(&self, replica: usize) -> Option<&Server> {
        self.server(self.replicas[replica].link?.run)
    }

    /// Returns whether nobody relies on an epoch before this one. Leases are shorter than what is
    /// waited for, so the code's waits end when this holds, or later.
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

    /// The server ends, with every connection to it, and another begins with `mark` and no denial:
    /// without a mark it is empty, with one it has read an old dump.
    pub(super) fn restart(&mut self, mark: Mark) {
        let ended = self.master.identity.run;
        self.master = self.next_server(mark);
        self.disconnect(ended);
    }

    /// A replica becomes the master that had the mark but not yet the denial. The old master lives
    /// on for who is connected to it.
    pub(super) fn fail_over(&mut self) {
        let next = self.next_server(self.master.mark);
        let old = std::mem::replace(&mut self.master, next);
        if let Some(ended) = self.deposed.replace(old) {
            self.disconnect(ended.identity.run);
        }
    }

    /// Memory was short: the denial goes and the mark stays. It was a server that may evict, which
    /// by now every replica has noticed, and which by now may not.
    pub(super) fn evict(&mut self) {
        self.losses += 1;
        self.master.is_denied = false;
        self.master.identity.evictions += 1;
    }

    /// Returns whether the master may have been one that evicts: whoever heard from it within the
    /// lease knows that it was none, and so does a check that still waits for its answer.
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
