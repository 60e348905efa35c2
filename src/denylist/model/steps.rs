//! A logout, a backfill and a refresh, each split into steps that others may interleave.

use super::super::trust;
use super::world::{
    Epoch, EpochMarker, EpochRow, LeasedRow, RedisServer, World, epoch_record, now, server_status,
};
use super::{Mutation, TABS_LOGOUT};
use crate::rotation::{
    Grace, PresentedGeneration, RevokeReason, RotationDecision, SessionState, decide,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum LogoutProgress {
    /// Not requested, or failed with 503: it may be requested again.
    None,
    Committed,
    /// It uses this record from SQL.
    HasRecord(EpochRow),
    /// Redis has not confirmed the denial.
    MustDistrust,
    /// It has read a row that names a server.
    MustEndEpoch,
    AwaitsPropagation(Epoch),
    Acknowledged,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct BackfillProgress {
    pub(super) epoch: Epoch,
    /// Server of its one connection.
    pub(super) server_run: u8,
    step: BackfillStep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum BackfillStep {
    Begun,
    Marked,
    Copied,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum RefreshProgress {
    None,
    /// It has read this state and will rotate it.
    WillRotate(SessionState),
    /// It received a token after the session had ended.
    IssuedAfterEnd,
}

impl World {
    pub(super) fn is_revoked(&self) -> bool {
        self.sql.session.revoked.is_some()
    }

    pub(super) fn continue_logout(&mut self, replica: usize, mutation: Mutation) {
        let needs_sql = match self.logouts[replica] {
            LogoutProgress::None | LogoutProgress::MustDistrust | LogoutProgress::MustEndEpoch => {
                true
            }
            LogoutProgress::Committed => !self.replicas[replica].epoch_record.is_current,
            LogoutProgress::HasRecord(_)
            | LogoutProgress::AwaitsPropagation(_)
            | LogoutProgress::Acknowledged => false,
        };
        if needs_sql && !self.sql.is_up {
            self.logouts[replica] = LogoutProgress::None;
            return;
        }
        self.logouts[replica] = match self.logouts[replica] {
            LogoutProgress::None => {
                if replica == TABS_LOGOUT {
                    let revoked = &mut self.sql.session.revoked;
                    revoked.get_or_insert(RevokeReason::Logout);
                }
                LogoutProgress::Committed
            }
            LogoutProgress::Committed if mutation == Mutation::RespondBeforeDenial => {
                LogoutProgress::Acknowledged
            }
            LogoutProgress::Committed => {
                if needs_sql {
                    self.read_epoch_record(replica);
                }
                LogoutProgress::HasRecord(self.replicas[replica].epoch_record.row)
            }
            LogoutProgress::HasRecord(row) => self.deny_in_copy(replica, row),
            LogoutProgress::MustDistrust => {
                self.read_epoch_record(replica);
                match self.sql.row.backfilled_server {
                    None => LogoutProgress::AwaitsPropagation(self.sql.row.epoch),
                    Some(_) => LogoutProgress::MustEndEpoch,
                }
            }
            LogoutProgress::MustEndEpoch => {
                LogoutProgress::AwaitsPropagation(self.begin_epoch(None))
            }
            LogoutProgress::AwaitsPropagation(epoch)
                if self.has_propagated(epoch) || mutation == Mutation::SkipPropagationDelay =>
            {
                LogoutProgress::Acknowledged
            }
            logout @ (LogoutProgress::AwaitsPropagation(_) | LogoutProgress::Acknowledged) => {
                logout
            }
        };
    }

    fn deny_in_copy(&mut self, replica: usize, row: EpochRow) -> LogoutProgress {
        let Some(connected_to) = self.replicas[replica].connected_to else {
            return LogoutProgress::MustDistrust;
        };
        let now = now();
        if !epoch_record(LeasedRow::now(row), now).names_server(&server_status(
            connected_to,
            EpochMarker::None,
            now,
        )) {
            return LogoutProgress::MustDistrust;
        }
        let Some(server) = self.server_mut(connected_to.server_run) else {
            return LogoutProgress::MustDistrust;
        };
        server.is_denied |= replica == TABS_LOGOUT;
        match server.epoch_marker {
            EpochMarker::Incomplete(epoch) | EpochMarker::Complete(epoch) if epoch == row.epoch => {
                LogoutProgress::Acknowledged
            }
            _ => LogoutProgress::AwaitsPropagation(row.epoch),
        }
    }

    /// Returns whether the server needs a backfill, by the production rule.
    fn needs_backfill(&self, server: &RedisServer) -> bool {
        let now = now();
        let authority = epoch_record(LeasedRow::now(self.sql.row), now).into();
        let server_status = server_status(server.identity, server.epoch_marker, now);
        trust::needs_backfill(&authority, &server_status, now)
    }

    pub(super) fn begin_backfill(&mut self, replica: usize) {
        let Some(server) = self.connected_server(replica) else {
            return;
        };
        if server.backfill_owner.is_some() || !self.sql.is_up || !self.needs_backfill(server) {
            return;
        }
        let identity = server.identity;
        self.read_epoch_record(replica);
        let epoch = self.begin_epoch(Some(identity));
        let server_run = identity.server_run;
        if let Some(server) = self.server_mut(server_run) {
            server.backfill_owner = Some(replica);
        }
        self.replicas[replica].backfill = Some(BackfillProgress {
            epoch,
            server_run,
            step: BackfillStep::Begun,
        });
    }

    pub(super) fn continue_backfill(
        &mut self,
        replica: usize,
        backfill: BackfillProgress,
        mutation: Mutation,
    ) {
        let BackfillProgress {
            epoch,
            server_run,
            step,
        } = backfill;
        let (is_up, is_revoked) = (self.sql.is_up, self.is_revoked());
        if step == BackfillStep::Begun
            && !self.has_propagated(epoch)
            && mutation != Mutation::BackfillImmediately
        {
            return;
        }
        let Some(server) = self.server_mut(server_run) else {
            self.replicas[replica].backfill = None;
            return;
        };
        let is_marked = server.epoch_marker == EpochMarker::Incomplete(epoch)
            || mutation == Mutation::CompleteWithoutMarker;
        let is_locked = server.backfill_owner == Some(replica);
        let next = match step {
            BackfillStep::Begun if is_locked => {
                server.epoch_marker = EpochMarker::Incomplete(epoch);
                Some(BackfillStep::Marked)
            }
            BackfillStep::Marked if is_up => {
                server.is_denied |= is_revoked;
                Some(BackfillStep::Copied)
            }
            BackfillStep::Copied if is_marked => {
                server.epoch_marker = EpochMarker::Complete(epoch);
                None
            }
            // Aborted: it starts again.
            _ => None,
        };
        if next.is_none() && is_locked {
            server.backfill_owner = None;
        }
        self.replicas[replica].backfill = next.map(|step| BackfillProgress { step, ..backfill });
    }

    /// The other tab presents the refresh token of the login, again and again. A refresh that writes
    /// nothing completes immediately.
    pub(super) fn continue_refresh(&mut self, mutation: Mutation) {
        let shown = PresentedGeneration {
            generation: 0,
            retry_key: None,
        };
        match &self.refresh {
            RefreshProgress::None if self.sql.is_up => {
                let read = self.sql.session.clone();
                let decision = decide(&read, shown, read.rotated_at, Grace::TEN_SECONDS);
                self.refresh = match decision {
                    RotationDecision::Rotate => RefreshProgress::WillRotate(read),
                    RotationDecision::Retry if self.is_revoked() => RefreshProgress::IssuedAfterEnd,
                    _ => RefreshProgress::None,
                };
            }
            RefreshProgress::WillRotate(_) if !self.sql.is_up => {
                self.refresh = RefreshProgress::None;
            }
            RefreshProgress::WillRotate(read) if *read == self.sql.session => {
                self.sql.session = read.rotated(None, read.rotated_at);
                self.refresh = RefreshProgress::None;
            }
            RefreshProgress::WillRotate(_) if mutation == Mutation::OverwriteOnRotation => {
                self.refresh = RefreshProgress::IssuedAfterEnd;
            }
            RefreshProgress::WillRotate(_) => {
                self.refresh = RefreshProgress::None;
            }
            RefreshProgress::None | RefreshProgress::IssuedAfterEnd => {}
        }
    }
}
