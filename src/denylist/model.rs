//! Model of every interleaving of logouts, checks, backfills and a refresh on two replicas, while Redis
//! loses data in every possible way, leases expire, and SQL or a connection fails.
//!
//! The model calls the production code for its rules: [`ServerStatus`](latchet_guard::denylist::redis::ServerStatus),
//! [`trust`](super::trust) and [`decide`](crate::rotation::decide). Time has two values: within the lease, or after it.

use stateright::{Checker, HasDiscoveries, Model, Property};

mod mutants;
mod properties;
mod steps;
mod token_check;
mod world;

use mutants::Mutation;
use properties::{
    ENDED_SESSION_NOT_REFRESHED, LOGOUT_TAKES_EFFECT, ONLY_REVOKED_REFUSED, UNKNOWN_IS_UNAVAILABLE,
};
use token_check::CheckResult;
use world::{EpochMarker, EpochRow, FIRST_EPOCH, RedisServer, ServerIdentity, World};

/// Logout that ends the session of the two tabs. The other logout ends another session: its effect on
/// epochs must not break the first.
const TABS_LOGOUT: usize = 0;

/// Initial state of Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InitialState {
    /// Redis is backfilled and trusted.
    Filled,
    /// Redis is new.
    Empty,
}

/// The model: initial state, mutation, and bounds. The search within these bounds is exhaustive.
#[derive(Clone, Copy)]
struct DenylistModel {
    start: InitialState,
    mutation: Mutation,
    logouts: usize,
    /// Epochs after the first one: backfills and distrust.
    epochs: u8,
    /// Number of data losses in Redis.
    losses: u8,
    /// Number of outages of SQL.
    outages: u8,
}

/// Bounds that every run searches: a logout during a data loss in Redis.
const LOSS: DenylistModel = DenylistModel {
    start: InitialState::Filled,
    mutation: Mutation::Unchanged,
    logouts: 1,
    epochs: 1,
    losses: 1,
    outages: 0,
};

/// Further bounds that every run searches: a logout while a new Redis is backfilled and SQL fails.
const OUTAGE: DenylistModel = DenylistModel {
    start: InitialState::Empty,
    losses: 0,
    outages: 1,
    ..LOSS
};

/// The result of a check is a final state: the check does not change the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum State {
    Open(Box<World>),
    Checked(CheckResult),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Check(usize),
    ReceiveFromRedis,
    TimeOutRedis,
    ContinueLogout(usize),
    Backfill(usize),
    LoseBackfillLock(u8),
    Refresh,
    WatchSql(usize),
    Connect(usize, u8),
    Disconnect(usize),
    EndLease(usize),
    StopSql,
    StartSql,
    Flush,
    RestartEmpty,
    RestartFromDump,
    FailOver,
    Evict,
}

impl Model for DenylistModel {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let identity = ServerIdentity {
            server_run: 1,
            evictions: 0,
        };
        let (backfilled_server, epoch_marker) = match self.start {
            InitialState::Filled => (Some(identity), EpochMarker::Complete(FIRST_EPOCH)),
            InitialState::Empty => (None, EpochMarker::None),
        };
        let server = RedisServer {
            identity,
            is_denied: false,
            epoch_marker,
            backfill_owner: None,
        };
        let row = EpochRow {
            epoch: FIRST_EPOCH,
            backfilled_server,
        };
        vec![State::Open(Box::new(World::new(row, server)))]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let State::Open(world) = state else {
            return;
        };
        let servers = std::iter::once(&world.master).chain(&world.deposed);
        let runs = servers.map(|server| server.identity.server_run);
        match world.check {
            None => actions.extend([Action::Check(0), Action::Check(1)]),
            Some(_) => actions.extend([Action::ReceiveFromRedis, Action::TimeOutRedis]),
        }
        for (index, replica) in world.replicas.iter().enumerate() {
            actions.extend([
                Action::Backfill(index),
                Action::EndLease(index),
                Action::WatchSql(index),
            ]);
            match replica.connected_to {
                Some(_) => actions.push(Action::Disconnect(index)),
                None => actions.extend(
                    runs.clone()
                        .map(|server_run| Action::Connect(index, server_run)),
                ),
            }
        }
        actions.extend((0..self.logouts).map(Action::ContinueLogout));
        actions.extend(runs.map(Action::LoseBackfillLock));
        actions.extend([Action::Refresh, Action::StartSql]);
        if world.sql.outages < self.outages {
            actions.push(Action::StopSql);
        }
        if world.losses < self.losses {
            actions.extend([
                Action::Flush,
                Action::RestartEmpty,
                Action::RestartFromDump,
                Action::FailOver,
                Action::Evict,
            ]);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let State::Open(world) = state else {
            return None;
        };
        let mut next = World::clone(world);
        let result = match action {
            Action::Check(replica) => next.begin_check(replica, self.mutation),
            Action::ReceiveFromRedis => next.receive_from_redis(self.mutation),
            Action::TimeOutRedis => next.time_out_redis(self.mutation),
            action => {
                self.advance(&mut next, action)?;
                None
            }
        };
        match result {
            Some(result) => Some(State::Checked(result)),
            None => (next != **world).then(|| State::Open(Box::new(next))),
        }
    }

