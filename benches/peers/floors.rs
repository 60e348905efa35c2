//! The least that each operation could cost, in the same run.

use crate::Options;
use crate::operation::{figures, middle};
use crate::report::{Cell, Figures, Row, Table};
use crate::support::backend::{Postgres, Redis};
use crate::support::floor::Floor;
use crate::support::load::{CONNECTIONS, Repeat, get, run};
use crate::support::process::Cores;
use crate::support::report::median;
use crate::support::service::Home;
use crate::support::worker::Worker;

/// The name of the table.
pub(crate) const NAME: &str = "floors";

/// The name of the floor of every request.
pub(crate) const EMPTY: &str = "empty poem handler";

/// The name of a service's handler behind Latchet's guard.
pub(crate) const GUARDED: &str = "poem handler, Latchet's guard, Redis";

/// Measures them all.
pub(crate) fn measure(options: &Options, postgres: &Postgres, redis: &Redis) -> Table {
    let home = Home::new();
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
    let mut rows: Vec<Row> = handlers
        .map(|(name, role)| handler(name, role, options))
        .into();
    rows.extend(workers.map(|(name, role)| worker(name, role, options)));
    Table {
        name: NAME,
        title: "Floors: the least of each operation, on the same core",
        rows,
    }
}

fn handler(name: &str, role: &[&str], options: &Options) -> Row {
    let floor = Floor::start(role);
    let scripts: Vec<Repeat> = if floor.tokens.is_empty() {
        vec![get("/", None); CONNECTIONS]
    } else {
        let tokens = floor.tokens.iter();
        tokens.map(|token| get("/", Some(token))).collect()
    };
    let rounds: Vec<Figures> = (0..options.rounds)
        .map(|_| figures(&run(floor.target(), scripts.clone(), options.window()).0))
        .collect();
    Row {
        name: name.to_owned(),
        cell: Cell::Measured(middle(&rounds)),
    }
}

/// One that serves nobody has no latencies but its own pace.
fn worker(name: &str, role: &[&str], options: &Options) -> Row {
    let mut worker = Worker::start(Cores::Server, role);
    let works = (0..options.rounds).map(|_| worker.work(options.window()));
    let works: Vec<_> = works.collect();
    let per_second = median(works.iter().map(|work| work.per_second).collect());
    let cpu_micros = median(works.iter().map(|work| work.cpu_micros).collect());
    Row {
        name: name.to_owned(),
        cell: Cell::Paced {
            per_second,
            cpu_micros,
        },
    }
}
