//! The least that each operation could cost, in the same run.

use std::time::Duration;

use crate::Options;
use crate::operation::figures;
use crate::report::{Figures, Row, Table};
use crate::support::backend::{Postgres, Redis};
use crate::support::floor::Floor;
use crate::support::load::{CONNECTIONS, RepeatedRequest, get, run};
use crate::support::process::Cores;
use crate::support::service::DataFolder;
use crate::support::worker::Worker;

/// The name of the table.
pub(crate) const NAME: &str = "floors";

/// The name of the floor of every request.
pub(crate) const EMPTY: &str = "empty poem handler";

/// The name of a service's handler behind Latchet's guard.
pub(crate) const GUARDED: &str = "poem handler, Latchet's guard, Redis";

/// Measures them all in turns.
pub(crate) fn measure(options: &Options, postgres: &Postgres, redis: &Redis) -> Table {
    let home = DataFolder::new();
    let (url, database) = (redis.url(), postgres.database("guarded"));
    let handlers: [(&str, &[&str]); 4] = [
        ("bare hyper", &["hyper"]),
        (EMPTY, &["empty"]),
        ("poem handler, one bare MGET", &["mget", &url]),
        (GUARDED, &["guarded", "redis", &url, &database]),
    ];
    let (sqlite, sql) = (home.sqlite("updates"), postgres.database("updates"));
    let workers: [(&str, &[&str]); 3] = [
        ("bare UPDATE per commit, SQLite", &["updates", &sqlite]),
        ("bare UPDATE per commit, PostgreSQL", &["updates", &sql]),
        ("bare argon2id", &["argon2", "19456", "2", "kept"]),
    ];
    let mut handlers = handlers.map(|(name, role)| (name, Handler::start(role), Vec::new()));
    let mut workers = workers.map(|(name, role)| {
        let worker = Worker::start(Cores::Server, role);
        (name, worker, Vec::new())
    });
    for _ in 0..options.rounds {
        for (_, handler, rounds) in &mut handlers {
            rounds.push(handler.measure(options.window()));
        }
        for (_, worker, works) in &mut workers {
            works.push(worker.work(options.window()));
        }
    }
    let handlers = handlers.iter();
    let mut rows: Vec<Row> = handlers
        .map(|(name, _, rounds)| Row::measured(name, rounds))
        .collect();
    rows.extend(
        workers
            .iter()
            .map(|(name, _, works)| Row::paced(name, works)),
    );
    Table {
        name: NAME,
        title: "Floors: the least of each operation, on the same core",
        rows,
    }
}

/// A floor that serves, and what it is asked.
struct Handler {
    floor: Floor,
    scripts: Vec<RepeatedRequest>,
}

impl Handler {
    fn start(role: &[&str]) -> Self {
        let floor = Floor::start(role);
        let scripts = if floor.tokens.is_empty() {
            vec![get("/", None); CONNECTIONS]
        } else {
            let tokens = floor.tokens.iter();
            tokens.map(|token| get("/", Some(token))).collect()
        };
        Self { floor, scripts }
    }

    fn measure(&self, window: Duration) -> Figures {
        figures(&run(self.floor.target(), self.scripts.clone(), window).0)
    }
}
