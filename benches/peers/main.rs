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
mod floors;
mod operation;
mod report;
mod server;
#[expect(dead_code, reason = "each bench uses what it needs of it")]
#[path = "../support/mod.rs"]
mod support;
mod targets;
mod versions;

use operation::Operation;
use report::{PeerRanking, Table};
use server::Server;
use support::backend::{Postgres, Redis};
use support::{floor, machine, process};

/// Selected operations, and the length of their rounds.
#[derive(Clone, Debug, Parser)]
#[command(about = "Measures Latchet beside other servers")]
struct Options {
    /// Run only the operations whose name contains this
    filter: Option<String>,
    /// Number of rounds for each server, in turns
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Length of one measurement in seconds
    #[arg(long, default_value_t = 0.7)]
    seconds: f64,
    /// Measure Latchet alone, and install nobody else
    #[arg(long)]
    alone: bool,
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

    fn wants(&self, name: &str) -> bool {
        name.contains(self.filter.as_deref().unwrap_or_default())
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
        server::install();
        versions::all()
    };
    let described = machine::describe();
    println!("{described}");
    for (name, version) in &versions {
        println!("{name} {version}");
    }
    println!(
        "{} rounds of {} s for each server, in turns; medians",
        options.rounds, options.seconds
    );
    process::pin_self();
    let (tables, rankings) = measure(&options);
    for finding in targets::findings(&tables) {
        finding.print();
    }
    if let Some(file) = &options.json {
        let data = json!({
            "machine": described,
            "versions": versions,
            "settings": {"rounds": options.rounds, "seconds": options.seconds, "workers": 1},
            "tables": tables,
            "rankings": rankings,
            "charts": charts(&tables, &rankings),
        });
        let text = serde_json::to_string_pretty(&data).expect("figures are numbers");
        std::fs::write(file, text + "\n").expect("the file can be written");
    }
    ExitCode::SUCCESS
}

fn measure(options: &Options) -> (Vec<Table>, Vec<PeerRanking>) {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    let mut tables = Vec::new();
    if options.wants(floors::NAME) || options.wants("check") {
        tables.push(floors::measure(options, &postgres, &redis));
    }
    let entries = server::ALL.into_iter();
    let servers = entries
        .filter(|entry| entry.package.is_none() || !options.alone)
        .map(|entry| Server::start(entry, &postgres, &redis))
        .collect::<Vec<_>>();
    let memory = |server: &Server<'_>| server.process().memory_mib();
    let at_start = servers.iter().map(memory).collect::<Vec<_>>();
    for operation in Operation::ALL {
        if options.wants(operation.name()) {
            tables.push(Table {
                name: operation.name(),
                title: operation.title(),
                rows: operation.measure(&servers, options),
            });
        }
    }
    let rankings = servers
        .iter()
        .zip(at_start)
        .map(|(server, at_start)| PeerRanking {
            name: server.entry.name,
            start_ms: server.started_in.as_secs_f64() * 1000.0,
            memory_at_start_mib: at_start,
            memory_at_end_mib: memory(server),
        });
    let rankings: Vec<_> = rankings.collect();
    for table in &tables {
        table.print();
    }
    report::print_rankings(&rankings);
    (tables, rankings)
}

fn charts(tables: &[Table], rankings: &[PeerRanking]) -> Vec<Value> {
    // A hash and an empty handler have no scale in common.
    let drawn = tables.iter().filter(|table| table.name != floors::NAME);
    let mut charts: Vec<Value> = drawn.flat_map(Table::charts).collect();
    charts.extend(report::ranking_charts(rankings));
    charts
}
