//! Model check of every interleaving of two clients with the same token, a logout, lost responses, and time
//! that passes the grace period or a day, on a store that reads and writes in separate steps. One of the
//! clients sends a retry key with each refresh and its retries.
//!
//! The two may be tabs of one legitimate browser or a victim and a thief: the server cannot know.

use std::time::Duration;

use stateright::{Checker, CheckerBuilder, HasDiscoveries, Model, Property};

use super::{
    Grace, PresentedGeneration, RetryKeyHash, RevokeReason, RotationDecision, SessionState,
    Superseded, decide,
};
use latchet_guard::clock::Time;

mod state;

use state::{ModelClient, ModelState, RefreshRequest, TrueHistory, Violation, WriteStrategy};

const START: Time = Time::from_millis(0);

/// Bounds of the search: a client can fall behind by two generations, and the grace period can pass before
/// and after that. That is 260,000 states; one generation more has several times as many, and no new kind
/// of state.
const MAX_GENERATION: u64 = 2;
const MAX_CLOCK_STEPS: usize = 2;

/// Step of the clock when there is no grace period to pass.
const CLOCK_STEP: Duration = Duration::from_millis(1);

type DecideFunction = fn(&SessionState, PresentedGeneration, Time, Grace) -> RotationDecision;

/// The model: two clients, the grace period, and the implementations of deciding and writing under test.
struct RotationModel {
    grace: Grace,
    writes: WriteStrategy,
    decide: DecideFunction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Present(usize),
    ReadRow(usize),
    WriteRow(usize),
    ReceiveResponse(usize),
    LoseResponse(usize),
    LogOut,
    PassGracePeriod,
    PassDay,
}

impl Model for RotationModel {
    type State = ModelState;
    type Action = Action;

    fn init_states(&self) -> Vec<ModelState> {
        let client = ModelClient {
            token: 0,
            response_lost: false,
            request: RefreshRequest::Idle,
        };
        vec![ModelState {
            now: START,
            clock_steps: 0,
            row: SessionState {
                generation: 0,
                rotated_at: START,
                superseded: Superseded::default(),
                retry_key: None,
                expires_at: START + Duration::from_hours(1000),
                idle_limit: Duration::from_hours(1000),
                revoked: None,
            },
            clients: [client.clone(), client],
            history: TrueHistory::default(),
        }]
    }

    fn actions(&self, state: &ModelState, actions: &mut Vec<Action>) {
        for (index, client) in state.clients.iter().enumerate() {
            match client.request {
                RefreshRequest::Idle => actions.push(Action::Present(index)),
                RefreshRequest::Sent { .. } => actions.push(Action::ReadRow(index)),
                RefreshRequest::RowRead { .. } => actions.push(Action::WriteRow(index)),
                RefreshRequest::Responded(_) => {
                    actions.extend([Action::ReceiveResponse(index), Action::LoseResponse(index)]);
                }
            }
        }
        if !state.history.is_logged_out {
            actions.push(Action::LogOut);
        }
        if state.clock_steps < MAX_CLOCK_STEPS {
            actions.extend([Action::PassGracePeriod, Action::PassDay]);
        }
    }

    fn next_state(&self, state: &ModelState, action: Action) -> Option<ModelState> {
        let mut next = state.clone();
        match action {
            Action::Present(client) => {
                next.clients[client].request = RefreshRequest::Sent {
                    now: state.now,
                    after_logout: state.history.is_logged_out,
                };
            }
            Action::ReadRow(client) => {
                let RefreshRequest::Sent { now, after_logout } = state.clients[client].request
                else {
                    return None;
                };
                let row = state.row.clone();
                next.clients[client].request = RefreshRequest::RowRead {
                    now,
                    after_logout,
                    row,
                };
            }
            Action::WriteRow(client) => next.write(self, client),
            Action::ReceiveResponse(client) => {
                let RefreshRequest::Responded(response) = state.clients[client].request else {
                    return None;
                };
                next.receive(client, response);
            }
            Action::LoseResponse(client) => {
                next.clients[client].response_lost |=
                    state.clients[client].request != RefreshRequest::Responded(None);
                next.clients[client].request = RefreshRequest::Idle;
            }
            Action::LogOut => {
                next.row.revoked.get_or_insert(RevokeReason::Logout);
                next.history.is_logged_out = true;
            }
            Action::PassGracePeriod => {
                next.now = state.now + self.grace.duration().max(CLOCK_STEP);
                next.clock_steps += 1;
            }
            Action::PassDay => {
                next.now = state.now + RetryKeyHash::RETRY_WINDOW;
                // No earlier request is in transit for so long.
                next.clock_steps = MAX_CLOCK_STEPS;
            }
        }
        if state.row.revoked.is_some() && next.row != state.row {
            next.history.record_violation(Violation::SessionRevived);
        }
        Some(next)
    }

