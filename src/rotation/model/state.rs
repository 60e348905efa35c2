//! State of the model: a session, its clients, and their true history.

use super::super::{
    Grace, PresentedGeneration, RetryKeyHash, RevokeReason, RotationDecision, SessionState,
};
use super::RotationModel;
use latchet_guard::clock::Time;

/// Strategy of the store for writing a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteStrategy {
    /// The real one: only over the generation that was read, and only while the session is not revoked.
    Conditional,
    /// Wrong on purpose: over any generation.
    AnyGeneration,
    /// Wrong on purpose: writes back the whole row that was read, rotated.
    WholeRow,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ModelState {
    pub(super) now: Time,
    pub(super) clock_steps: usize,
    pub(super) row: SessionState,
    pub(super) clients: [ModelClient; 2],
    pub(super) history: TrueHistory,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ModelClient {
    /// Generation of its token.
    pub(super) token: u64,
    /// True when the response with its next token was lost.
    pub(super) response_lost: bool,
    pub(super) request: RefreshRequest,
}

/// A refresh in progress.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum RefreshRequest {
    Idle,
    Sent {
        now: Time,
        after_logout: bool,
    },
    RowRead {
        now: Time,
        after_logout: bool,
        row: SessionState,
    },
    Responded(Option<u64>),
}

/// True history of the session, against which decisions about the row are checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct TrueHistory {
    /// Time at which each generation was first superseded, and the retry key of that request.
    superseded: Vec<(Time, Option<RetryKeyHash>)>,
    /// True when a response was repeated after the grace period.
    pub(super) was_response_recovered_late: bool,
    /// True when a token was refused because its request had waited, and the session was left unchanged.
    pub(super) was_indeterminate: bool,
    pub(super) is_logged_out: bool,
    pub(super) violations: Vec<Violation>,
}

/// A violation of a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Violation {
    SecondSuccessor,
    LiveTokenRefused,
    OldTokenAccepted,
    ReuseWithoutRevocation,
    RetryTreatedAsTheft,
    AcceptedAfterLogout,
    SessionRevived,
}

impl TrueHistory {
    /// Returns whether the generation was superseded and its grace period is over, and also the day in which
    /// an unused successor is repeated to a client with the key.
    fn is_old(
        &self,
        presented: PresentedGeneration,
        now: Time,
        grace: Grace,
        is_used: bool,
    ) -> bool {
        let superseded = self
            .superseded
            .get(usize::try_from(presented.generation).unwrap());
        superseded.is_some_and(|(at, retry_key)| {
            let is_lost =
                !is_used && retry_key.is_some() && retry_key.map(Into::into) == presented.retry_key;
            let limit = if is_lost {
                RetryKeyHash::RETRY_WINDOW
            } else {
                grace.duration()
            };
            now.since(*at) >= limit
        })
    }

    /// Returns whether the generation was superseded and its grace period is over.
    fn is_past_grace(&self, generation: u64, now: Time, grace: Grace) -> bool {
        let presented = PresentedGeneration {
            generation,
            retry_key: None,
        };
        self.is_old(presented, now, grace, true)
    }

    /// Returns whether the token came with the key of its successor, before that successor was used or within
    /// the grace period after it: a request may be in transit for so long.
    fn was_response_lost(&self, presented: PresentedGeneration, now: Time, grace: Grace) -> bool {
        let from = usize::try_from(presented.generation).unwrap();
        let Some((at, retry_key)) = self.superseded.get(from) else {
            return false;
        };
        let is_unused = self.superseded.get(from + 1).is_none();
        let is_in_time = *at <= now && now.since(*at) < RetryKeyHash::RETRY_WINDOW;
        let is_its_key = retry_key.is_some() && retry_key.map(Into::into) == presented.retry_key;
        is_in_time && is_its_key && (is_unused || self.was_used_recently(presented, now, grace))
    }

    /// Returns whether the successor was used after this time, or less than the grace period before it.
    fn was_used_recently(&self, presented: PresentedGeneration, now: Time, grace: Grace) -> bool {
        let next = usize::try_from(presented.generation + 1).unwrap();
        let used = self.superseded.get(next).map(|(at, _)| *at);
        used.is_some_and(|used| used > now || now.since(used) < grace.duration())
    }

    pub(super) fn record_violation(&mut self, violation: Violation) {
        if !self.violations.contains(&violation) {
            self.violations.push(violation);
        }
    }
}

impl ModelState {
    /// Returns whether this violation has not occurred.
    pub(super) fn is_free_of(&self, violation: Violation) -> bool {
        !self.history.violations.contains(&violation)
    }

