//! When sessions ended, and what was answered to them afterwards: I1, I4, I8.

use std::collections::HashMap;

use super::authority::Authority;
use super::{History, Rule, Violation, describe};
use crate::history::{Act, Op, Who};

/// Ends of tokens are whole seconds, as the server's clock counts them.
const ROUNDING: u64 = 1_000_000;
/// A token may have been made so long before its response was there.
const LATENCY: u64 = 3_000_000;

/// Known bounds of one session's end.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// From here on it may have ended.
    pub(super) maybe: u64,
    /// From here on it has.
    pub(super) surely: u64,
    /// True when nothing but the limit of sessions per user says so.
    is_by_limit: bool,
}

const NEVER: End = End {
    maybe: u64::MAX,
    surely: u64::MAX,
    is_by_limit: false,
};

/// Known bounds of the ends of all sessions.
#[derive(Debug)]
pub(super) struct Ends(HashMap<String, End>);

/// A session as its login made it.
#[derive(Debug)]
struct Made<'h> {
    session: &'h str,
    start: u64,
    end: u64,
}

impl Ends {
    pub(super) fn of(history: &History) -> Self {
        let mut sessions: HashMap<&str, Vec<Made<'_>>> = HashMap::new();
        for op in history.ops.iter().filter(|op| is_login(op) && op.is_ok()) {
            if let Some(session) = &op.session {
                sessions.entry(&op.user).or_default().push(Made {
                    session,
                    start: op.start,
                    end: op.end,
                });
            }
        }
        let mut ends = Self(HashMap::new());
        for op in &history.ops {
            ends.take_in(
                op,
                sessions.get(op.user.as_str()).map_or(&[], Vec::as_slice),
            );
            ends.told(op, history.head.recovery);
        }
        ends
    }

    fn take_in(&mut self, op: &Op, of_user: &[Made<'_>]) {
        let own = op.session.as_deref();
        match &op.act {
            Act::LogOut => self.one(own, op),
            Act::Revoke { target } => self.one(Some(target), op),
            Act::LogOutEverywhere | Act::Disable => self.all(of_user, None, op),
            Act::ChangePassword { .. } => {
                self.all(of_user, own, op);
                // It rotates the refresh token. A client that learns nothing of that asks without the key
                // of this rotation, perhaps after grace.
                if op.is_unknown() {
                    self.maybe(own, op.start);
                }
            }
            Act::Refresh => self.refresh(own, op),
            Act::SignUp { .. }
            | Act::LogIn { .. }
            | Act::Check
            | Act::Govern
            | Act::Verify
            | Act::Reauthenticate
            | Act::ListSessions
            | Act::Enable
            | Act::SetRoles { .. } => {}
        }
    }

    fn refresh(&mut self, session: Option<&str>, op: &Op) {
        // Two clients that present one token look like a thief and an owner; and what was presented without a key and
        // not answered may have arrived after grace.
        if op.who == Who::Thief || (op.key.is_none() && op.is_unknown()) {
            self.maybe(session, op.start);
        }
    }

    /// A refusal reports an end. One that is not acknowledged yet, as while Redis is unreachable, may be
    /// known to one replica before another; who answers that a token was reused has ended the session.
    fn told(&mut self, op: &Op, recovery: u64) {
        let session = op.session.as_deref();
        match (&op.act, op.code()) {
            (Act::Refresh, "refresh_reused") => self.surely(session, op.end),
            (
                Act::Check | Act::Govern | Act::Verify | Act::Refresh,
                "session_revoked" | "token_revoked",
            ) => {
                self.surely(session, op.end + recovery);
            }
            _ => {}
        }
    }

    fn one(&mut self, session: Option<&str>, op: &Op) {
        if op.is_no() {
            return;
        }
        self.maybe(session, op.start);
        if op.is_ok() {
            self.surely(session, op.end);
        }
    }

    fn all(&mut self, of_user: &[Made<'_>], but: Option<&str>, op: &Op) {
        if op.is_no() {
            return;
        }
        for made in of_user.iter().filter(|made| Some(made.session) != but) {
            if made.start < op.end || op.is_unknown() {
                self.maybe(Some(made.session), op.start);
            }
            if made.end < op.start && op.is_ok() {
                self.surely(Some(made.session), op.end);
            }
        }
    }

    /// A login that exceeds the limit may end the session, or does.
    pub(super) fn limit(&mut self, session: &str, login: &Op, is_sure: bool) {
        self.maybe(Some(session), login.start);
        let end = self.end(Some(session));
        if is_sure && login.end < end.surely {
            end.surely = login.end;
            end.is_by_limit = true;
        }
    }

    fn maybe(&mut self, session: Option<&str>, from: u64) {
        let end = self.end(session);
        end.maybe = end.maybe.min(from);
    }

    fn surely(&mut self, session: Option<&str>, from: u64) {
        let end = self.end(session);
        end.surely = end.surely.min(from);
    }

    fn end(&mut self, session: Option<&str>) -> &mut End {
        let session = session.unwrap_or_default().to_owned();
        self.0.entry(session).or_insert(NEVER)
    }

    pub(super) fn known(&self, session: Option<&str>) -> End {
        let end = session.and_then(|session| self.0.get(session));
        end.copied().unwrap_or(NEVER)
    }

    /// True when the session may have ended before the response to this request.
    pub(super) fn may_have_ended(&self, op: &Op) -> bool {
        self.known(op.session.as_deref()).maybe < op.end
    }
}

pub(super) fn is_login(op: &Op) -> bool {
    matches!(op.act, Act::LogIn { .. })
}

/// True when an access token was refused because of its age, and rightly. A process accepts none that is older
/// than its own setting allows, whatever the token says.
fn has_expired(op: &Op, shortest_life: Option<u64>) -> bool {
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
fn shows_life(op: &Op) -> bool {
    op.is_ok() && !is_login(op) && op.act != Act::LogOut
}

pub(super) fn check(
    history: &History,
    ends: &Ends,
    authority: &Authority<'_>,
    violations: &mut Vec<Violation>,
) {
    for op in &history.ops {
        let mut broken = |rule, what: &str| {
            violations.push(Violation {
                rule,
                at: op.start,
                text: format!("{what}: {}", describe(op)),
            });
        };
        let end = ends.known(op.session.as_deref());
        if shows_life(op) && end.surely < op.start {
            let rule = match op.who {
                _ if end.is_by_limit => Rule::I16,
                Who::Prober => Rule::I8,
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
        let is_honest = op.who == Who::Honest && op.session.is_some() && !is_login(op);
        let may_be_refused = ends.may_have_ended(op)
            || has_expired(op, history.head.shortest_life)
            || authority.may_refuse(op)
            || ["not_found", "fresh_token_required"].contains(&op.code());
        if is_honest && op.is_no() && !may_be_refused {
            broken(Rule::I4, "refused without a reason");
        }
    }
}
