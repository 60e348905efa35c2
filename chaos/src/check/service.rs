//! Rules of availability, and of a run that is long enough to prove something: I9, I11 to I14.

use std::collections::{BTreeMap, HashSet};

use super::{History, Rule, Violation, describe};
use crate::history::{Action, Operation, Sender, ServedClients};

/// Time for which a response may rest on data that was read before the databases went down.
const LEASE: u64 = 1_500_000;
const SECOND: u64 = 1_000_000;

pub(super) fn check(history: &History, violations: &mut Vec<Violation>) {
    check_blackout(history, violations);
    check_guesses(history, violations);
    check_availability(history, violations);
    check_failure_codes(history, violations);
    for leak in &history.leaks {
        violations.push(Violation {
            rule: Rule::I13,
            at: 0,
            text: format!("{} in {}", leak.what, leak.place),
        });
    }
}

fn check_blackout(history: &History, violations: &mut Vec<Violation>) {
    for fault in &history.faults {
        let until = fault.blackout.unwrap_or(0);
        let during = history
            .operations
            .iter()
            .filter(|op| op.start > fault.start + LEASE && op.end < until);
        // Expiry needs no database, and after a while the key of the token is gone as well.
        let is_old = |op: &&Operation| {
            let has_expired = op.expires.is_some_and(|end| end < op.start);
            op.code() == "token_expired" || (op.code() == "invalid_token" && has_expired)
        };
        for op in during.filter(|op| !op.is_unknown() && !is_old(op)) {
            violations.push(Violation {
                rule: Rule::I9,
                at: op.start,
                text: format!("answered during {}: {}", fault.name, describe(op)),
            });
        }
    }
}

fn check_guesses(history: &History, violations: &mut Vec<Violation>) {
    let mut wrong: BTreeMap<&str, usize> = BTreeMap::new();
    let guesses = history
        .operations
        .iter()
        .filter(|op| op.sender == Sender::Guesser);
    for op in guesses {
        if op.is_ok() || op.code() == "invalid_credentials" {
            *wrong.entry(&op.user).or_default() += 1;
        }
    }
    for (user, count) in wrong {
        if count > history.head.guesses {
            violations.push(Violation {
                rule: Rule::I11,
                at: 0,
                text: format!("{count} check_guesses at the password of {user} were tried"),
            });
        }
    }
}

/// True when an operation fell into the time in which the service may be unavailable.
pub(super) fn is_excused(history: &History, op: &Operation) -> bool {
    let has_session = matches!(
        op.action,
        Action::Check | Action::Govern | Action::Verify | Action::Refresh
    );
    history.faults.iter().any(|fault| {
        let is_near = op.end > fault.start && op.start < fault.end + history.head.recovery;
        let is_spared = match fault.serves {
            ServedClients::Nobody => false,
            ServedClients::Sessions => has_session,
            ServedClients::Everybody => true,
        };
        is_near && !is_spared
    })
}

fn check_availability(history: &History, violations: &mut Vec<Violation>) {
    let outside: Vec<&Operation> = history
        .operations
        .iter()
        .filter(|op| op.sender == Sender::Honest && !is_excused(history, op))
        .collect();
    // A client that disconnects was not refused service.
    let is_failed = |op: &Operation| op.is_unknown() && op.code() != "hung_up";
    let failed = outside.iter().filter(|op| is_failed(op)).count();
    if failed * 100 > outside.len() {
        let first = outside.iter().find(|op| is_failed(op));
        let first = first.map(|op| describe(op)).unwrap_or_default();
        violations.push(Violation {
            rule: Rule::I12,
            at: 0,
            text: format!(
                "{failed} of {} requests failed apart from faults, the first being {first}",
                outside.len()
            ),
        });
    }
}

/// Codes that no failure may have, for any client at any time: a 500, a response of no known form, or one
/// that says "later" and not when.
const FORBIDDEN_CODES: [&str; 3] = ["internal", "no_code", "no_retry_after"];

fn check_failure_codes(history: &History, violations: &mut Vec<Violation>) {
    // No user has the names that are tried in a flood.
    let is_odd =
        |op: &&Operation| op.is_ok() || (op.is_refused() && op.code() != "invalid_credentials");
    let flooders = history
        .operations
        .iter()
        .filter(|op| op.sender == Sender::Flooder);
    for op in flooders.filter(is_odd) {
        violations.push(Violation {
            rule: Rule::I12,
            at: op.start,
            text: format!("a flood was neither refused nor put off: {}", describe(op)),
        });
    }
    let untold = |op: &&Operation| op.is_unknown() && FORBIDDEN_CODES.contains(&op.code());
    for op in history.operations.iter().filter(untold) {
        violations.push(Violation {
            rule: Rule::I12,
            at: op.start,
            text: format!("failed without a word: {}", describe(op)),
        });
    }
}

