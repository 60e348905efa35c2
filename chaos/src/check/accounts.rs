//! Rules of valid passwords of an account: I6, I7.

use std::collections::BTreeMap;

use super::ends::is_login;
use super::{History, Rule, Violation, describe};
use crate::history::{Action, Operation, TimeSpan};

/// A password that an account got, or may have got.
#[derive(Clone, Copy, Debug)]
struct PasswordChange<'h> {
    password: u32,
    op: &'h Operation,
}

pub(super) fn check(history: &History, violations: &mut Vec<Violation>) {
    let mut users: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for op in &history.operations {
        users.entry(&op.user).or_default().push(op);
    }
    for operations in users.values() {
        let changes: Vec<PasswordChange<'_>> =
            operations.iter().filter_map(|op| change(op)).collect();
        if changes.is_empty() {
            // An account from before the run, which nobody changes.
            continue;
        }
        for op in operations.iter().filter(|op| is_login(op)) {
            check_login(op, operations, &changes, violations);
        }
        for change in changes.iter().filter(|change| change.op.is_unknown()) {
            check_all_or_nothing(*change, operations, &changes, violations);
        }
    }
}

fn change(op: &Operation) -> Option<PasswordChange<'_>> {
    match op.action {
        Action::SignUp { password } | Action::ChangePassword { password } if !op.is_refused() => {
            Some(PasswordChange { password, op })
        }
        _ => None,
    }
}

fn password_of(op: &Operation) -> Option<u32> {
    match op.action {
        Action::LogIn { password } => Some(password),
        _ => None,
    }
}

fn check_login(
    op: &Operation,
    operations: &[&Operation],
    changes: &[PasswordChange<'_>],
    violations: &mut Vec<Violation>,
) {
    let Some(presented) = password_of(op) else {
        return;
    };
    let possible_passwords = possible_passwords(op, changes);
    let mut broken = |text: &str| {
        violations.push(Violation {
            rule: Rule::I6,
            at: op.start,
            text: format!("{text}: {}", describe(op)),
        });
    };
    if op.is_ok() && !possible_passwords.contains(&presented) {
        broken("a password that was replaced, or never was, opened the account");
    }
    if op.is_ok() && disabled_state(op.span(), operations) == DisabledState::Surely {
        broken("a disabled account was opened");
    }
    if op.code() == "invalid_credentials"
        && possible_passwords == [presented]
        && disabled_state(op.span(), operations) == DisabledState::Never
    {
        broken("the acknowledged password does not open the account");
    }
}

/// Returns the passwords that may be the account's while `op` runs.
fn possible_passwords(op: &Operation, changes: &[PasswordChange<'_>]) -> Vec<u32> {
    let settled = changes
        .iter()
        .filter(|change| change.op.is_ok() && change.op.end < op.start)
        .max_by_key(|change| change.op.end);
    let since = settled.map_or(0, |change| change.op.start);
    let open = changes.iter().filter(|change| {
        let is_settled = change.op.is_ok() && change.op.end < op.start;
        change.op.start < op.end
            && (change.op.start >= since || change.op.is_unknown())
            && !is_settled
    });
    let mut passwords: Vec<u32> = settled
        .into_iter()
        .chain(open)
        .map(|change| change.password)
        .collect();
    passwords.sort_unstable();
    passwords.dedup();
    passwords
}

/// State of an account during a request: disabled, enabled, or unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DisabledState {
    Never,
    Perhaps,
    Surely,
}

/// Time for which an unacknowledged change may still be under way after its client has given up: a network
/// that hangs keeps it, and then the database may take it.
pub(super) const PENDING_CHANGE: u64 = 15_000_000;

pub(super) fn disabled_state(op: TimeSpan, operations: &[&Operation]) -> DisabledState {
    let is_open = |other: &&Operation| {
        matches!(other.action, Action::Disable | Action::Enable)
            && other.is_unknown()
            && other.start < op.end
            && op.start < other.end + PENDING_CHANGE
    };
    if operations.iter().any(is_open) {
        return DisabledState::Perhaps;
    }
    let last = |action: &Action| {
        let before = operations
            .iter()
            .filter(|other| other.action == *action && !other.is_refused());
        before
            .filter(|other| other.start < op.end)
            .max_by_key(|other| other.start)
    };
    let Some(disable) = last(&Action::Disable) else {
        return DisabledState::Never;
    };
    match last(&Action::Enable) {
        Some(enable) if enable.start > disable.end => {
            if enable.is_ok() && enable.end < op.start {
                DisabledState::Never
            } else {
                DisabledState::Perhaps
            }
        }
        _ if disable.is_ok() && disable.end < op.start => DisabledState::Surely,
        _ => DisabledState::Perhaps,
    }
}

/// An unacknowledged change becomes visible by a login; from then on all of it is done.
fn check_all_or_nothing(
    change: PasswordChange<'_>,
    operations: &[&Operation],
    changes: &[PasswordChange<'_>],
    violations: &mut Vec<Violation>,
) {
    let with_new = operations
        .iter()
        .filter(|op| op.is_ok() && password_of(op) == Some(change.password));
    let Some(done) = with_new.map(|op| op.end).min() else {
        return;
    };
    let later_change_to = |password: u32| {
        let mut later = changes
            .iter()
            .filter(|other| other.op.start > change.op.start);
        later.any(|other| other.password == password)
    };
    let before = |session: &String| {
        operations.iter().any(|op| {
            is_login(op) && op.session.as_ref() == Some(session) && op.end < change.op.start
        })
    };
    for op in operations.iter().filter(|op| op.is_ok() && op.start > done) {
        let came_back = password_of(op)
            .is_some_and(|password| password != change.password && !later_change_to(password));
        let lives_on = matches!(op.action, Action::Check | Action::Refresh)
            && op.session != change.op.session
            && op.session.as_ref().is_some_and(before)
            && matches!(change.op.action, Action::ChangePassword { .. });
        if came_back || lives_on {
            violations.push(Violation {
                rule: Rule::I7,
                at: op.start,
                text: format!("half of a change of password: {}", describe(op)),
            });
        }
    }
}
