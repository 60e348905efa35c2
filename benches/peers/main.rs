//! Latchet beside other servers and beside floors, in one run on one machine.
//!
//! `cargo bench --bench peers -- [FILTER] [--json FILE]`; `docs/performance.md` says what is compared, and
//! what is not fair. The servers are installed by `benches/peers/install`, which this runs.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench prints its table, and has nothing to do when its surroundings fail but to say so"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};

mod adapter;
mod clients;
mod entries;
mod flood;
mod floors;
mod logout;
mod operation;
mod peer;
mod report;
mod rounds;
mod server;
mod sessions;
#[expect(dead_code, reason = "each bench uses what it needs of it")]
#[path = "../support/mod.rs"]
mod support;
mod targets;
mod versions;

use entries::{ALL, Entry};
use operation::Operation;
use report::{PeerRanking, Table};
use rounds::TableHead;
use server::{Server, Stores};
use support::backend::{Postgres, Redis};
use support::process::Layout;
use support::proxy::Proxy;
use support::{floor, machine, process};

/// Delay of each way to the slow PostgreSQL.
const WAY: Duration = Duration::from_millis(5);

/// Duration of each commit on the PostgreSQL with the slow disk.
const COMMIT: Duration = Duration::from_millis(20);

/// Selected operations, and the length of their rounds.
#[derive(Clone, Debug, Parser)]
#[command(about = "Measures Latchet beside other servers")]
struct Options {
    /// Run only the operations whose name contains this
    filter: Option<String>,
    /// Distribution of the processes over the cores
    #[arg(long, default_value = "own-core")]
    layout: Layout,
    /// Number of rounds for each server, in turns
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Length of one measurement in seconds
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Measure Latchet alone, and install nobody else
    #[arg(long)]
    alone: bool,
    /// Where to write what `perf` samples of Latchet on PostgreSQL and Redis during the rounds of the operation
    /// that the filter names in full
    #[arg(long)]
    perf: Option<PathBuf>,
    /// Where to write everything as data
    #[arg(long)]
    json: Option<PathBuf>,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn window(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// Returns whether any of the tables is asked for.
    fn wants(&self, prefix: &str, tables: &[TableHead]) -> bool {
        let filter = self.filter.as_deref().unwrap_or_default();
        let mut names = tables.iter().map(|table| format!("{prefix}{}", table.name));
        names.any(|name| {
            if self.perf.is_some() {
                name == filter
            } else {
                name.contains(filter)
            }
        })
    }

    fn wants_server(&self, entry: &Entry) -> bool {
        entry.package.is_none() || !self.alone
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|first| first == floor::ROLE) {
        floor::run_role(&arguments[2..]);
        return ExitCode::SUCCESS;
    }
    let options = Options::parse();
    let versions = if options.alone {
        versions::own()
    } else {
        peer::install();
        versions::all()
    };
    let described = machine::describe();
    println!("{described}");
    for (name, version) in &versions {
        println!("{name} {version}");
    }
    process::arrange(options.layout);
    println!(
        "{:?}: {} rounds of {} s for each server, in turns; medians",
        options.layout, options.rounds, options.seconds
    );
    let (tables, rankings) = measure(&options);
    let findings = targets::findings(&tables, options.layout);
    for finding in &findings {
        finding.print();
    }
    if let Some(file) = &options.json {
        let data = json!({
            "machine": described,
            "program": machine::program(),
            "versions": versions,
            "settings": {
                "rounds": options.rounds,
                "seconds": options.seconds,
                "layout": options.layout,
                "workers": process::server_cores(),
            },
            "targets": findings,
            "tables": tables,
            "rankings": rankings,
            "charts": charts(&tables, options.layout),
        });
        let text = serde_json::to_string_pretty(&data).expect("figures are numbers");
        std::fs::write(file, text + "\n").expect("the file can be written");
    }
    ExitCode::SUCCESS
}

fn measure(options: &Options) -> (Vec<Table>, Vec<PeerRanking>) {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    let stores = Stores {
        postgres: &postgres,
        redis: &redis,
        proxy: None,
    };
    let (mut tables, rankings) = normal(options, stores);
    if options.wants("", &flood::TABLES) {
        let sides = flood::sides(|entry| options.wants_server(entry), stores);
        tables.extend(rounds::measure(&flood::TABLES, ("", ""), sides, options));
    }
    let proxy = Proxy::start(postgres.address(), WAY);
    let far = Stores {
        proxy: Some(&proxy),
        ..stores
    };
    tables.extend(slow(
        options,
        ("slow-network-", ", PostgreSQL 10 ms away"),
        far,
    ));
    let disk = Postgres::with_slow_commits(COMMIT);
    let disk = Stores {
        postgres: &disk,
        ..stores
    };
    tables.extend(slow(options, ("slow-commit-", ", commits of 20 ms"), disk));
    report::print_rankings(&rankings);
    (tables, rankings)
}

/// Measures every operation on every server.
fn normal(options: &Options, stores: Stores<'_>) -> (Vec<Table>, Vec<PeerRanking>) {
    let operations = Operation::ALL.into_iter();
    let wanted = operations.filter(|operation| options.wants("", operation.tables()));
    let wanted: Vec<Operation> = wanted.collect();
    if wanted.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let entries = ALL.into_iter().filter(|entry| options.wants_server(entry));
    let servers: Vec<Server<'_>> = entries
        .map(|entry| Server::start(entry, stores, &[]))
        .collect();
    let memory = |server: &Server<'_>| server.process().memory_mib();
    let at_start = servers.iter().map(memory).collect::<Vec<_>>();
    let mut tables = Vec::new();
    for operation in wanted {
        let mut sides: Vec<_> = servers
            .iter()
            .map(|server| operation.side(server))
            .collect();
        if options.perf.is_none() {
            sides.extend(floors::beside(operation, stores));
        }
        let _recording = options
            .perf
            .as_deref()
            .map(|file| servers[0].process().record(file));
        tables.extend(rounds::measure(
            operation.tables(),
            ("", ""),
            sides,
            options,
        ));
    }
    let ranked = servers.iter().zip(at_start);
    let rankings = ranked.map(|(server, at_start)| PeerRanking {
        name: server.entry.name,
        start_ms: server.started_in.as_secs_f64() * 1000.0,
        memory_at_start_mib: at_start,
        memory_at_end_mib: memory(server),
    });
    (tables, rankings.collect())
}

/// Measures the servers that keep their data in PostgreSQL, on a slow one.
fn slow(options: &Options, (prefix, remark): (&str, &str), stores: Stores<'_>) -> Vec<Table> {
    let operations = Operation::SLOW.into_iter();
    let wanted = operations.filter(|operation| options.wants(prefix, operation.tables()));
    let wanted: Vec<Operation> = wanted.collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let entries = ALL
        .into_iter()
        .filter(|entry| options.wants_server(entry) && entry.name.contains("PostgreSQL"));
    let servers: Vec<Server<'_>> = entries
        .map(|entry| Server::start(entry, stores, &[]))
        .collect();
    let tables = wanted.into_iter().flat_map(|operation| {
        let sides = servers
            .iter()
            .map(|server| operation.side(server))
            .collect();
        rounds::measure(operation.tables(), (prefix, remark), sides, options)
    });
    tables.collect()
}

/// Charts of one layout: those of both would differ little.
fn charts(tables: &[Table], layout: Layout) -> Vec<Value> {
    match layout {
        Layout::OwnCore => tables.iter().filter_map(Table::chart).collect(),
        Layout::Shared => Vec::new(),
    }
}
