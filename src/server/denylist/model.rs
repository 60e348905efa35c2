//! Model of every interleaving of logouts, checks, backfills and a refresh on two replicas, while Redis
//! loses data in every possible way, leases expire, and SQL or a connection fails.
//!
//! The model calls the production code for its rules: [`trust`](super::trust) and
//! [`decide`](crate::server::rotation::decide). Time has two values: within the lease, or after it.

use stateright::{Checker, HasDiscoveries, Model, Property};

mod check;
mod properties;
mod steps;
mod ways;
mod world;

use check::Answer;
use properties::{ENDED, FELT, REVOKED, UNKNOWN};
use ways::Ways;
use world::{FIRST, Identity, Mark, Row, Server, World};

/// Logout that ends the session of the two tabs. The other logout ends another session: its effect on
/// epochs must not break the first.
const TABS: usize = 0;

/// Initial state of Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// Redis is backfilled and trusted.
    Filled,
    /// Redis is new.
    Empty,
}

/// The model: initial state, mutation, and bounds. The search within these bounds is exhaustive.
#[derive(Clone, Copy)]
struct Denials {
    start: Start,
    ways: Ways,
    logouts: usize,
    /// Epochs after the first one: backfills and distrust.
    epochs: u8,
    /// Number of data losses in Redis.
    losses: u8,
    /// Number of outages of SQL.
    outages: u8,
}

/// Bounds that every run searches: a logout during a data loss in Redis.
const LOSS: Denials = Denials {
    start: Start::Filled,
    ways: Ways::AsItIs,
    logouts: 1,
    epochs: 1,
    losses: 1,
    outages: 0,
};

/// Further bounds that every run searches: a logout while a new Redis is backfilled and SQL fails.
const OUTAGE: Denials = Denials {
    start: Start::Empty,
    losses: 0,
    outages: 1,
    ..LOSS
};

/// The result of a check is a final state: the check does not change the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum State {
    Open(Box<World>),
    Answered(Answer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Check(usize),
    HearRedis,
    LeaveRedis,
    LogOut(usize),
    Fill(usize),
    LoseLock(u8),
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

impl Model for Denials {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let identity = Identity {
            run: 1,
            evictions: 0,
        };
        let (filled, mark) = match self.start {
            Start::Filled => (Some(identity), Mark::Complete(FIRST)),
            Start::Empty => (None, Mark::None),
        };
        let server = Server {
            identity,
            is_denied: false,
            mark,
            seeder: None,
        };
        let row = Row {
            epoch: FIRST,
            filled,
        };
        vec![State::Open(Box::new(World::new(row, server)))]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let State::Open(world) = state else {
            return;
        };
        let servers = std::iter::once(&world.master).chain(&world.deposed);
        let runs = servers.map(|server| server.identity.run);
        match world.check {
            None => actions.extend([Action::Check(0), Action::Check(1)]),
            Some(_) => actions.extend([Action::HearRedis, Action::LeaveRedis]),
        }
        for (index, replica) in world.replicas.iter().enumerate() {
            actions.extend([
                Action::Fill(index),
                Action::EndLease(index),
                Action::WatchSql(index),
            ]);
            match replica.link {
                Some(_) => actions.push(Action::Disconnect(index)),
                None => actions.extend(runs.clone().map(|run| Action::Connect(index, run))),
            }
        }
        actions.extend((0..self.logouts).map(Action::LogOut));
        actions.extend(runs.map(Action::LoseLock));
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
        let answer = match action {
            Action::Check(replica) => next.begin_check(replica, self.ways),
            Action::HearRedis => next.hear_redis(self.ways),
            Action::LeaveRedis => next.leave_redis(self.ways),
            action => {
                self.advance(&mut next, action)?;
                None
            }
        };
        match answer {
            Some(answer) => Some(State::Answered(answer)),
            None => (next != **world).then(|| State::Open(Box::new(next))),
        }
    }

    fn within_boundary(&self, state: &State) -> bool {
        match state {
            State::Open(world) => world.sql.row.epoch <= FIRST + self.epochs,
            State::Answered(_) => true,
        }
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = properties::always();
        properties.extend(properties::sometimes(self));
        properties
    }
}

impl Denials {
    /// Takes one step that is not a check; `None` if it is not possible now.
    fn advance(&self, world: &mut World, action: Action) -> Option<()> {
        match action {
            Action::LogOut(replica) => world.continue_logout(replica, self.ways),
            Action::Fill(replica) => match world.replicas[replica].filling {
                Some(filling) => world.continue_filling(replica, filling, self.ways),
                None => world.begin_filling(replica),
            },
            Action::LoseLock(run) => world.server_mut(run)?.seeder = None,
            Action::Refresh => world.continue_refresh(self.ways),
            Action::WatchSql(replica) if world.sql.is_up => world.read_witness(replica),
            Action::Connect(replica, run) => {
                world.replicas[replica].link = Some(world.server(run)?.identity);
            }
            Action::Disconnect(replica) => world.replicas[replica].link = None,
            Action::EndLease(replica) => world.replicas[replica].witness.is_current = false,
            Action::StopSql if world.sql.is_up => {
                world.sql.outages += 1;
                world.sql.is_up = false;
            }
            Action::StartSql => world.sql.is_up = true,
            Action::Flush => world.flush(),
            Action::RestartEmpty => world.restart(Mark::None),
            Action::RestartFromDump => world.restart(world.master.mark),
            Action::FailOver => world.fail_over(),
            Action::Evict if world.may_evict() => world.evict(),
            _ => return None,
        }
        Some(())
    }
}

#[test]
fn logout_is_felt_whatever_redis_forgets() {
    LOSS.checker().spawn_bfs().join().assert_properties();
}

#[test]
fn logout_is_felt_whenever_sql_fails() {
    OUTAGE.checker().spawn_bfs().join().assert_properties();
}

#[test]
#[ignore = "takes minutes: `docs/denylist.md` has the command"]
fn two_logouts_are_felt_whatever_fails() {
    for start in [Start::Filled, Start::Empty] {
        let all = Denials {
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
fn the_model_finds_what_is_wrong_with_other_ways() {
    let filling = Denials {
        start: Start::Empty,
        ..LOSS
    };
    for (bounds, ways, broken) in [
        (LOSS, Ways::ByMarkAlone, FELT),
        (LOSS, Ways::AnswerBeforeDenial, FELT),
        (Denials { losses: 0, ..LOSS }, Ways::WithoutLease, FELT),
        (Denials { losses: 0, ..LOSS }, Ways::WithoutWait, FELT),
        (LOSS, Ways::FillAtOnce, FELT),
        (filling, Ways::FillUnchecked, FELT),
        (OUTAGE, Ways::FailOpen, UNKNOWN),
        (OUTAGE, Ways::FailShut, REVOKED),
        (OUTAGE, Ways::RotateAnyhow, ENDED),
    ] {
        let found = HasDiscoveries::AnyOf([broken].into());
        let search = Denials { ways, ..bounds }.checker().finish_when(found);
        search.spawn_bfs().join().assert_any_discovery(broken);
    }
}