    fn within_boundary(&self, state: &State) -> bool {
        match state {
            State::Open(world) => world.sql.row.epoch <= FIRST_EPOCH + self.epochs,
            State::Checked(_) => true,
        }
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = properties::invariants();
        properties.extend(properties::reachable_states(self));
        properties
    }
}

impl DenylistModel {
    /// Takes one step that is not a check; `None` if it is not possible now.
    fn advance(&self, world: &mut World, action: Action) -> Option<()> {
        match action {
            Action::ContinueLogout(replica) => world.continue_logout(replica, self.mutation),
            Action::Backfill(replica) => match world.replicas[replica].backfill {
                Some(backfill) => world.continue_backfill(replica, backfill, self.mutation),
                None => world.begin_backfill(replica),
            },
            Action::LoseBackfillLock(server_run) => {
                world.server_mut(server_run)?.backfill_owner = None;
            }
            Action::Refresh => world.continue_refresh(self.mutation),
            Action::WatchSql(replica) if world.sql.is_up => world.read_epoch_record(replica),
            Action::Connect(replica, server_run) => {
                world.replicas[replica].connected_to = Some(world.server(server_run)?.identity);
            }
            Action::Disconnect(replica) => world.replicas[replica].connected_to = None,
            Action::EndLease(replica) => world.replicas[replica].epoch_record.is_current = false,
            Action::StopSql if world.sql.is_up => {
                world.sql.outages += 1;
                world.sql.is_up = false;
            }
            Action::StartSql => world.sql.is_up = true,
            Action::Flush => world.flush(),
            Action::RestartEmpty => world.restart(EpochMarker::None),
            Action::RestartFromDump => world.restart(world.master.epoch_marker),
            Action::FailOver => world.fail_over(),
            Action::Evict if world.may_evict() => world.evict(),
            _ => return None,
        }
        Some(())
    }
}

#[test]
fn logout_takes_effect_despite_any_data_loss_in_redis() {
    LOSS.checker().spawn_bfs().join().assert_properties();
}

#[test]
fn logout_takes_effect_despite_failures_of_sql() {
    OUTAGE.checker().spawn_bfs().join().assert_properties();
}

#[test]
#[ignore = "takes minutes: `docs/explanation/redis-trust.md` has the command"]
fn two_logouts_take_effect_despite_any_failure() {
    for start in [InitialState::Filled, InitialState::Empty] {
        let all = DenylistModel {
            start,
            logouts: 2,
            outages: 1,
            ..LOSS
        };
        let search = all.checker().spawn_bfs().join();
        search.assert_properties();
    }
}

#[test]
fn the_model_detects_every_mutation() {
    let backfill = DenylistModel {
        start: InitialState::Empty,
        ..LOSS
    };
    for (bounds, mutation, broken) in [
        (LOSS, Mutation::TrustAnyMarker, LOGOUT_TAKES_EFFECT),
        (LOSS, Mutation::RespondBeforeDenial, LOGOUT_TAKES_EFFECT),
        (
            DenylistModel { losses: 0, ..LOSS },
            Mutation::IgnoreLeases,
            LOGOUT_TAKES_EFFECT,
        ),
        (
            DenylistModel { losses: 0, ..LOSS },
            Mutation::SkipPropagationDelay,
            LOGOUT_TAKES_EFFECT,
        ),
        (LOSS, Mutation::BackfillImmediately, LOGOUT_TAKES_EFFECT),
        (
            backfill,
            Mutation::CompleteWithoutMarker,
            LOGOUT_TAKES_EFFECT,
        ),
        (OUTAGE, Mutation::AdmitUnchecked, UNKNOWN_IS_UNAVAILABLE),
        (OUTAGE, Mutation::RefuseUnchecked, ONLY_REVOKED_REFUSED),
        (
            OUTAGE,
            Mutation::OverwriteOnRotation,
            ENDED_SESSION_NOT_REFRESHED,
        ),
    ] {
        let found = HasDiscoveries::AnyOf([broken].into());
        let search = DenylistModel { mutation, ..bounds }
            .checker()
            .finish_when(found);
        search.spawn_bfs().join().assert_any_discovery(broken);
    }
}
