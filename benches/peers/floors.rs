//! The least that an operation could cost, in turns with the servers.

use std::time::Duration;

use crate::operation::Operation;
use crate::report::{Cpu, Figures};
use crate::rounds::{ALL_KINDS, Round, Side, round};
use crate::server::Stores;
use crate::support::floor::Floor;
use crate::support::load::{CONNECTIONS, RepeatedRequest, get, run};
use crate::support::pgbench::Pgbench;
use crate::support::process::Cores;
use crate::support::service::DataFolder;
use crate::support::worker::Worker;

/// The name of the floor of every request.
pub(crate) const EMPTY: &str = "empty poem handler";

/// The name of a service's handler behind Latchet's guard.
pub(crate) const GUARDED: &str = "poem handler, Latchet's guard, Redis";

/// The names of `pgbench` with fewer and with more connections.
pub(crate) const PGBENCH: [&str; 2] = [
    "pgbench, one UPDATE per commit, 16 connections",
    "pgbench, one UPDATE per commit, 64 connections",
];

/// Returns the floors of an operation.
pub(crate) fn beside(operation: Operation, stores: Stores<'_>) -> Vec<Side<'static>> {
    let (postgres, redis) = (stores.postgres, stores.redis);
    match operation {
        Operation::Login => vec![worker(
            "bare argon2id",
            &["argon2", "19456", "2", "kept"],
            (),
        )],
        Operation::Verify => {
            let (redis, database) = (redis.new_database(), postgres.new_database());
            vec![
                handler(GUARDED, &["guarded", "redis", &redis, &database]),
                handler(EMPTY, &["empty"]),
            ]
        }
        Operation::Refresh => {
            let home = DataFolder::new();
            let sqlite = home.sqlite("updates");
            let pgbench = PGBENCH.into_iter().zip([16, 64]);
            let sqlite = worker(
                "bare UPDATE per commit, SQLite",
                &["updates", &sqlite],
                home,
            );
            pgbench
                .map(|(name, connections)| pgbench_side(name, postgres.new_database(), connections))
                .chain([sqlite])
                .collect()
        }
        _ => Vec::new(),
    }
}

fn side(name: &str, measure: impl FnMut(Duration) -> Round + 'static) -> Side<'static> {
    Side {
        name: name.to_owned(),
        measure: Ok(Box::new(measure)),
        lacks: None,
    }
}

fn handler(name: &str, role: &[&str]) -> Side<'static> {
    let floor = Floor::start(role);
    let scripts: Vec<RepeatedRequest> = if floor.tokens.is_empty() {
        vec![get("/", None); CONNECTIONS]
    } else {
        let tokens = floor.tokens.iter();
        tokens.map(|token| get("/", Some(token))).collect()
    };
    side(name, move |window| {
        round(&run(floor.target(), scripts.clone(), window).0)
    })
}

/// Returns a floor that answers nobody; what it needs lives as long.
fn worker(name: &str, role: &[&str], needs: impl Sized + 'static) -> Side<'static> {
    let mut worker = Worker::start(Cores::Server, role);
    side(name, move |window| {
        let _needs = &needs;
        let work = worker.work(window);
        let cpu = Cpu {
            server_micros: work.cpu_micros,
            databases_micros: None,
        };
        paced(work.per_second, Some(cpu))
    })
}

fn pgbench_side(name: &str, database: String, connections: usize) -> Side<'static> {
    let pgbench = Pgbench::new(database, connections);
    side(name, move |window| {
        paced(pgbench.commits_per_second(window), None)
    })
}

fn paced(per_second: f64, cpu: Option<Cpu>) -> Round {
    let figures = Figures {
        per_second,
        p50_ms: None,
        p99_ms: None,
        cpu,
    };
    Round::from([(ALL_KINDS, figures)])
}
