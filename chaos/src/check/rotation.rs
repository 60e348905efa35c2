//! Rules of refresh tokens: I2, I3, I5.

use std::collections::{BTreeMap, HashMap};

use super::ends::SessionEnds;
use super::{History, Rule, Violation, describe};
use crate::history::{Action, Operation, Sender, TokenIdentity};

/// The server counts in milliseconds.
const ROUNDING: u64 = 2_000;
/// Number of rotations within grace after which the server returns the presented token itself.
const REMEMBERED_ROTATIONS: usize = 16;
/// Name of the fault in which replicas sign under different secrets for a while.
const ROOT_SECRET_ROTATION: &str = "RotateRootSecret";

pub(super) fn check(history: &History, ends: &SessionEnds, violations: &mut Vec<Violation>) {
    let mut sessions: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for op in history.operations.iter().filter(|op| rotates(op)) {
        if let Some(session) = &op.session {
            sessions.entry(session).or_default().push(op);
        }
    }
    let rotations = history
        .faults
        .iter()
        .filter(|fault| fault.name == ROOT_SECRET_ROTATION);
    let secret_rotated_at = rotations.map(|fault| fault.start).min();
    for operations in sessions.values() {
        let known = SessionFacts::of(operations, secret_rotated_at);
        for op in operations {
            if known.has_no_cause(op) {
                violations.push(violation(Rule::I2, op, "a successor that nobody asked for"));
            }
            if let Some(text) = known.fork_of(op, history.head.grace) {
                violations.push(violation(Rule::I2, op, text));
            }
            if known.is_late(op, history.head.grace) && !ends_the_session(op) {
                violations.push(violation(
                    Rule::I3,
                    op,
                    "presented after grace, and it goes on",
                ));
            }
        }
        check_lost_responses(operations, ends, violations);
    }
    check_first_generations(history, violations);
}

/// True when this creates a successor: a refresh, or a password change, whose session continues with one.
fn rotates(op: &Operation) -> bool {
    op.action == Action::Refresh || is_new_password(op)
}

fn is_new_password(op: &Operation) -> bool {
    matches!(op.action, Action::ChangePassword { .. }) && !op.is_refused()
}

/// True when the response says that the session has ended, or when there is none.
fn ends_the_session(op: &Operation) -> bool {
    let codes = ["refresh_reused", "session_revoked", "session_expired"];
    op.is_unknown() || (op.is_refused() && codes.contains(&op.code()))
}

fn violation(rule: Rule, op: &Operation, what: &str) -> Violation {
    Violation {
        rule,
        at: op.start,
        text: format!("{what}: {}", describe(op)),
    }
}

/// Facts from all responses of one session.
struct SessionFacts<'h> {
    operations: &'h [&'h Operation],
    /// By generation, when it was first seen in a response.
    seen: BTreeMap<u64, u64>,
    /// By generation, the token of the first response.
    tokens: HashMap<u64, &'h TokenIdentity>,
    /// Start of the first rotation of the root secret.
    secret_rotated_at: Option<u64>,
    /// When a key was first sent with a token.
    keys: HashMap<(u64, u64), u64>,
}