/// Counts the events that the rules are about.
pub(super) fn counts(history: &History) -> BTreeMap<&'static str, usize> {
    let operations = &history.operations;
    let count =
        |filter: &dyn Fn(&Operation) -> bool| operations.iter().filter(|op| filter(op)).count();
    let refresh = |op: &Operation| op.action == Action::Refresh;
    let mut rotated = HashSet::new();
    let replays = count(&|op| refresh(op) && op.is_ok() && op.sender == Sender::Honest)
        - count_distinct(
            operations
                .iter()
                .filter(|op| refresh(op) && op.is_ok() && op.sender == Sender::Honest),
            &mut rotated,
        );
    BTreeMap::from([
        ("requests", operations.len()),
        ("faults", history.faults.len()),
        ("rotations", rotated.len()),
        ("replays", replays),
        ("answers lost", count(&|op| refresh(op) && op.is_unknown())),
        ("thefts seen", count(&|op| op.code() == "refresh_reused")),
        ("ends", count(&|op| op.is_ok() && is_end(op))),
        (
            "expired tokens presented",
            count(&|op| op.sender == Sender::Thief && op.expires.is_some_and(|end| op.start > end)),
        ),
        (
            "probes of what has ended",
            count(&|op| op.sender == Sender::Prober),
        ),
        (
            "changes of roles",
            count(&|op| op.is_ok() && matches!(op.action, Action::SetRoles { .. })),
        ),
        (
            "logins on a known device",
            count(&|op| op.is_ok() && op.known_device),
        ),
        ("sessions over the limit", count_over_limit(history)),
    ])
}

/// Counts the logins of users who never log out, beyond those that the limit of sessions allows.
fn count_over_limit(history: &History) -> usize {
    let mut users: BTreeMap<&str, (usize, bool)> = BTreeMap::new();
    for op in &history.operations {
        let (logins, ends) = users.entry(&op.user).or_default();
        *logins += usize::from(op.is_ok() && matches!(op.action, Action::LogIn { .. }));
        *ends |= is_end(op);
    }
    let limit = history.head.max_sessions.unwrap_or(usize::MAX);
    let hoarders = users.values().filter(|(_, ends)| !ends);
    hoarders
        .map(|(logins, _)| logins.saturating_sub(limit))
        .sum()
}

fn is_end(op: &Operation) -> bool {
    matches!(
        op.action,
        Action::LogOut
            | Action::Revoke { .. }
            | Action::LogOutEverywhere
            | Action::Disable
            | Action::ChangePassword { .. }
    )
}

fn count_distinct<'h>(
    operations: impl Iterator<Item = &'h Operation>,
    tokens: &mut HashSet<(&'h str, u64)>,
) -> usize {
    for op in operations {
        if let Some(given) = &op.given {
            tokens.insert((&given.session, given.generation));
        }
    }
    tokens.len()
}

pub(super) fn check_counts(
    history: &History,
    counts: &BTreeMap<&'static str, usize>,
    violations: &mut Vec<Violation>,
) {
    let seconds = usize::try_from(history.head.seconds).unwrap_or(usize::MAX);
    let least = [
        ("requests", seconds * 5),
        ("faults", seconds / 30),
        ("rotations", seconds),
        ("replays", seconds / 4),
        ("answers lost", seconds / 20),
        ("thefts seen", seconds / 30),
        ("ends", seconds / 5),
        ("expired tokens presented", seconds / 2),
        ("probes of what has ended", seconds),
        ("changes of roles", seconds / 6),
        ("logins on a known device", seconds / 10),
        ("sessions over the limit", seconds / 10),
    ];
    for (what, least) in least {
        let seen = counts.get(what).copied().unwrap_or(0);
        if seen < least {
            violations.push(Violation {
                rule: Rule::I14,
                at: 0,
                text: format!("{seen} {what} in {seconds} s, which should be {least} or more"),
            });
        }
    }
    if let Some(last) = history.operations.iter().map(|op| op.end).max()
        && last < history.head.seconds * SECOND
    {
        violations.push(Violation {
            rule: Rule::I14,
            at: last,
            text: "the clients stopped before the end of the run".to_owned(),
        });
    }
}
