//! A check in two steps: its start, and the response of Redis.

use super::super::trust::SqlAuthority;
use super::steps::LogoutProgress;
use super::world::{Epoch, EpochMarker, LeasedRow, World, epoch_record, now, server_status};
use super::{Mutation, TABS_LOGOUT};

/// Lookup in Redis of an access token that was issued at login. The result is trusted if the copy has
/// the marker of this epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PendingLookup {
    epoch: Epoch,
    pub(super) server_run: u8,
}

/// Result of a check, and the state at that time. It is final.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct CheckResult {
    pub(super) verdict: Verdict,
    pub(super) by: ResultSource,
    /// True if the check began after the response to the logout.
    pub(super) after_logout: bool,
    pub(super) is_revoked: bool,
    pub(super) is_sql_up: bool,
    pub(super) losses: u8,
    pub(super) epoch_marker: EpochMarker,
    pub(super) generation: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Verdict {
    Admitted,
    Refused,
    Unavailable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ResultSource {
    Redis,
    Sql,
    NoSource,
}

impl World {
    /// Begins a check. Without trust in Redis it completes immediately: a later result of SQL is the
    /// same, or refuses more. A check that began before the response to the logout completes immediately
    /// too: both results are allowed.
    pub(super) fn begin_check(
        &mut self,
        replica: usize,
        mutation: Mutation,
    ) -> Option<CheckResult> {
        let after_logout = self.logouts[TABS_LOGOUT] == LogoutProgress::Acknowledged;
        let Some(lookup) = self.trusted(replica, mutation) else {
            return Some(self.result_from_sql(after_logout, mutation));
        };
        if !after_logout {
            return Some(self.result_from_redis(lookup, after_logout, mutation));
        }
        self.check = Some(lookup);
        None
    }

    /// Returns the replica's lookup if it trusts Redis, by the production rule.
    fn trusted(&self, replica: usize, mutation: Mutation) -> Option<PendingLookup> {
        let LeasedRow { row, is_current } = self.replicas[replica].epoch_record;
        let connected_to = self.replicas[replica].connected_to?;
        let now = now();
        let epoch_record = epoch_record(
            LeasedRow {
                row,
                is_current: is_current || mutation == Mutation::IgnoreLeases,
            },
            now,
        );
        let mut server_status = server_status(connected_to, EpochMarker::None, now);
        if mutation == Mutation::TrustAnyMarker {
            server_status
                .server_info
                .identity
                .clone_from(&epoch_record.backfilled_server);
        }
        let trusted = server_status.trusted_epoch(&SqlAuthority::from(epoch_record), now);
        trusted.ok().map(|_| PendingLookup {
            epoch: row.epoch,
            server_run: connected_to.server_run,
        })
    }

    /// Redis responds to a waiting check, if it still exists.
    pub(super) fn receive_from_redis(&self, mutation: Mutation) -> Option<CheckResult> {
        Some(self.result_from_redis(self.check?, true, mutation))
    }

    /// Redis does not respond to a check in time. Dropping the connection is a separate step.
    pub(super) fn time_out_redis(&self, mutation: Mutation) -> Option<CheckResult> {
        self.check.map(|_| self.result_from_sql(true, mutation))
    }

    fn result_from_redis(
        &self,
        lookup: PendingLookup,
        after_logout: bool,
        mutation: Mutation,
    ) -> CheckResult {
        let verdict = match self.server(lookup.server_run) {
            Some(server) if server.is_denied => Verdict::Refused,
            Some(server) if server.epoch_marker == EpochMarker::Complete(lookup.epoch) => {
                Verdict::Admitted
            }
            _ => return self.result_from_sql(after_logout, mutation),
        };
        self.result(verdict, ResultSource::Redis, after_logout)
    }

    fn result_from_sql(&self, after_logout: bool, mutation: Mutation) -> CheckResult {
        let (verdict, by) = match (self.sql.is_up, self.is_revoked()) {
            (true, true) => (Verdict::Refused, ResultSource::Sql),
            (true, false) => (Verdict::Admitted, ResultSource::Sql),
            (false, _) => (mutation.verdict_without_source(), ResultSource::NoSource),
        };
        self.result(verdict, by, after_logout)
    }

    fn result(&self, verdict: Verdict, by: ResultSource, after_logout: bool) -> CheckResult {
        CheckResult {
            verdict,
            by,
            after_logout,
            is_revoked: self.is_revoked(),
            is_sql_up: self.sql.is_up,
            losses: self.losses,
            epoch_marker: self.master.epoch_marker,
            generation: self.sql.session.generation,
        }
    }
}
