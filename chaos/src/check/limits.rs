//! Limits and large numbers: I1 in lists, I18, I19, I20.

use std::collections::BTreeMap;

use super::service::is_excused;
use super::{History, Rule, Violation, describe};
use crate::history::{Action, Operation, Sender};

/// Largest lead of a clock over the database's, in seconds.
const ALLOWED_SKEW: u64 = 60;

/// Time for which a clock jump during a run may go unnoticed: the jump is followed once the clock has stayed
/// where it was set for a minute.
const NOTICE_CLOCK_WITHIN: u64 = 80_000_000;

/// The fault that ends a great number of sessions of one user.
const END_MANY_SESSIONS: &str = "EndManySessions";

pub(super) fn check(history: &History, violations: &mut Vec<Violation>) {
    check_known_devices(history, violations);
    check_start_clocks(history, violations);
    check_clock_jumps(history, violations);
    check_mass_ends(history, violations);
    check_session_lists(history, violations);
}

/// A known device with the right password is accepted, whatever strangers have guessed.
fn check_known_devices(history: &History, violations: &mut Vec<Violation>) {
    let mut wrong: BTreeMap<&str, usize> = BTreeMap::new();
    for op in history
        .operations
        .iter()
        .filter(|op| op.sender == Sender::Honest)
    {
        let Action::LogIn { .. } = op.action else {
            continue;
        };
        if op.code() == "invalid_credentials" {
            *wrong.entry(&op.user).or_default() += 1;
        }
        let own_faults = wrong.get(op.user.as_str()).copied().unwrap_or(0);
        let is_locked_out = op.known_device && op.code() == "too_many_requests";
        if is_locked_out && own_faults < history.head.guesses && !is_excused(history, op) {
            violations.push(Violation {
                rule: Rule::I18,
                at: op.start,
                text: format!("a known device was locked out: {}", describe(op)),
            });
        }
    }
}

fn check_start_clocks(history: &History, violations: &mut Vec<Violation>) {
    for start in history
        .starts
        .iter()
        .filter(|start| start.ahead > ALLOWED_SKEW)
    {
        let text = match start.exit_code {
            _ if start.is_ready => "was ready",
            Some(0) => "ended as if nothing were wrong",
            _ => continue,
        };
        violations.push(Violation {
            rule: Rule::I19,
            at: start.start,
            text: format!(
                "replica {} {text} with a clock that is {} s ahead",
                start.replica, start.ahead
            ),
        });
    }
}

/// A process whose clock went wrong while it ran says that it is not ready.
fn check_clock_jumps(history: &History, violations: &mut Vec<Violation>) {
    let mut asked = history.readiness.iter();
    let late = asked.find(|asked| {
        asked.is_ready
            && asked.ahead > ALLOWED_SKEW
            && asked.start > asked.since + NOTICE_CLOCK_WITHIN
    });
    if let Some(late) = late {
        violations.push(Violation {
            rule: Rule::I19,
            at: late.start,
            text: format!("ready with a clock that is {} s ahead", late.ahead),
        });
    }
}

fn ends_all(op: &Operation) -> bool {
    matches!(
        op.action,
        Action::Disable | Action::LogOutEverywhere | Action::ChangePassword { .. }
    )
}

/// With nothing else wrong, the end of a great number of sessions is acknowledged at the first try.
fn check_mass_ends(history: &History, violations: &mut Vec<Violation>) {
    for fault in history
        .faults
        .iter()
        .filter(|fault| fault.name == END_MANY_SESSIONS)
    {
        let during = |op: &&Operation| op.start > fault.start && op.end < fault.end;
        let operations = history.operations.iter().filter(during);
        for op in
            operations.filter(|op| ends_all(op) && op.is_unknown() && op.sender == Sender::Honest)
        {
            let mut others = history
                .faults
                .iter()
                .filter(|other| other.name != fault.name);
            if others
                .any(|other| op.start < other.end + history.head.recovery && op.end > other.start)
            {
                continue;
            }
            violations.push(Violation {
                rule: Rule::I20,
                at: op.start,
                text: format!("many sessions were not ended: {}", describe(op)),
            });
        }
    }
}

/// After all sessions of a user ended, no list contains one, until the next login.
fn check_session_lists(history: &History, violations: &mut Vec<Violation>) {
    for op in history
        .operations
        .iter()
        .filter(|op| op.listed.is_some_and(|count| count > 0))
    {
        if op.action != Action::ListSessions {
            continue;
        }
        let before = history
            .operations
            .iter()
            .filter(|other| other.user == op.user && !other.is_refused() && other.start < op.end);
        let (mut ended, mut login) = (None, 0);
        for other in before {
            match other.action {
                Action::Disable | Action::LogOutEverywhere
                    if other.is_ok() && other.end < op.start =>
                {
                    ended = ended.max(Some(other.start));
                }
                Action::LogIn { .. } => login = login.max(other.end),
                _ => {}
            }
        }
        if ended.is_some_and(|ended| login < ended) {
            violations.push(Violation {
                rule: Rule::I1,
                at: op.start,
                text: format!("ended sessions are listed: {}", describe(op)),
            });
        }
    }
}
