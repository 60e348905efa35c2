//! Authority of users, and the tokens that carry it: I15, I17.

use std::collections::{BTreeMap, BTreeSet};

use super::accounts::{Shut, UNDER_WAY, shut};
use super::{History, Rule, Violation, describe};
use crate::history::{Act, Op, Span};

/// The role of administrators.
const ADMIN: &str = "admin";

/// Knowledge about one user.
#[derive(Debug, Default)]
struct User<'h> {
    /// The roles at first; absent where nobody knows.
    first: Option<Vec<String>>,
    /// Changes that replaces the roles.
    roles: Vec<&'h Op>,
    /// Changes that disables and enables.
    shuts: Vec<&'h Op>,
    /// Changes that may outdate the access tokens of the time before.
    changes: Vec<&'h Op>,
}

/// Knowledge about all users.
#[derive(Debug)]
pub(super) struct Authority<'h>(BTreeMap<&'h str, User<'h>>);

impl<'h> Authority<'h> {
    pub(super) fn of(history: &'h History) -> Self {
        let mut users: BTreeMap<&str, User<'_>> = BTreeMap::new();
        for name in &history.head.administrators {
            users.entry(name).or_default().first = Some(vec![ADMIN.to_owned()]);
        }
        for op in history.ops.iter().filter(|op| !op.is_no()) {
            match op.act {
                Act::SignUp { .. } => users.entry(&op.user).or_default().first = Some(Vec::new()),
                Act::SetRoles { .. } => users.entry(&op.user).or_default().roles.push(op),
                Act::Disable | Act::Enable => users.entry(&op.user).or_default().shuts.push(op),
                Act::ChangePassword { .. } | Act::LogOutEverywhere => {}
                _ => continue,
            }
            users.entry(&op.user).or_default().changes.push(op);
        }
        Self(users)
    }

    fn user(&self, op: &Op) -> Option<&User<'h>> {
        self.0.get(op.user.as_str())
    }

    /// True when a refusal follows from what changed, or may have.
    pub(super) fn may_refuse(&self, op: &Op) -> bool {
        let Some(user) = self.user(op) else {
            return false;
        };
        match op.code() {
            "token_outdated" => user.may_have_changed(op),
            "insufficient_scope" => {
                let possible = user.possible(op.span());
                possible.iter().any(|roles| !is_admin(roles))
            }
            _ => false,
        }
    }
}

fn is_admin(roles: &[String]) -> bool {
    roles.iter().any(|role| role == ADMIN)
}

fn roles_of(op: &Op) -> Option<&[String]> {
    match &op.act {
        Act::SetRoles { roles } => Some(roles),
        _ => None,
    }
}

impl User<'_> {
    /// Returns the sets of roles that may have been the user's at some moment of this time.
    fn possible(&self, time: Span) -> Vec<&[String]> {
        let is_settled = |op: &&&Op| op.is_ok() && op.end < time.start;
        let settled = self.roles.iter().filter(is_settled).max_by_key(|op| op.end);
        let since = settled.map_or(0, |op| op.start);
        let is_open = |op: &&&Op| {
            let may_be_under_way = op.is_unknown() && time.start < op.end + UNDER_WAY;
            op.start < time.end && !is_settled(op) && (op.start >= since || may_be_under_way)
        };
        let open = self.roles.iter().filter(is_open);
        let mut possible: Vec<&[String]> = open.filter_map(|op| roles_of(op)).collect();
        match settled {
            Some(op) => possible.extend(roles_of(op)),
            None => possible.extend(self.first.as_deref()),
        }
        possible
    }

    /// True when the user may have lost or gained something since the presented access token was requested.
    fn may_have_changed(&self, op: &Op) -> bool {
        op.issued.is_none_or(|issued| {
            let mut changes = self.changes.iter();
            changes.any(|change| {
                change.start < op.end && (change.end > issued.start || change.is_unknown())
            })
        })
    }

    /// Returns the change that was acknowledged between the response with the access token and this request.
    fn outdated_by(&self, op: &Op) -> Option<&Op> {
        let issued = op.issued?;
        let is_between = |change: &&&Op| change.start > issued.end && change.end < op.start;
        let mut changes = self.changes.iter().filter(is_between);
        changes.find(|change| self.has_effect(change)).copied()
    }

    /// True when a change surely outdates the access tokens of the time before it, whose sessions live on.
    fn has_effect(&self, change: &Op) -> bool {
        if !change.is_ok() {
            return false;
        }
        let before = Span {
            start: change.start,
            end: change.start,
        };
        match roles_of(change) {
            // The same roles again change nothing.
            Some(roles) => {
                let possible = self.possible(before);
                !possible.is_empty() && !possible.iter().any(|old| is_same(old, roles))
            }
            None => matches!(change.act, Act::ChangePassword { .. }),
        }
    }
}

