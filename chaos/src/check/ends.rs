//! When sessions ended, and what was answered to them afterwards: I1, I4, I8.

use std::collections::HashMap;

use super::authority::AuthorityChanges;
use super::{History, Rule, Violation, describe};
use crate::history::{Action, Operation, Sender};

/// Ends of tokens are whole seconds, as the server's clock counts them.
const ROUNDING: u64 = 1_000_000;
/// Maximum time between the creation of a token and the arrival of its response.
const LATENCY: u64 = 3_000_000;

/// Known bounds of one session's end.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndBounds {
    /// From here on it may have ended.
    pub(super) possibly: u64,
    /// From here on it has.
    pub(super) certainly: u64,
    /// True when nothing but the limit of sessions per user says so.
    is_by_limit: bool,
}

const NOT_ENDED: EndBounds = EndBounds {
    possibly: u64::MAX,
    certainly: u64::MAX,
    is_by_limit: false,
};

/// Known bounds of the ends of all sessions.
#[derive(Debug)]
pub(super) struct SessionEnds(HashMap<String, EndBounds>);

/// A session as its login made it.
#[derive(Debug)]
struct LoginOfSession<'h> {
    session: &'h str,
    start: u64,
    end: u64,
}

impl SessionEnds {
    pub(super) fn of(history: &History) -> Self {
        let mut sessions: HashMap<&str, Vec<LoginOfSession<'_>>> = HashMap::new();
        for op in history
            .operations
            .iter()
            .filter(|op| is_login(op) && op.is_ok())
        {
            if let Some(session) = &op.session {
                sessions.entry(&op.user).or_default().push(LoginOfSession {
                    session,
                    start: op.start,
                    end: op.end,
                });
            }
        }
        let mut ends = Self(HashMap::new());
        for op in &history.operations {
            ends.record(
                op,
                sessions.get(op.user.as_str()).map_or(&[], Vec::as_slice),
            );
            ends.record_refusal(op, history.head.recovery);
        }
        ends
    }

