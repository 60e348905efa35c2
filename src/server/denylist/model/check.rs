//! A check in two steps: its start, and the response of Redis.

use super::super::trust;
use super::steps::Logout;
use super::world::{Epoch, Leased, Mark, World, now, standing, witness};
use super::{TABS, Ways};

/// Lookup in Redis of an access token that was issued at login. The result is trusted if the copy has
/// the marker of this epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    epoch: Epoch,
    pub(super) run: u8,
}

/// Result of a check, and the state at that time. It is final.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    pub(super) by: Source,
    /// True if the check began after the response to the logout.
    pub(super) after_logout: bool,
    pub(super) is_revoked: bool,
    pub(super) is_sql_up: bool,
    pub(super) losses: u8,
    pub(super) mark: Mark,
    pub(super) generation: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Verdict {
    Admitted,
    Refused,
    Unavailable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    Redis,
    Sql,
    Nobody,
}

impl World {
    /// Begins a check. Without trust in Redis it completes immediately: a later result of SQL is the
    /// same, or refuses more. A check that began before the response to the logout completes immediately
    /// too: both results are allowed.
    pub(super) fn begin_check(&mut self, replica: usize, ways: Ways) -> Option<Answer> {
        let after_logout = self.logouts[TABS] == Logout::Acknowledged;
        let Some(question) = self.believed(replica, ways) else {
            return Some(self.ask_sql(after_logout, ways));
        };
        if !after_logout {
            return Some(self.ask_redis(question, after_logout, ways));
        }
        self.check = Some(question);
        None
    }

    /// Returns the replica's lookup if it trusts Redis, by the production rule.
    fn believed(&self, replica: usize, ways: Ways) -> Option<Question> {
        let Leased { said, is_current } = self.replicas[replica].witness;
        let link = self.replicas[replica].link?;
        let now = now();
        let witness = witness(
            Leased {
                said,
                is_current: is_current || ways == Ways::WithoutLease,
            },
            now,
        );
        let mut standing = standing(link, Mark::None, now);
        if ways == Ways::ByMarkAlone {
            standing.inspection.identity.clone_from(&witness.filled);
        }
        let believed = trust::believable(Some(&witness), Some(&standing), now);
        believed.ok().map(|_| Question {
            epoch: said.epoch,
            run: link.run,
        })
    }

    /// Redis responds to a waiting check, if it still exists.
    pub(super) fn hear_redis(&self, ways: Ways) -> Option<Answer> {
        Some(self.ask_redis(self.check?, true, ways))
    }

    /// Redis does not respond to a check in time. Dropping the connection is a separate step.
    pub(super) fn leave_redis(&self, ways: Ways) -> Option<Answer> {
        self.check.map(|_| self.ask_sql(true, ways))
    }

    fn ask_redis(&self, question: Question, after_logout: bool, ways: Ways) -> Answer {
        let verdict = match self.server(question.run) {
            Some(server) if server.is_denied => Verdict::Refused,
            Some(server) if server.mark == Mark::Complete(question.epoch) => Verdict::Admitted,
            _ => return self.ask_sql(after_logout, ways),
        };
        self.answer(verdict, Source::Redis, after_logout)
    }

    fn ask_sql(&self, after_logout: bool, ways: Ways) -> Answer {
        let (verdict, by) = match (self.sql.is_up, self.is_revoked()) {
            (true, true) => (Verdict::Refused, Source::Sql),
            (true, false) => (Verdict::Admitted, Source::Sql),
            (false, _) => (ways.verdict_of_nobody(), Source::Nobody),
        };
        self.answer(verdict, by, after_logout)
    }

    fn answer(&self, verdict: Verdict, by: Source, after_logout: bool) -> Answer {
        Answer {
            verdict,
            by,
            after_logout,
            is_revoked: self.is_revoked(),
            is_sql_up: self.sql.is_up,
            losses: self.losses,
            mark: self.master.mark,
            generation: self.sql.session.generation,
        }
    }
}