fn is_same(one: &[String], other: &[String]) -> bool {
    let set = |roles: &[String]| roles.iter().cloned().collect::<BTreeSet<_>>();
    set(one) == set(other)
}

pub(super) fn check(history: &History, authority: &Authority<'_>, violations: &mut Vec<Violation>) {
    for op in history.ops.iter().filter(|op| op.is_ok()) {
        let Some(user) = authority.user(op) else {
            continue;
        };
        if let Some(text) = user.fault(op) {
            violations.push(Violation {
                rule: Rule::I15,
                at: op.start,
                text: format!("{text}: {}", describe(op)),
            });
        }
    }
    administrators(history, authority, violations);
}

impl User<'_> {
    /// Returns what is wrong with a response.
    fn fault(&self, op: &Op) -> Option<&'static str> {
        let has_own_token = op.session.is_some() && op.issued.is_some();
        let needs_admin = op.act == Act::Govern || (roles_of(op).is_some() && has_own_token);
        if needs_admin && self.knows_roles() && !self.may_be_admin(op) {
            return Some("somebody who is no administrator was served as one");
        }
        if let Some(roles) = &op.roles
            && self.knows_roles()
            && !self
                .possible(op.span())
                .iter()
                .any(|one| is_same(one, roles))
        {
            return Some("roles that the user does not have");
        }
        // Logging out is allowed with any token that the server has made.
        if has_own_token && op.act != Act::LogOut && self.outdated_by(op).is_some() {
            return Some("an access token from before the change was accepted");
        }
        None
    }

    /// True when the user may have been an administrator while this ran, other than by this itself.
    fn may_be_admin(&self, op: &Op) -> bool {
        let others = Self {
            first: self.first.clone(),
            roles: self.roles.clone(),
            ..Self::default()
        };
        let others = others.without(op);
        others.possible(op.span()).into_iter().any(is_admin)
    }

    fn without(mut self, op: &Op) -> Self {
        self.roles.retain(|other| !std::ptr::eq(*other, op));
        self
    }

    fn knows_roles(&self) -> bool {
        self.first.is_some()
    }
}

/// After each change that takes an administrator away, somebody may still be one.
fn administrators(history: &History, authority: &Authority<'_>, violations: &mut Vec<Violation>) {
    let may_be_admin = |user: &&User<'_>| {
        let first = user.first.iter().map(Vec::as_slice);
        let mut roles = first.chain(user.roles.iter().filter_map(|op| roles_of(op)));
        roles.any(is_admin)
    };
    let users: Vec<&User<'_>> = authority.0.values().filter(may_be_admin).collect();
    if history.head.administrators.is_empty() {
        return;
    }
    for user in &users {
        let takes_away = |op: &&&Op| {
            let is_demotion = roles_of(op).is_some_and(|roles| !is_admin(roles));
            op.is_ok() && (op.act == Act::Disable || is_demotion)
        };
        for op in user.changes.iter().filter(takes_away) {
            let at = Span {
                start: op.end + 1,
                end: op.end + 1,
            };
            let is_left = |user: &&User<'_>| {
                let is_open = shut(at, &user.shuts) != Shut::Surely;
                is_open && user.possible(at).into_iter().any(is_admin)
            };
            if !users.iter().any(is_left) {
                violations.push(Violation {
                    rule: Rule::I17,
                    at: op.end,
                    text: format!("no enabled administrator is left: {}", describe(op)),
                });
            }
        }
    }
}