impl<'h> SessionFacts<'h> {
    fn of(operations: &'h [&'h Operation], secret_rotated_at: Option<u64>) -> Self {
        let mut known = Self {
            operations,
            seen: BTreeMap::new(),
            tokens: HashMap::new(),
            secret_rotated_at,
            keys: HashMap::new(),
        };
        for op in operations {
            if let Some(given) = &op.given {
                let seen = known.seen.entry(given.generation).or_insert(op.end);
                *seen = (*seen).min(op.end);
                known.tokens.entry(given.generation).or_insert(given);
            }
            if let (Some(presented), Some(key)) = (&op.presented, op.key) {
                let first = known
                    .keys
                    .entry((presented.generation, key))
                    .or_insert(op.start);
                *first = (*first).min(op.start);
            }
        }
        known
    }

    /// True when a generation was created although nobody had presented the one before it, or set a password.
    fn has_no_cause(&self, op: &Operation) -> bool {
        let Some(given) = &op.given else { return false };
        given.generation > 0
            && !self.operations.iter().any(|other| {
                let presented = other.presented.as_ref();
                let is_before =
                    presented.is_some_and(|presented| presented.generation + 1 == given.generation);
                (is_before || is_new_password(other)) && other.start < op.end
            })
    }

    /// True when a token is the one that the first response for its generation contained. Once the root secret is
    /// rotated, replicas may sign that token under different secrets.
    fn is_the_known_token(&self, given: &TokenIdentity, end: u64) -> bool {
        let is_rotated = self.secret_rotated_at.is_some_and(|start| start <= end);
        self.tokens.get(&given.generation).is_some_and(|known| {
            known.digest == given.digest
                || (is_rotated && known.signed_digest == given.signed_digest)
        })
    }

    /// Returns the way in which a response is not the one successor.
    fn fork_of(&self, op: &Operation, grace: u64) -> Option<&'static str> {
        let (presented, given) = (op.presented.as_ref()?, op.given.as_ref()?);
        if presented.session != given.session {
            return Some("the answer is of another session");
        }
        if !self.is_the_known_token(given, op.end) {
            return Some("two tokens of one generation");
        }
        if given.generation < presented.generation {
            return Some("the session went back");
        }
        let newest = self.newest_before(op.start);
        if given.generation < newest {
            return Some("an answer is older than one that was there before it was asked for");
        }
        if given.generation == presented.generation
            && self.count_since(op.start, grace) < REMEMBERED_ROTATIONS
        {
            return Some("the token was not rotated");
        }
        None
    }

    fn newest_before(&self, time: u64) -> u64 {
        let earlier = self.seen.iter().filter(|(_, seen)| **seen < time);
        earlier
            .map(|(generation, _)| *generation)
            .max()
            .unwrap_or(0)
    }

    fn count_since(&self, time: u64, grace: u64) -> usize {
        let since = time.saturating_sub(grace + ROUNDING);
        self.seen.values().filter(|seen| **seen >= since).count()
    }

    /// True when the token was presented after it had been superseded for longer than grace, and not by
    /// the client who had asked for its successor with the same key.
    fn is_late(&self, op: &Operation, grace: u64) -> bool {
        let Some(presented) = &op.presented else {
            return false;
        };
        let later = self.seen.range(presented.generation + 1..);
        let Some(superseded) = later.map(|(_, seen)| *seen).min() else {
            return false;
        };
        let is_retry = op.key.is_some_and(|key| {
            let first = self.keys.get(&(presented.generation, key));
            first.is_some_and(|first| *first < superseded) && self.is_unused(presented, op)
        });
        op.start > superseded + grace + ROUNDING && !is_retry
    }

    /// True when the successor of this token had not been presented itself.
    fn is_unused(&self, presented: &TokenIdentity, before: &Operation) -> bool {
        !self.operations.iter().any(|other| {
            let token = other.presented.as_ref();
            token.is_some_and(|token| token.generation > presented.generation)
                && other.is_ok()
                && other.end < before.start
        })
    }
}

/// A refresh whose response was lost succeeds by a retry.
fn check_lost_responses(
    operations: &[&Operation],
    ends: &SessionEnds,
    violations: &mut Vec<Violation>,
) {
    let mut chains: BTreeMap<(u64, u64), Vec<&Operation>> = BTreeMap::new();
    for op in operations.iter().filter(|op| op.sender == Sender::Honest) {
        if let (Some(presented), Some(key)) = (&op.presented, op.key) {
            chains
                .entry((presented.generation, key))
                .or_default()
                .push(op);
        }
    }
    for chain in chains.values() {
        let Some(last) = chain.iter().max_by_key(|op| op.end) else {
            continue;
        };
        let recovered = chain.iter().any(|op| op.is_ok());
        if !recovered && chain.iter().any(|op| op.is_unknown()) && !ends.may_have_ended(last) {
            violations.push(violation(Rule::I5, last, "no retry was answered"));
        }
    }
}

/// A login begins with the token that its session has had from the start.
fn check_first_generations(history: &History, violations: &mut Vec<Violation>) {
    for op in history
        .operations
        .iter()
        .filter(|op| super::ends::is_login(op))
    {
        if op.given.as_ref().is_some_and(|given| given.generation != 0) {
            violations.push(violation(Rule::I2, op, "a session that does not begin"));
        }
    }
}
