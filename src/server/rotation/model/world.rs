//! A session, its clients, and what really happened to them.

use super::super::{Decision, Grace, RevokeReason, SessionState};
use super::Rotations;
use crate::clock::Time;

/// How the store writes a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writes {
    /// As it does: only over the generation that was read, and only while nobody revoked.
    Conditionally,
    /// As it must not: over any generation.
    OverAnyGeneration,
    /// As it must not: the row as it was read, rotated.
    WholeRow,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) now: Time,
    pub(super) passed: usize,
    pub(super) row: SessionState,
    pub(super) clients: [Client; 2],
    pub(super) past: Past,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Client {
    /// The generation of the token it holds.
    pub(super) token: u64,
    /// Whether the answer that carried its next token was lost.
    pub(super) lost: bool,
    pub(super) request: Request,
}

/// A refresh on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Request {
    None,
    Shown {
        now: Time,
        after_logout: bool,
    },
    Read {
        now: Time,
        after_logout: bool,
        row: SessionState,
    },
    Answered(Option<u64>),
}

/// What the row does not remember, kept to judge it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Past {
    /// When each generation was first superseded.
    superseded_at: Vec<Time>,
    pub(super) is_logged_out: bool,
    pub(super) wrongs: Vec<Wrong>,
}

/// What must never happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wrong {
    SecondSuccessor,
    LiveTokenWasRefused,
    OldTokenWasAnswered,
    ReuseLeftTheSession,
    AnsweredAfterLogout,
    Revived,
}

impl Past {
    /// Returns whether the generation was superseded and its grace is over.
    fn is_old(&self, generation: u64, now: Time, grace: Grace) -> bool {
        let superseded_at = self.superseded_at.get(usize::try_from(generation).unwrap());
        superseded_at.is_some_and(|at| now.since(*at) >= grace.duration())
    }

    pub(super) fn accuse(&mut self, wrong: Wrong) {
        if !self.wrongs.contains(&wrong) {
            self.wrongs.push(wrong);
        }
    }
}

impl World {
    /// Decides about what was read and writes, as a batch of one.
    pub(super) fn write(&mut self, model: &Rotations, client: usize) {
        let request = std::mem::replace(&mut self.clients[client].request, Request::None);
        let Request::Read {
            now,
            after_logout,
            row,
        } = request
        else {
            unreachable!("only what was read is written")
        };
        let presented = self.clients[client].token;
        let decision = (model.decide)(&row, presented, now, model.grace);
        let is_old = self.past.is_old(presented, now, model.grace);
        let answer = match decision {
            Decision::Rotate => {
                if !self.advance(model.writes, &row, now) {
                    self.clients[client].request = Request::Shown { now, after_logout };
                    return;
                }
                Some(row.generation + 1)
            }
            Decision::Replay => Some(row.generation),
            Decision::Reuse => {
                self.row.revoked.get_or_insert(RevokeReason::Reuse);
                None
            }
            Decision::Unknown | Decision::Ended(_) => None,
        };
        self.judge(&row, is_old, decision);
        if answer.is_some() && after_logout {
            self.past.accuse(Wrong::AnsweredAfterLogout);
        }
        self.clients[client].request = Request::Answered(answer);
    }

    /// Writes a rotation of `read`; returns whether it took place.
    fn advance(&mut self, writes: Writes, read: &SessionState, now: Time) -> bool {
        let unchanged = self.row.generation == read.generation;
        let unrevoked = self.row.revoked.is_none();
        let next = read.rotated(now);
        match writes {
            Writes::Conditionally if !(unchanged && unrevoked) => return false,
            Writes::OverAnyGeneration if !unrevoked => return false,
            Writes::WholeRow => self.row = next,
            _ => {
                self.row = SessionState {
                    revoked: self.row.revoked,
                    ..next
                }
            }
        }
        let from = usize::try_from(read.generation).unwrap();
        if self.past.superseded_at.len() > from {
            self.past.accuse(Wrong::SecondSuccessor);
        } else {
            self.past.superseded_at.push(now);
        }
        true
    }

    /// Returns the rows that were read and not yet decided about.
    pub(super) fn reads(&self) -> impl Iterator<Item = &SessionState> {
        self.clients
            .iter()
            .filter_map(|client| match &client.request {
                Request::Read { row, .. } => Some(row),
                _ => None,
            })
    }

    pub(super) fn receive(&mut self, client: usize, answer: Option<u64>) {
        let receiver = &mut self.clients[client];
        receiver.request = Request::None;
        if let Some(token) = answer {
            receiver.token = token;
            receiver.lost = false;
        }
    }

    /// Compares a decision about `row` with what really happened to the token.
    fn judge(&mut self, row: &SessionState, is_old: bool, decision: Decision) {
        let is_answered = matches!(decision, Decision::Rotate | Decision::Replay);
        if is_answered && is_old {
            self.past.accuse(Wrong::OldTokenWasAnswered);
        }
        if !is_answered && !is_old && row.revoked.is_none() {
            self.past.accuse(Wrong::LiveTokenWasRefused);
        }
        if !is_answered && is_old && self.row.revoked.is_none() {
            self.past.accuse(Wrong::ReuseLeftTheSession);
        }
    }
}