    fn record(&mut self, op: &Operation, of_user: &[LoginOfSession<'_>]) {
        let own = op.session.as_deref();
        match &op.action {
            Action::LogOut => self.end_one(own, op),
            Action::Revoke { target } => self.end_one(Some(target), op),
            Action::LogOutEverywhere | Action::Disable => self.end_all(of_user, None, op),
            Action::ChangePassword { .. } => {
                self.end_all(of_user, own, op);
                // It rotates the refresh token. A client that learns nothing of that asks without the key
                // of this rotation, perhaps after grace.
                if op.is_unknown() {
                    self.possibly(own, op.start);
                }
            }
            Action::Refresh => self.refresh(own, op),
            Action::SignUp { .. }
            | Action::LogIn { .. }
            | Action::Check
            | Action::Govern
            | Action::Verify
            | Action::Reauthenticate
            | Action::ListSessions
            | Action::Enable
            | Action::SetRoles { .. } => {}
        }
    }

    fn refresh(&mut self, session: Option<&str>, op: &Operation) {
        // Two clients that present one token look like a thief and an owner; and what was presented without a key and
        // not answered may have arrived after grace.
        if op.sender == Sender::Thief || (op.key.is_none() && op.is_unknown()) {
            self.possibly(session, op.start);
        }
    }

    /// A refusal reports an end. One that is not acknowledged yet, as while Redis is unreachable, may be
    /// known to one replica before another. A replica that reports reuse of a token has ended the session.
    fn record_refusal(&mut self, op: &Operation, recovery: u64) {
        let session = op.session.as_deref();
        match (&op.action, op.code()) {
            (Action::Refresh, "refresh_reused") => self.certainly(session, op.end),
            (
                Action::Check | Action::Govern | Action::Verify | Action::Refresh,
                "session_revoked" | "token_revoked",
            ) => {
                self.certainly(session, op.end + recovery);
            }
            _ => {}
        }
    }

    fn end_one(&mut self, session: Option<&str>, op: &Operation) {
        if op.is_refused() {
            return;
        }
        self.possibly(session, op.start);
        if op.is_ok() {
            self.certainly(session, op.end);
        }
    }

    fn end_all(&mut self, of_user: &[LoginOfSession<'_>], except: Option<&str>, op: &Operation) {
        if op.is_refused() {
            return;
        }
        for made in of_user.iter().filter(|made| Some(made.session) != except) {
            if made.start < op.end || op.is_unknown() {
                self.possibly(Some(made.session), op.start);
            }
            if made.end < op.start && op.is_ok() {
                self.certainly(Some(made.session), op.end);
            }
        }
    }

    /// A login that exceeds the limit may end the session, or does.
    pub(super) fn end_by_limit(&mut self, session: &str, login: &Operation, is_sure: bool) {
        self.possibly(Some(session), login.start);
        let end = self.end(Some(session));
        if is_sure && login.end < end.certainly {
            end.certainly = login.end;
            end.is_by_limit = true;
        }
    }

    fn possibly(&mut self, session: Option<&str>, from: u64) {
        let end = self.end(session);
        end.possibly = end.possibly.min(from);
    }

    fn certainly(&mut self, session: Option<&str>, from: u64) {
        let end = self.end(session);
        end.certainly = end.certainly.min(from);
    }

    fn end(&mut self, session: Option<&str>) -> &mut EndBounds {
        let session = session.unwrap_or_default().to_owned();
        self.0.entry(session).or_insert(NOT_ENDED)
    }

    pub(super) fn known(&self, session: Option<&str>) -> EndBounds {
        let end = session.and_then(|session| self.0.get(session));
        end.copied().unwrap_or(NOT_ENDED)
    }

    /// True when the session may have ended before the response to this request.
    pub(super) fn may_have_ended(&self, op: &Operation) -> bool {
        self.known(op.session.as_deref()).possibly < op.end
    }
}

pub(super) fn is_login(op: &Operation) -> bool {
    matches!(op.action, Action::LogIn { .. })
}

/// True when an access token was refused because of its age, and rightly. A process accepts none that is older
/// than its own setting allows, whatever the token says.
fn has_expired(op: &Operation, shortest_life: Option<u64>) -> bool {
    let old = op.issued.zip(shortest_life);
    let ends = op
        .expires
        .into_iter()
        .chain(old.map(|(issued, life)| issued.end + life));
    op.code() == "token_expired"
        && ends
            .min()
            .is_some_and(|end| op.end + ROUNDING + LATENCY > end)
}

/// True when a response proves that the session is alive. Logging out twice is no error.
fn proves_session_alive(op: &Operation) -> bool {
    op.is_ok() && !is_login(op) && op.action != Action::LogOut
}

pub(super) fn check(
    history: &History,
    ends: &SessionEnds,
    authority: &AuthorityChanges<'_>,
    violations: &mut Vec<Violation>,
) {
    for op in &history.operations {
        let mut broken = |rule, what: &str| {
            violations.push(Violation {
                rule,
                at: op.start,
                text: format!("{what}: {}", describe(op)),
            });
        };
        let end = ends.known(op.session.as_deref());
        if proves_session_alive(op) && end.certainly < op.start {
            let rule = match op.sender {
                _ if end.is_by_limit => Rule::I16,
                Sender::Prober => Rule::I8,
                _ => Rule::I1,
            };
            broken(rule, "answered after its end");
        }
        if op.is_ok()
            && op
                .expires
                .is_some_and(|expires| op.start > expires + ROUNDING)
        {
            broken(Rule::I10, "an expired token was let in");
        }
        let is_honest = op.sender == Sender::Honest && op.session.is_some() && !is_login(op);
        let may_be_refused = ends.may_have_ended(op)
            || has_expired(op, history.head.shortest_life)
            || authority.may_refuse(op)
            || ["not_found", "fresh_token_required"].contains(&op.code());
        if is_honest && op.is_refused() && !may_be_refused {
            broken(Rule::I4, "refused without a reason");
        }
    }
}
