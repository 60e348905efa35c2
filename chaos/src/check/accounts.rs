//! Rules of valid passwords of an account: I6, I7.

use std::collections::BTreeMap;

use super::ends::is_login;
use super::{History, Rule, Violation, describe};
use crate::history::{Act, Op, Span};

/// A password that an account got, or may have got.
#[derive(Clone, Copy, Debug)]
struct Change<'h> {
    password: u32,
    op: &'h Op,
}

pub(super) fn check(history: &History, violations: &mut Vec<Violation>) {
    let mut users: BTreeMap<&str, Vec<&Op>> = BTreeMap::new();
    for op in &history.ops {
        users.entry(&op.user).or_default().push(op);
    }
    for ops in users.values() {
        let changes: Vec<Change<'_>> = ops.iter().filter_map(|op| change(op)).collect();
        if changes.is_empty() {
            // An account from before the run, which nobody changes.
            continue;
        }
        for op in ops.iter().filter(|op| is_login(op)) {
            login(op, ops, &changes, violations);
        }
        for change in changes.iter().filter(|change| change.op.is_unknown()) {
            all_or_nothing(*change, ops, &changes, violations);
        }
    }
}

fn change(op: &Op) -> Option<Change<'_>> {
    match op.act {
        Act::SignUp { password } | Act::ChangePassword { password } if !op.is_no() => {
            Some(Change { password, op })
        }
        _ => None,
    }
}

fn password_of(op: &Op) -> Option<u32> {
    match op.act {
        Act::LogIn { password } => Some(password),
        _ => None,
    }
}

fn login(op: &Op, ops: &[&Op], changes: &[Change<'_>], violations: &mut Vec<Violation>) {
    let Some(shown) = password_of(op) else { return };
    let possible = possible(op, changes);
    let mut broken = |text: &str| {
        violations.push(Violation {
            rule: Rule::I6,
            at: op.start,
            text: format!("{text}: {}", describe(op)),
        });
    };
    if op.is_ok() && !possible.contains(&shown) {
        broken("a password that was replaced, or never was, opened the account");
    }
    if op.is_ok() && shut(op.span(), ops) == Shut::Surely {
        broken("a disabled account was opened");
    }
    if op.code() == "invalid_credentials"
        && possible == [shown]
        && shut(op.span(), ops) == Shut::Never
    {
        broken("the acknowledged password does not open the account");
    }
}

/// Returns the passwords that may be the account's while `op` runs.
fn possible(op: &Op, changes: &[Change<'_>]) -> Vec<u32> {
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
pub(super) enum Shut {
    Never,
    Perhaps,
    Surely,
}

/// Time for which an unacknowledged change may still be under way after its client has given up: a network
/// that hangs keeps it, and then the database may take it.
pub(super) const UNDER_WAY: u64 = 15_000_000;

pub(super) fn shut(op: Span, ops: &[&Op]) -> Shut {
    let is_open = |other: &&Op| {
        matches!(other.act, Act::Disable | Act::Enable)
            && other.is_unknown()
            && other.start < op.end
            && op.start < other.end + UNDER_WAY
    };
    if ops.iter().any(is_open) {
        return Shut::Perhaps;
    }
    let last = |act: &Act| {
        let before = ops
            .iter()
            .filter(|other| other.act == *act && !other.is_no());
        before
            .filter(|other| other.start < op.end)
            .max_by_key(|other| other.start)
    };
    let Some(disable) = last(&Act::Disable) else {
        return Shut::Never;
    };
    match last(&Act::Enable) {
        Some(enable) if enable.start > disable.end => {
            if enable.is_ok() && enable.end < op.start {
                Shut::Never
            } else {
                Shut::Perhaps
            }
        }
        _ if disable.is_ok() && disable.end < op.start => Shut::Surely,
        _ => Shut::Perhaps,
    }
}

/// An unacknowledged change becomes visible by a login; from then on all of it is done.
fn all_or_nothing(
    change: Change<'_>,
    ops: &[&Op],
    changes: &[Change<'_>],
    violations: &mut Vec<Violation>,
) {
    let with_new = ops
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
        ops.iter().any(|op| {
            is_login(op) && op.session.as_ref() == Some(session) && op.end < change.op.start
        })
    };
    for op in ops.iter().filter(|op| op.is_ok() && op.start > done) {
        let came_back = password_of(op)
            .is_some_and(|password| password != change.password && !later_change_to(password));
        let lives_on = matches!(op.act, Act::Check | Act::Refresh)
            && op.session != change.op.session
            && op.session.as_ref().is_some_and(before)
            && matches!(change.op.act, Act::ChangePassword { .. });
        if came_back || lives_on {
            violations.push(Violation {
                rule: Rule::I7,
                at: op.start,
                text: format!("half of a change of password: {}", describe(op)),
            });
        }
    }
}
