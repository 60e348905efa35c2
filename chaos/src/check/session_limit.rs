//! Which sessions end because their user has too many: the model of I16.

use std::collections::HashMap;

use super::History;
use super::ends::{SessionEnds, is_login};
use crate::history::{Action, Operation};

/// A session, or a login that may have made one.
#[derive(Debug)]
struct SessionAtLogin<'h> {
    /// Absent where nobody saw the response.
    session: Option<&'h str>,
    login: &'h Operation,
    /// Every request of the session that was not refused.
    uses: Vec<&'h Operation>,
}

impl SessionAtLogin<'_> {
    /// Returns when it was last used for sure before this time. An access token that is checked leaves no
    /// mark.
    fn certainly_used_at(&self, before: u64) -> u64 {
        let marks = self.uses.iter().filter(|op| {
            let is_rotation = op.action == Action::Refresh
                && op.presented.as_ref().map(|token| token.generation)
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
    fn possibly_used_at(&self, before: u64) -> u64 {
        let uses = self.uses.iter().filter(|op| op.start < before);
        uses.map(|op| op.end).max().unwrap_or(0).max(self.login.end)
    }
}

/// Works out for each login which sessions it ends.
pub(super) fn apply(history: &History, ends: &mut SessionEnds) {
    let Some(limit) = history.head.max_sessions else {
        return;
    };
    let mut uses: HashMap<&str, Vec<&Operation>> = HashMap::new();
    let mut logins: HashMap<&str, Vec<&Operation>> = HashMap::new();
    for op in history.operations.iter().filter(|op| !op.is_refused()) {
        if is_login(op) {
            logins.entry(&op.user).or_default().push(op);
        } else if let Some(session) = &op.session {
            uses.entry(session).or_default().push(op);
        }
    }
    for logins in logins.values().filter(|logins| logins.len() > limit) {
        let mut candidates: Vec<SessionAtLogin<'_>> = Vec::new();
        for login in logins {
            // What has ended for sure takes no place, now or later.
            candidates.retain(|one| ends.known(one.session).certainly >= login.start);
            let session = login.session.as_deref();
            let uses = session.and_then(|session| uses.get(session)).cloned();
            candidates.push(SessionAtLogin {
                session,
                login,
                uses: uses.unwrap_or_default(),
            });
            apply_login(&candidates, login, limit, ends);
        }
    }
}

fn apply_login(
    candidates: &[SessionAtLogin<'_>],
    login: &Operation,
    limit: usize,
    ends: &mut SessionEnds,
) {
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
        let (used, last_use) = (
            one.certainly_used_at(login.start),
            one.possibly_used_at(login.end),
        );
        let perhaps_newer = others().filter(|other| other.possibly_used_at(login.end) > used);
        if perhaps_newer.count() < limit {
            continue;
        }
        maybe.push(session);
        let is_surely_newer = |other: &&SessionAtLogin<'_>| {
            let is_itself = std::ptr::eq(other.login, login);
            let lives = ends.known(other.session).possibly > login.end;
            let is_known = other.session.is_some() && other.login.is_ok();
            is_known
                && (is_itself || (other.login.end < login.start && lives))
                && other.certainly_used_at(login.start) > last_use
        };
        if login.is_ok() && others().filter(is_surely_newer).count() >= limit {
            surely.push(session);
        }
    }
    for session in maybe {
        let is_sure = surely.contains(&session);
        ends.end_by_limit(session, login, is_sure);
    }
}
