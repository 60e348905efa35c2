//! Growth of Latchet: sessions, entries of the denylist, replicas.
//!
//! `cargo bench --bench scale -- [FILTER] [--json FILE]`; `docs/performance.md` says what is measured.
//! Like the ratios, one program drives the load and starts itself again as each floor.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench prints its table, and has nothing to do when its surroundings fail but to say so"
)]

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

mod clients;
mod denylist;
mod findings;
mod replicas;
mod search;
mod sessions;
mod simulation;
#[expect(dead_code, reason = "each bench uses what it needs of it")]
#[path = "../support/mod.rs"]
mod support;

use findings::ScaleResults;
use support::{floor, machine, process};

/// Selected series, and the length of their rounds.
#[derive(Clone, Debug, Parser)]
#[command(about = "Measures how Latchet behaves as it grows")]
struct Options {
    /// Run only the parts whose name contains this
    filter: Option<String>,
    /// Number of rounds for each size, in turns
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Length of one measurement in seconds
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// The most sessions and entries; ten times as many are simulated
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10_000..=10_000_000))]
    largest: u64,
    /// Write everything there as data
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

    /// Returns the powers of ten from `least` up to the largest.
    fn sizes(&self, least: u64) -> Vec<u64> {
        let times_ten = |size: &u64| size.checked_mul(10);
        std::iter::successors(Some(least), times_ten)
            .take_while(|size| *size <= self.largest)
            .collect()
    }
}

/// A series of measurements that share their set-up.
struct Part {
    /// Name that a filter matches.
    name: &'static str,
    measure: fn(&Options, &mut ScaleResults),
}

/// The simulation first: it measures this process's own memory, which is still small.
const PARTS: [Part; 6] = [
    Part {
        name: "simulation",
        measure: simulation::measure,
    },
    Part {
        name: "sessions-sqlite",
        measure: sessions::sqlite,
    },
    Part {
        name: "sessions-postgres",
        measure: sessions::postgres,
    },
    Part {
        name: "denylist-memory",
        measure: denylist::memory,
    },
    Part {
        name: "denylist-redis",
        measure: denylist::redis,
    },
    Part {
        name: "replicas",
        measure: replicas::measure,
    },
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|first| first == floor::ROLE) {
        floor::run_role(&arguments[2..]);
        return;
    }
    let options = Options::parse();
    process::arrange(process::Layout::OwnCore);
    let machine = machine::describe();
    println!("{machine}\n");
    println!(
        "{} rounds of {} s for each size, in turns; medians\n",
        options.rounds, options.seconds
    );
    let mut findings = ScaleResults::new(machine, &options);
    findings::header();
    for part in PARTS {
        let wanted = options.filter.as_deref().unwrap_or_default();
        if part.name.contains(wanted) {
            (part.measure)(&options, &mut findings);
        }
    }
    println!("\n{} targets missed", findings.missed());
    if let Some(file) = &options.json {
        findings.write(file);
    }
}