    /// Decides about the row that was read and writes, as a batch of one.
    pub(super) fn write(&mut self, model: &RotationModel, client: usize) {
        let request = std::mem::replace(&mut self.clients[client].request, RefreshRequest::Idle);
        let RefreshRequest::RowRead {
            now,
            after_logout,
            row,
        } = request
        else {
            unreachable!("only what was read is written")
        };
        let presented = self.presented(client);
        let decision = (model.decide)(&row, presented, now, model.grace);
        let is_used = row.generation > presented.generation + 1;
        let is_old = self.history.is_old(presented, now, model.grace, is_used);
        let grace_is_over = self
            .history
            .is_past_grace(presented.generation, now, model.grace);
        self.history.was_response_recovered_late |=
            decision == RotationDecision::Retry && grace_is_over;
        let response = match decision {
            RotationDecision::Rotate => {
                if !self.write_rotation(
                    model.writes,
                    &row,
                    presented.retry_key.map(|key| key.hash),
                    now,
                ) {
                    self.clients[client].request = RefreshRequest::Sent { now, after_logout };
                    return;
                }
                Some(row.generation + 1)
            }
            RotationDecision::Retry => Some(row.generation),
            RotationDecision::Reuse => {
                self.row.revoked.get_or_insert(RevokeReason::Reuse);
                None
            }
            RotationDecision::Indeterminate
            | RotationDecision::UnknownGeneration
            | RotationDecision::Ended(_) => None,
        };
        self.history.was_indeterminate |= decision == RotationDecision::Indeterminate;
        if decision == RotationDecision::Reuse
            && self.history.was_response_lost(presented, now, model.grace)
        {
            self.history
                .record_violation(Violation::RetryTreatedAsTheft);
        }
        let may_be_indeterminate = row.rotated_at > now
            || (presented.retry_key.is_some()
                && self.history.was_used_recently(presented, now, model.grace));
        if decision != RotationDecision::Indeterminate || !may_be_indeterminate {
            self.check_decision(&row, is_old, decision);
        }
        if response.is_some() && after_logout {
            self.history
                .record_violation(Violation::AcceptedAfterLogout);
        }
        self.clients[client].request = RefreshRequest::Responded(response);
    }

    /// Returns the token that a client presents. The first client has a key for each token, which its retries
    /// repeat.
    fn presented(&self, client: usize) -> PresentedGeneration {
        let generation = self.clients[client].token;
        let retry_key = u8::try_from(generation).unwrap();
        PresentedGeneration {
            generation,
            retry_key: (client == 0).then_some(RetryKeyHash::new([retry_key; 32]).into()),
        }
    }

    /// Writes a rotation of `read`; returns whether it took place.
    fn write_rotation(
        &mut self,
        writes: WriteStrategy,
        read: &SessionState,
        retry_key: Option<RetryKeyHash>,
        now: Time,
    ) -> bool {
        let unchanged = self.row.generation == read.generation;
        let unrevoked = self.row.revoked.is_none();
        let next = read.rotated(retry_key, now);
        match writes {
            WriteStrategy::Conditional if !(unchanged && unrevoked) => return false,
            WriteStrategy::AnyGeneration if !unrevoked => return false,
            WriteStrategy::WholeRow => self.row = next,
            _ => {
                self.row = SessionState {
                    revoked: self.row.revoked,
                    ..next
                }
            }
        }
        let from = usize::try_from(read.generation).unwrap();
        if self.history.superseded.len() > from {
            self.history.record_violation(Violation::SecondSuccessor);
        } else {
            self.history.superseded.push((now, retry_key));
        }
        true
    }

    /// Returns the rows that were read and await a decision.
    pub(super) fn rows_read(&self) -> impl Iterator<Item = &SessionState> {
        self.clients
            .iter()
            .filter_map(|client| match &client.request {
                RefreshRequest::RowRead { row, .. } => Some(row),
                _ => None,
            })
    }

    pub(super) fn receive(&mut self, client: usize, response: Option<u64>) {
        let receiver = &mut self.clients[client];
        receiver.request = RefreshRequest::Idle;
        if let Some(token) = response {
            receiver.token = token;
            receiver.response_lost = false;
        }
    }

    /// Compares a decision about `row` with the true history of the token.
    fn check_decision(&mut self, row: &SessionState, is_old: bool, decision: RotationDecision) {
        let is_answered = matches!(decision, RotationDecision::Rotate | RotationDecision::Retry);
        if is_answered && is_old {
            self.history.record_violation(Violation::OldTokenAccepted);
        }
        if !is_answered && !is_old && row.revoked.is_none() {
            self.history.record_violation(Violation::LiveTokenRefused);
        }
        if !is_answered && is_old && self.row.revoked.is_none() {
            self.history
                .record_violation(Violation::ReuseWithoutRevocation);
        }
    }
}
