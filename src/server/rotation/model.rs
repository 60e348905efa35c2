//! Model check of every interleaving of two clients with the same token, a logout, lost responses, and time
//! that passes the grace period or a day, on a store that reads and writes in separate steps. One of the
//! clients sends a retry key with each refresh and its retries.
//!
//! The two may be tabs of one legitimate browser or a victim and a thief: the server cannot know.

use std::time::Duration;

use stateright::{Checker, CheckerBuilder, HasDiscoveries, Model, Property};

use super::{Decision, Grace, KeyHash, RevokeReason, SessionState, Shown, Superseded, decide};
use crate::clock::Time;

mod world;

use world::{Client, Past, Request, World, Writes, Wrong};

const START: Time = Time::from_millis(0);

/// Bounds of the search: a client can fall behind by two generations, and the grace period can pass before
/// and after that. That is 260,000 states; one generation more has several times as many, and no new kind
/// of state.
const MAX_GENERATION: u64 = 2;
const MAX_PASSED: usize = 2;

/// Step of the clock when there is no grace period to pass.
const MOMENT: Duration = Duration::from_millis(1);

type Decide = fn(&SessionState, Shown, Time, Grace) -> Decision;

/// The model: two clients, the grace period, and the implementations of deciding and writing under test.
struct Rotations {
    grace: Grace,
    writes: Writes,
    decide: Decide,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Show(usize),
    Read(usize),
    Write(usize),
    Receive(usize),
    Lose(usize),
    LogOut,
    PassGrace,
    PassDay,
}