    fn within_boundary(&self, state: &ModelState) -> bool {
        state.row.generation <= MAX_GENERATION
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = promises();
        properties.extend(reachable_states());
        if self.grace > Grace::STRICT {
            properties.extend([
                Property::sometimes("a lost response is recovered", |_, state: &ModelState| {
                    let current = RefreshRequest::Responded(Some(state.row.generation));
                    state
                        .clients
                        .iter()
                        .any(|client| client.response_lost && client.request == current)
                }),
                Property::sometimes("a response is repeated", |_, state: &ModelState| {
                    let [one, other] = &state.clients;
                    one == other && one.request == RefreshRequest::Responded(Some(one.token + 1))
                }),
            ]);
        }
        properties
    }
}

/// Promises that hold in every state.
fn promises() -> Vec<Property<RotationModel>> {
    vec![
        Property::always("one successor", |_, state: &ModelState| {
            state.is_free_of(Violation::SecondSuccessor)
        }),
        Property::always("a live token is accepted", |_, state: &ModelState| {
            state.is_free_of(Violation::LiveTokenRefused)
        }),
        Property::always("an old token is never accepted", |_, state: &ModelState| {
            state.is_free_of(Violation::OldTokenAccepted)
        }),
        Property::always("reuse ends the session", |_, state: &ModelState| {
            state.is_free_of(Violation::ReuseWithoutRevocation)
        }),
        Property::always(
            "a retry is not treated as theft",
            |_, state: &ModelState| state.is_free_of(Violation::RetryTreatedAsTheft),
        ),
        Property::always(
            "nothing is accepted after logout",
            |_, state: &ModelState| state.is_free_of(Violation::AcceptedAfterLogout),
        ),
        Property::always("revoked never revives", |_, state: &ModelState| {
            state.is_free_of(Violation::SessionRevived)
        }),
    ]
}

/// States that the search must reach, so that the promises are not trivially true.
fn reachable_states() -> Vec<Property<RotationModel>> {
    vec![
        Property::sometimes("a token is reused", |_, state: &ModelState| {
            state.row.revoked == Some(RevokeReason::Reuse)
        }),
        Property::sometimes(
            "a lost response is recovered by its key",
            |_, state: &ModelState| state.history.was_response_recovered_late,
        ),
        Property::sometimes(
            "a retry waits while others rotate the session",
            |_, state: &ModelState| state.history.was_indeterminate,
        ),
        Property::sometimes("a rotation meets a conflict", |_, state: &ModelState| {
            state
                .rows_read()
                .any(|read| read.generation < state.row.generation)
        }),
        Property::sometimes("a logout meets a rotation", |_, state: &ModelState| {
            state.history.is_logged_out && state.rows_read().any(|read| read.revoked.is_none())
        }),
    ]
}

fn model_checker(
    grace: Grace,
    writes: WriteStrategy,
    decide: DecideFunction,
) -> CheckerBuilder<RotationModel> {
    let model = RotationModel {
        grace,
        writes,
        decide,
    };
    model.checker()
}

