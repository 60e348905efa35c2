//! State of the model: a session, its clients, and their true history.

use super::super::{Decision, Grace, KeyHash, RevokeReason, SessionState, Shown};
use super::Rotations;
use crate::clock::Time;

/// Strategy of the store for writing a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writes {
    /// The real one: only over the generation that was read, and only while the session is not revoked.
    Conditionally,
    /// Wrong on purpose: over any generation.
    OverAnyGeneration,
    /// Wrong on purpose: writes back the whole row that was read, rotated.
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
    /// Generation of its token.
    pub(super) token: u64,
    /// True when the response with its next token was lost.
    pub(super) lost: bool,
    pub(super) request: Request,
}

/// A refresh in progress.
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

/// True history of the session, against which decisions about the row are checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Past {
    /// Time at which each generation was first superseded, and the retry key of that request.
    superseded: Vec<(Time, Option<KeyHash>)>,
    /// True when a response was repeated after the grace period.
    pub(super) is_recovered_late: bool,
    /// True when a token was refused because its request had waited, and the session was left unchanged.
    pub(super) is_undecided: bool,
    pub(super) is_logged_out: bool,
    pub(super) wrongs: Vec<Wrong>,
}

/// A violation of a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wrong {
    SecondSuccessor,
    LiveTokenWasRefused,
    OldTokenWasAnswered,
    ReuseLeftTheSession,
    RetryWasTheft,
    AnsweredAfterLogout,
    Revived,
}

impl Past {
    /// Returns whether the generation was superseded and its grace period is over, and also the day in which
    /// an unused successor is repeated to a client with the key.
    fn is_old(&self, shown: Shown, now: Time, grace: Grace, is_used: bool) -> bool {
        let superseded = self
            .superseded
            .get(usize::try_from(shown.generation).unwrap());
        superseded.is_some_and(|(at, key)| {
            let is_lost = !is_used && key.is_some() && *key == shown.key;
            let limit = if is_lost {
                KeyHash::KEPT
            } else {
                grace.duration()
            };
            now.since(*at) >= limit
        })
    }

    /// Returns whether the generation was superseded and its grace period is over.
    fn is_past_grace(&self, generation: u64, now: Time, grace: Grace) -> bool {
        let shown = Shown {
            generation,
            key: None,
        };
        self.is_old(shown, now, grace, true)
    }

    /// Returns whether the token came with the key of its successor, before that successor was used or within
    /// the grace period after it: a request may be in transit for so long.
    fn was_lost(&self, shown: Shown, now: Time, grace: Grace) -> bool {
        let from = usize::try_from(shown.generation).unwrap();
        let Some((at, key)) = self.superseded.get(from) else {
            return false;
        };
        let is_unused = self.superseded.get(from + 1).is_none();
        let is_in_time = *at <= now && now.since(*at) < KeyHash::KEPT;
        let is_its_key = key.is_some() && *key == shown.key;
        is_in_time && is_its_key && (is_unused || self.was_used_lately(shown, now, grace))
    }

    /// Returns whether the successor was used after this time, or less than the grace period before it.
    fn was_used_lately(&self, shown: Shown, now: Time, grace: Grace) -> bool {
        let next = usize::try_from(shown.generation + 1).unwrap();
        let used = self.superseded.get(next).map(|(at, _)| *at);
        used.is_some_and(|used| used > now || now.since(used) < grace.duration())
    }

    pub(super) fn accuse(&mut self, wrong: Wrong) {
        if !self.wrongs.contains(&wrong) {
            self.wrongs.push(wrong);
        }
    }
}

impl World {
    /// Decides about the row that was read and writes, as a batch of one.
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
        let shown = self.shown(client);
        let decision = (model.decide)(&row, shown, now, model.grace);
        let is_used = row.generation > shown.generation + 1;
        let is_old = self.past.is_old(shown, now, model.grace, is_used);
        let grace_is_over = self.past.is_past_grace(shown.generation, now, model.grace);
        self.past.is_recovered_late |= decision == Decision::Replay && grace_is_over;
        let answer = match decision {
            Decision::Rotate => {
                if !self.advance(model.writes, &row, shown.key, now) {
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
            Decision::Undecided | Decision::Unknown | Decision::Ended(_) => None,
        };
        self.past.is_undecided |= decision == Decision::Undecided;
        if decision == Decision::Reuse && self.past.was_lost(shown, now, model.grace) {
            self.past.accuse(Wrong::RetryWasTheft);
        }
        let may_be_undecided = row.rotated_at > now
            || (shown.key.is_some() && self.past.was_used_lately(shown, now, model.grace));
        if decision != Decision::Undecided || !may_be_undecided {
            self.judge(&row, is_old, decision);
        }
        if answer.is_some() && after_logout {
            self.past.accuse(Wrong::AnsweredAfterLogout);
        }
        self.clients[client].request = Request::Answered(answer);
    }

    /// Returns the token that a client presents. The first client has a key for each token, which its retries
    /// repeat.
    fn shown(&self, client: usize) -> Shown {
        let generation = self.clients[client].token;
        let key = u8::try_from(generation).unwrap();
        Shown {
            generation,
            key: (client == 0).then_some(KeyHash::new([key; 32])),
        }
    }

    /// Writes a rotation of `read`; returns whether it took place.
    fn advance(
        &mut self,
        writes: Writes,
        read: &SessionState,
        key: Option<KeyHash>,
        now: Time,
    ) -> bool {
        let unchanged = self.row.generation == read.generation;
        let unrevoked = self.row.revoked.is_none();
        let next = read.rotated(key, now);
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
        if self.past.superseded.len() > from {
            self.past.accuse(Wrong::SecondSuccessor);
        } else {
            self.past.superseded.push((now, key));
        }
        true
    }

    /// Returns the rows that were read and await a decision.
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

    /// Compares a decision about `row` with the true history of the token.
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