impl Model for Rotations {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let client = Client {
            token: 0,
            lost: false,
            request: Request::None,
        };
        vec![World {
            now: START,
            passed: 0,
            row: SessionState {
                generation: 0,
                rotated_at: START,
                superseded: Superseded::default(),
                key: None,
                expires_at: START + Duration::from_hours(1000),
                idle_limit: Duration::from_hours(1000),
                revoked: None,
            },
            clients: [client.clone(), client],
            past: Past::default(),
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for (index, client) in world.clients.iter().enumerate() {
            match client.request {
                Request::None => actions.push(Action::Show(index)),
                Request::Shown { .. } => actions.push(Action::Read(index)),
                Request::Read { .. } => actions.push(Action::Write(index)),
                Request::Answered(_) => {
                    actions.extend([Action::Receive(index), Action::Lose(index)]);
                }
            }
        }
        if !world.past.is_logged_out {
            actions.push(Action::LogOut);
        }
        if world.passed < MAX_PASSED {
            actions.extend([Action::PassGrace, Action::PassDay]);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Show(client) => {
                next.clients[client].request = Request::Shown {
                    now: world.now,
                    after_logout: world.past.is_logged_out,
                };
            }
            Action::Read(client) => {
                let Request::Shown { now, after_logout } = world.clients[client].request else {
                    return None;
                };
                let row = world.row.clone();
                next.clients[client].request = Request::Read {
                    now,
                    after_logout,
                    row,
                };
            }
            Action::Write(client) => next.write(self, client),
            Action::Receive(client) => {
                let Request::Answered(answer) = world.clients[client].request else {
                    return None;
                };
                next.receive(client, answer);
            }
            Action::Lose(client) => {
                next.clients[client].lost |=
                    world.clients[client].request != Request::Answered(None);
                next.clients[client].request = Request::None;
            }
            Action::LogOut => {
                next.row.revoked.get_or_insert(RevokeReason::Logout);
                next.past.is_logged_out = true;
            }
            Action::PassGrace => {
                next.now = world.now + self.grace.duration().max(MOMENT);
                next.passed += 1;
            }
            Action::PassDay => {
                next.now = world.now + KeyHash::KEPT;
                // No earlier request is in transit for so long.
                next.passed = MAX_PASSED;
            }
        }
        if world.row.revoked.is_some() && next.row != world.row {
            next.past.accuse(Wrong::Revived);
        }
        Some(next)
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.row.generation <= MAX_GENERATION
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = promises();
        properties.extend(reachable_states());
        if self.grace > Grace::STRICT {
            properties.extend([
                Property::sometimes("a lost response is recovered", |_, world: &World| {
                    let current = Request::Answered(Some(world.row.generation));
                    world
                        .clients
                        .iter()
                        .any(|client| client.lost && client.request == current)
                }),
                Property::sometimes("a response is repeated", |_, world: &World| {
                    let [one, other] = &world.clients;
                    one == other && one.request == Request::Answered(Some(one.token + 1))
                }),
            ]);
        }
        properties
    }
}

/// Promises that hold in every state.
fn promises() -> Vec<Property<Rotations>> {
    vec![
        Property::always("one successor", |_, world: &World| {
            !world.past.wrongs.contains(&Wrong::SecondSuccessor)
        }),
        Property::always("a live token is accepted", |_, world: &World| {
            !world.past.wrongs.contains(&Wrong::LiveTokenWasRefused)
        }),
        Property::always("an old token is never accepted", |_, world: &World| {
            !world.past.wrongs.contains(&Wrong::OldTokenWasAnswered)
        }),
        Property::always("reuse ends the session", |_, world: &World| {
            !world.past.wrongs.contains(&Wrong::ReuseLeftTheSession)
        }),
        Property::always("a retry is not treated as theft", |_, world: &World| {
            !world.past.wrongs.contains(&Wrong::RetryWasTheft)
        }),
        Property::always("nothing is accepted after logout", |_, world: &World| {
            !world.past.wrongs.contains(&Wrong::AnsweredAfterLogout)
        }),
        Property::always("revoked never revives", |_, world: &World| {
            !world.past.wrongs.contains(&Wrong::Revived)
        }),
    ]
}

/// States that the search must reach, so that the promises are not trivially true.
fn reachable_states() -> Vec<Property<Rotations>> {
    vec![
        Property::sometimes("a token is reused", |_, world: &World| {
            world.row.revoked == Some(RevokeReason::Reuse)
        }),
        Property::sometimes(
            "a lost response is recovered by its key",
            |_, world: &World| world.past.is_recovered_late,
        ),
        Property::sometimes(
            "a retry waits while others rotate the session",
            |_, world: &World| world.past.is_undecided,
        ),
        Property::sometimes("a rotation meets a conflict", |_, world: &World| {
            world
                .reads()
                .any(|read| read.generation < world.row.generation)
        }),
        Property::sometimes("a logout meets a rotation", |_, world: &World| {
            world.past.is_logged_out && world.reads().any(|read| read.revoked.is_none())
        }),
    ]
}

fn explore(grace: Grace, writes: Writes, decide: Decide) -> CheckerBuilder<Rotations> {
    let model = Rotations {
        grace,
        writes,
        decide,
    };
    model.checker()
}

/// A common alternative: a grace period for the direct predecessor alone.
fn decide_for_parents(row: &SessionState, shown: Shown, now: Time, grace: Grace) -> Decision {
    match decide(row, shown, now, grace) {
        Decision::Replay if row.generation > shown.generation + 1 => Decision::Reuse,
        decision => decision,
    }
}

/// A common alternative: the direct predecessor is accepted however late it comes.
fn decide_without_limit(row: &SessionState, shown: Shown, now: Time, grace: Grace) -> Decision {
    match decide(row, shown, now, grace) {
        Decision::Reuse if row.generation == shown.generation + 1 => Decision::Replay,
        decision => decision,
    }
}

/// Wrong on purpose: no lost response is repeated after the grace period.
fn decide_without_keys(row: &SessionState, shown: Shown, now: Time, grace: Grace) -> Decision {
    decide(row, Shown { key: None, ..shown }, now, grace)
}

/// Wrong on purpose: every client is assumed to have the key.
fn decide_for_any_key(row: &SessionState, shown: Shown, now: Time, grace: Grace) -> Decision {
    let key = row.key;
    decide(row, Shown { key, ..shown }, now, grace)
}

/// Wrong on purpose: a retry that waited is decided by a row that has changed since.
fn decide_always(row: &SessionState, shown: Shown, now: Time, grace: Grace) -> Decision {
    match decide(row, shown, now, grace) {
        Decision::Undecided => Decision::Reuse,
        decision => decision,
    }
}

/// Wrong on purpose: a retry key never expires.
fn decide_without_days(row: &SessionState, shown: Shown, now: Time, grace: Grace) -> Decision {
    match decide(row, shown, now, grace) {
        Decision::Reuse => decide(row, shown, row.rotated_at, grace),
        decision => decision,
    }
}

#[test]
fn every_interleaving_keeps_the_promises() {
    let all = explore(Grace::TEN_SECONDS, Writes::Conditionally, decide);
    all.spawn_bfs().join().assert_properties();
}

#[test]
fn every_interleaving_keeps_the_promises_without_grace() {
    let all = explore(Grace::STRICT, Writes::Conditionally, decide);
    all.spawn_bfs().join().assert_properties();
}

#[test]
fn the_model_finds_what_is_wrong_with_other_ways() {
    let ten = Grace::TEN_SECONDS;
    for (writes, decide, broken) in [
        (Writes::OverAnyGeneration, decide as Decide, "one successor"),
        (Writes::WholeRow, decide, "revoked never revives"),
        (
            Writes::Conditionally,
            decide_for_parents,
            "a live token is accepted",
        ),
        (
            Writes::Conditionally,
            decide_without_limit,
            "an old token is never accepted",
        ),
        (
            Writes::Conditionally,
            decide_without_keys,
            "a live token is accepted",
        ),
        (
            Writes::Conditionally,
            decide_for_any_key,
            "an old token is never accepted",
        ),
        (
            Writes::Conditionally,
            decide_always,
            "a retry is not treated as theft",
        ),
        (
            Writes::Conditionally,
            decide_without_days,
            "an old token is never accepted",
        ),
    ] {
        let found = HasDiscoveries::AnyOf([broken].into());
        let search = explore(ten, writes, decide).finish_when(found);
        search.spawn_bfs().join().assert_any_discovery(broken);
    }
}