/// A common alternative: a grace period for the direct predecessor alone.
fn decide_with_grace_for_parent_only(
    row: &SessionState,
    presented: PresentedGeneration,
    now: Time,
    grace: Grace,
) -> RotationDecision {
    match decide(row, presented, now, grace) {
        RotationDecision::Retry if row.generation > presented.generation + 1 => {
            RotationDecision::Reuse
        }
        decision => decision,
    }
}

/// A common alternative: the direct predecessor is accepted however late it comes.
fn decide_without_time_limit_for_parent(
    row: &SessionState,
    presented: PresentedGeneration,
    now: Time,
    grace: Grace,
) -> RotationDecision {
    match decide(row, presented, now, grace) {
        RotationDecision::Reuse if row.generation == presented.generation + 1 => {
            RotationDecision::Retry
        }
        decision => decision,
    }
}

/// Wrong on purpose: no lost response is repeated after the grace period.
fn decide_without_retry_keys(
    row: &SessionState,
    presented: PresentedGeneration,
    now: Time,
    grace: Grace,
) -> RotationDecision {
    decide(
        row,
        PresentedGeneration {
            retry_key: None,
            ..presented
        },
        now,
        grace,
    )
}

/// Wrong on purpose: every client is assumed to have the key.
fn decide_with_any_retry_key(
    row: &SessionState,
    presented: PresentedGeneration,
    now: Time,
    grace: Grace,
) -> RotationDecision {
    let retry_key = row.retry_key.map(Into::into);
    decide(
        row,
        PresentedGeneration {
            retry_key,
            ..presented
        },
        now,
        grace,
    )
}

/// Wrong on purpose: a retry that waited is decided by a row that has changed since.
fn decide_indeterminate_as_reuse(
    row: &SessionState,
    presented: PresentedGeneration,
    now: Time,
    grace: Grace,
) -> RotationDecision {
    match decide(row, presented, now, grace) {
        RotationDecision::Indeterminate => RotationDecision::Reuse,
        decision => decision,
    }
}

/// Wrong on purpose: a retry key never expires.
fn decide_without_expiry_of_retry_keys(
    row: &SessionState,
    presented: PresentedGeneration,
    now: Time,
    grace: Grace,
) -> RotationDecision {
    match decide(row, presented, now, grace) {
        RotationDecision::Reuse => decide(row, presented, row.rotated_at, grace),
        decision => decision,
    }
}

#[test]
fn every_interleaving_keeps_the_promises() {
    let all = model_checker(Grace::TEN_SECONDS, WriteStrategy::Conditional, decide);
    all.spawn_bfs().join().assert_properties();
}

#[test]
fn every_interleaving_keeps_the_promises_without_grace() {
    let all = model_checker(Grace::STRICT, WriteStrategy::Conditional, decide);
    all.spawn_bfs().join().assert_properties();
}

#[test]
fn the_model_detects_every_wrong_alternative() {
    let ten = Grace::TEN_SECONDS;
    for (writes, decide, broken) in [
        (
            WriteStrategy::AnyGeneration,
            decide as DecideFunction,
            "one successor",
        ),
        (WriteStrategy::WholeRow, decide, "revoked never revives"),
        (
            WriteStrategy::Conditional,
            decide_with_grace_for_parent_only,
            "a live token is accepted",
        ),
        (
            WriteStrategy::Conditional,
            decide_without_time_limit_for_parent,
            "an old token is never accepted",
        ),
        (
            WriteStrategy::Conditional,
            decide_without_retry_keys,
            "a live token is accepted",
        ),
        (
            WriteStrategy::Conditional,
            decide_with_any_retry_key,
            "an old token is never accepted",
        ),
        (
            WriteStrategy::Conditional,
            decide_indeterminate_as_reuse,
            "a retry is not treated as theft",
        ),
        (
            WriteStrategy::Conditional,
            decide_without_expiry_of_retry_keys,
            "an old token is never accepted",
        ),
    ] {
        let found = HasDiscoveries::AnyOf([broken].into());
        let search = model_checker(ten, writes, decide).finish_when(found);
        search.spawn_bfs().join().assert_any_discovery(broken);
    }
}
