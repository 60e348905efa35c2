//! Authority of users, and the tokens that carry it: I15, I17.

use std::collections::{BTreeMap, BTreeSet};

use super::accounts::{DisabledState, PENDING_CHANGE, disabled_state};
use super::{History, Rule, Violation, describe};
use crate::history::{Action, Operation, TimeSpan};

/// The role of administrators.
const ADMIN: &str = "admin";

/// Knowledge about one user.
#[derive(Debug, Default)]
struct UserChanges<'h> {
    /// The roles at first; absent where nobody knows.
    first: Option<Vec<String>>,
    /// Changes that replaces the roles.
    roles: Vec<&'h Operation>,
    /// Changes that disables and enables.
    disabling: Vec<&'h Operation>,
    /// Changes that may outdate the access tokens of the time before.
    changes: Vec<&'h Operation>,
}

/// Knowledge about all users.
#[derive(Debug)]
pub(super) struct AuthorityChanges<'h>(BTreeMap<&'h str, UserChanges<'h>>);

impl<'h> AuthorityChanges<'h> {
    pub(super) fn of(history: &'h History) -> Self {
        let mut users: BTreeMap<&str, UserChanges<'_>> = BTreeMap::new();
        for name in &history.head.administrators {
            users.entry(name).or_default().first = Some(vec![ADMIN.to_owned()]);
        }
        for op in history.operations.iter().filter(|op| !op.is_refused()) {
            match op.action {
                Action::SignUp { .. } => {
                    users.entry(&op.user).or_default().first = Some(Vec::new());
                }
                Action::SetRoles { .. } => users.entry(&op.user).or_default().roles.push(op),
                Action::Disable | Action::Enable => {
                    users.entry(&op.user).or_default().disabling.push(op);
                }
                Action::ChangePassword { .. } | Action::LogOutEverywhere => {}
                _ => continue,
            }
            users.entry(&op.user).or_default().changes.push(op);
        }
        Self(users)
    }

    fn user(&self, op: &Operation) -> Option<&UserChanges<'h>> {
        self.0.get(op.user.as_str())
    }

    /// True when a refusal follows from what changed, or may have.
    pub(super) fn may_refuse(&self, op: &Operation) -> bool {
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

fn roles_of(op: &Operation) -> Option<&[String]> {
    match &op.action {
        Action::SetRoles { roles } => Some(roles),
        _ => None,
    }
}

impl UserChanges<'_> {
    /// Returns the sets of roles that may have been the user's at some moment of this time.
    fn possible(&self, time: TimeSpan) -> Vec<&[String]> {
        let is_settled = |op: &&&Operation| op.is_ok() && op.end < time.start;
        let settled = self.roles.iter().filter(is_settled).max_by_key(|op| op.end);
        let since = settled.map_or(0, |op| op.start);
        let is_open = |op: &&&Operation| {
            let may_be_under_way = op.is_unknown() && time.start < op.end + PENDING_CHANGE;
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
    fn may_have_changed(&self, op: &Operation) -> bool {
        op.issued.is_none_or(|issued| {
            let mut changes = self.changes.iter();
            changes.any(|change| {
                change.start < op.end && (change.end > issued.start || change.is_unknown())
            })
        })
    }

    /// Returns the change that was acknowledged between the response with the access token and this request.
    fn outdated_by(&self, op: &Operation) -> Option<&Operation> {
        let issued = op.issued?;
        let is_between = |change: &&&Operation| change.start > issued.end && change.end < op.start;
        let mut changes = self.changes.iter().filter(is_between);
        changes.find(|change| self.has_effect(change)).copied()
    }

    /// True when a change surely outdates the access tokens of the time before it, whose sessions live on.
    fn has_effect(&self, change: &Operation) -> bool {
        if !change.is_ok() {
            return false;
        }
        let before = TimeSpan {
            start: change.start,
            end: change.start,
        };
        match roles_of(change) {
            // The same roles again change nothing.
            Some(roles) => {
                let possible = self.possible(before);
                !possible.is_empty() && !possible.iter().any(|old| is_same(old, roles))
            }
            None => matches!(change.action, Action::ChangePassword { .. }),
        }
    }
}

fn is_same(one: &[String], other: &[String]) -> bool {
    let set = |roles: &[String]| roles.iter().cloned().collect::<BTreeSet<_>>();
    set(one) == set(other)
}

pub(super) fn check(
    history: &History,
    authority: &AuthorityChanges<'_>,
    violations: &mut Vec<Violation>,
) {
    for op in history.operations.iter().filter(|op| op.is_ok()) {
        let Some(user) = authority.user(op) else {
            continue;
        };
        if let Some(text) = user.wrong_roles(op) {
            violations.push(Violation {
                rule: Rule::I15,
                at: op.start,
                text: format!("{text}: {}", describe(op)),
            });
        }
    }
    administrators(history, authority, violations);
}

impl UserChanges<'_> {
    /// Returns what is wrong with a response.
    fn wrong_roles(&self, op: &Operation) -> Option<&'static str> {
        let has_own_token = op.session.is_some() && op.issued.is_some();
        let needs_admin = op.action == Action::Govern || (roles_of(op).is_some() && has_own_token);
        if needs_admin && self.knows_roles() && !self.may_be_admin(op) {
            return Some("somebody sender is no administrator was served as one");
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
        if has_own_token && op.action != Action::LogOut && self.outdated_by(op).is_some() {
            return Some("an access token from before the change was accepted");
        }
        None
    }

    /// True when the user may have been an administrator while this ran, other than by this itself.
    fn may_be_admin(&self, op: &Operation) -> bool {
        let others = Self {
            first: self.first.clone(),
            roles: self.roles.clone(),
            ..Self::default()
        };
        let others = others.without(op);
        others.possible(op.span()).into_iter().any(is_admin)
    }

    fn without(mut self, op: &Operation) -> Self {
        self.roles.retain(|other| !std::ptr::eq(*other, op));
        self
    }

    fn knows_roles(&self) -> bool {
        self.first.is_some()
    }
}

/// After each change that takes an administrator away, somebody may still be one.
fn administrators(
    history: &History,
    authority: &AuthorityChanges<'_>,
    violations: &mut Vec<Violation>,
) {
    let may_be_admin = |user: &&UserChanges<'_>| {
        let first = user.first.iter().map(Vec::as_slice);
        let mut roles = first.chain(user.roles.iter().filter_map(|op| roles_of(op)));
        roles.any(is_admin)
    };
    let users: Vec<&UserChanges<'_>> = authority.0.values().filter(may_be_admin).collect();
    if history.head.administrators.is_empty() {
        return;
    }
    for user in &users {
        let takes_away = |op: &&&Operation| {
            let is_demotion = roles_of(op).is_some_and(|roles| !is_admin(roles));
            op.is_ok() && (op.action == Action::Disable || is_demotion)
        };
        for op in user.changes.iter().filter(takes_away) {
            let at = TimeSpan {
                start: op.end + 1,
                end: op.end + 1,
            };
            let is_left = |user: &&UserChanges<'_>| {
                let is_open = disabled_state(at, &user.disabling) != DisabledState::Surely;
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
