//! A logout, a backfill and a refresh, each split into steps that others may interleave.

use super::super::trust;
use super::world::{Epoch, Leased, Mark, Row, Server, World, now, standing, witness};
use super::{TABS, Ways};
use crate::server::rotation::{Decision, Grace, RevokeReason, SessionState, Shown, decide};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Logout {
    /// Not requested, or failed with 503: it may be requested again.
    None,
    Committed,
    /// It uses this record from SQL.
    Knows(Row),
    /// Redis has not confirmed the denial.
    Distrusts,
    /// It has read a row that names a server.
    Ends,
    Waits(Epoch),
    Acknowledged,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Filling {
    pub(super) epoch: Epoch,
    /// Server of its one connection.
    pub(super) run: u8,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Begun,
    Marked,
    Copied,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Refresh {
    None,
    /// It has read this state and will rotate it.
    Rotates(SessionState),
    /// It received a token after the session had ended.
    Wrong,
}

impl World {
    pub(super) fn is_revoked(&self) -> bool {
        self.sql.session.revoked.is_some()
    }

    pub(super) fn continue_logout(&mut self, replica: usize, ways: Ways) {
        let needs_sql = match self.logouts[replica] {
            Logout::None | Logout::Distrusts | Logout::Ends => true,
            Logout::Committed => !self.replicas[replica].witness.is_current,
            Logout::Knows(_) | Logout::Waits(_) | Logout::Acknowledged => false,
        };
        if needs_sql && !self.sql.is_up {
            self.logouts[replica] = Logout::None;
            return;
        }
        self.logouts[replica] = match self.logouts[replica] {
            Logout::None => {
                if replica == TABS {
                    let revoked = &mut self.sql.session.revoked;
                    revoked.get_or_insert(RevokeReason::Logout);
                }
                Logout::Committed
            }
            Logout::Committed if ways == Ways::AnswerBeforeDenial => Logout::Acknowledged,
            Logout::Committed => {
                if needs_sql {
                    self.read_witness(replica);
                }
                Logout::Knows(self.replicas[replica].witness.said)
            }
            Logout::Knows(row) => self.deny_in_copy(replica, row),
            Logout::Distrusts => {
                self.read_witness(replica);
                match self.sql.row.filled {
                    None => Logout::Waits(self.sql.row.epoch),
                    Some(_) => Logout::Ends,
                }
            }
            Logout::Ends => Logout::Waits(self.begin_epoch(None)),
            Logout::Waits(epoch) if self.have_noticed(epoch) || ways == Ways::WithoutWait => {
                Logout::Acknowledged
            }
            logout @ (Logout::Waits(_) | Logout::Acknowledged) => logout,
        };
    }

    fn deny_in_copy(&mut self, replica: usize, row: Row) -> Logout {
        let Some(link) = self.replicas[replica].link else {
            return Logout::Distrusts;
        };
        let now = now();
        if !witness(Leased::now(row), now).names(&standing(link, Mark::None, now)) {
            return Logout::Distrusts;
        }
        let Some(server) = self.server_mut(link.run) else {
            return Logout::Distrusts;
        };
        server.is_denied |= replica == TABS;
        match server.mark {
            Mark::Filling(epoch) | Mark::Complete(epoch) if epoch == row.epoch => {
                Logout::Acknowledged
            }
            _ => Logout::Waits(row.epoch),
        }
    }

    /// Returns whether the server needs a backfill, by the production rule.
    fn wants_filling(&self, server: &Server) -> bool {
        let now = now();
        let witness = witness(Leased::now(self.sql.row), now);
        let standing = standing(server.identity, server.mark, now);
        trust::wants_filling(Some(&witness), Some(&standing), now)
    }

    pub(super) fn begin_filling(&mut self, replica: usize) {
        let Some(server) = self.linked(replica) else {
            return;
        };
        if server.seeder.is_some() || !self.sql.is_up || !self.wants_filling(server) {
            return;
        }
        let identity = server.identity;
        self.read_witness(replica);
        let epoch = self.begin_epoch(Some(identity));
        let run = identity.run;
        if let Some(server) = self.server_mut(run) {
            server.seeder = Some(replica);
        }
        self.replicas[replica].filling = Some(Filling {
            epoch,
            run,
            step: Step::Begun,
        });
    }

    pub(super) fn continue_filling(&mut self, replica: usize, filling: Filling, ways: Ways) {
        let Filling { epoch, run, step } = filling;
        let (is_up, is_revoked) = (self.sql.is_up, self.is_revoked());
        if step == Step::Begun && !self.have_noticed(epoch) && ways != Ways::FillAtOnce {
            return;
        }
        let Some(server) = self.server_mut(run) else {
            self.replicas[replica].filling = None;
            return;
        };
        let is_marked = server.mark == Mark::Filling(epoch) || ways == Ways::FillUnchecked;
        let is_locked = server.seeder == Some(replica);
        let next = match step {
            Step::Begun if is_locked => {
                server.mark = Mark::Filling(epoch);
                Some(Step::Marked)
            }
            Step::Marked if is_up => {
                server.is_denied |= is_revoked;
                Some(Step::Copied)
            }
            Step::Copied if is_marked => {
                server.mark = Mark::Complete(epoch);
                None
            }
            // Aborted: it starts again.
            _ => None,
        };
        if next.is_none() && is_locked {
            server.seeder = None;
        }
        self.replicas[replica].filling = next.map(|step| Filling { step, ..filling });
    }

    /// The other tab presents the refresh token of the login, again and again. A refresh that writes
    /// nothing completes immediately.
    pub(super) fn continue_refresh(&mut self, ways: Ways) {
        let shown = Shown {
            generation: 0,
            key: None,
        };
        match &self.refresh {
            Refresh::None if self.sql.is_up => {
                let read = self.sql.session.clone();
                let decision = decide(&read, shown, read.rotated_at, Grace::TEN_SECONDS);
                self.refresh = match decision {
                    Decision::Rotate => Refresh::Rotates(read),
                    Decision::Replay if self.is_revoked() => Refresh::Wrong,
                    _ => Refresh::None,
                };
            }
            Refresh::Rotates(_) if !self.sql.is_up => self.refresh = Refresh::None,
            Refresh::Rotates(read) if *read == self.sql.session => {
                self.sql.session = read.rotated(None, read.rotated_at);
                self.refresh = Refresh::None;
            }
            Refresh::Rotates(_) if ways == Ways::RotateAnyhow => self.refresh = Refresh::Wrong,
            Refresh::Rotates(_) => self.refresh = Refresh::None,
            Refresh::None | Refresh::Wrong => {}
        }
    }
}
