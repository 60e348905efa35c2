//! Which sessions end because their user has too many: the model of I16.

use std::collections::HashMap;

use super::History;
use super::ends::{Ends, is_login};
use crate::history::{Act, Op};

/// A session, or a login that may have made one.
#[derive(Debug)]
struct Candidate<'h> {
    /// Absent where nobody saw the response.
    session: Option<&'h str>,
    login: &'h Op,
    /// Every request of the session that was not refused.
    uses: Vec<&'h Op>,
}

impl Candidate<'_> {
    /// Returns when it was last used for sure before this time. An access token that is checked leaves no
    /// mark.
    fn surely_used(&self, before: u64) -> u64 {
        let marks = self.uses.iter().filter(|op| {
            let is_rotation = op.act == Act::Refresh
                && op.shown.as_ref().map(|token| token.generation)
                    < op.given.as_ref().map(|token| token.generation);
            op.is_ok() && op.end < before && is_rotation
        });
        marks
            .map(|op| op.start)
            .max()
            .unwrap_or(0)
            .max(self.login.start)
    }

    /// Returns until when it may have been used before this time.
    fn perhaps_used(&self, before: u64) -> u64 {
        let uses = self.uses.iter().filter(|op| op.start < before);
        uses.map(|op| op.end).max().unwrap_or(0).max(self.login.end)
    }
}

/// Works out for each login which sessions it ends.
pub(super) fn apply(history: &History, ends: &mut Ends) {
    let Some(limit) = history.head.max_sessions else {
        return;
    };
    let mut uses: HashMap<&str, Vec<&Op>> = HashMap::new();
    let mut logins: HashMap<&str, Vec<&Op>> = HashMap::new();
    for op in history.ops.iter().filter(|op| !op.is_no()) {
        if is_login(op) {
            logins.entry(&op.user).or_default().push(op);
        } else if let Some(session) = &op.session {
            uses.entry(session).or_default().push(op);
        }
    }
    for logins in logins.values().filter(|logins| logins.len() > limit) {
        let mut candidates: Vec<Candidate<'_>> = Vec::new();
        for login in logins {
            // What has ended for sure takes no place, now or later.
            candidates.retain(|one| ends.known(one.session).surely >= login.start);
            let session = login.session.as_deref();
            let uses = session.and_then(|session| uses.get(session)).cloned();
            candidates.push(Candidate {
                session,
                login,
                uses: uses.unwrap_or_default(),
            });
            one_login(&candidates, login, limit, ends);
        }
    }
}

fn one_login(candidates: &[Candidate<'_>], login: &Op, limit: usize, ends: &mut Ends) {
    if candidates.len() <= limit {
        return;
    }
    let (mut maybe, mut surely) = (Vec::new(), Vec::new());
    for (place, one) in candidates.iter().enumerate() {
        let Some(session) = one.session else { continue };
        let others = || {
            let others = candidates.iter().enumerate();
            others
                .filter(move |(other, _)| *other != place)
                .map(|(_, other)| other)
        };
        let (used, last_use) = (one.surely_used(login.start), one.perhaps_used(login.end));
        let perhaps_newer = others().filter(|other| other.perhaps_used(login.end) > used);
        if perhaps_newer.count() < limit {
            continue;
        }
        maybe.push(session);
        let is_surely_newer = |other: &&Candidate<'_>| {
            let is_itself = std::ptr::eq(other.login, login);
            let lives = ends.known(other.session).maybe > login.end;
            let is_known = other.session.is_some() && other.login.is_ok();
            is_known
                && (is_itself || (other.login.end < login.start && lives))
                && other.surely_used(login.start) > last_use
        };
        if login.is_ok() && others().filter(is_surely_newer).count() >= limit {
            surely.push(session);
        }
    }
    for session in maybe {
        let is_sure = surely.contains(&session);
        ends.limit(session, login, is_sure);
    }
}
