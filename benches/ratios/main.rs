//! Speed of Latchet, as ratios against floors measured side by side in one run.
//!
//! `cargo bench --bench ratios -- [--check] [--json FILE] [FILTER]`; `docs/performance.md` says what each row means.
//! One program plays every role: it drives the load, and starts itself again as each floor.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench prints its table, and has nothing to do when its surroundings fail but to say so"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde_json::json;

mod rows;
#[expect(dead_code, reason = "each bench uses what it needs of it")]
#[path = "../support/mod.rs"]
mod support;

use support::{floor, machine, process, report};

/// Selected rows, and the length of their rounds.
#[derive(Clone, Debug, Parser)]
#[command(about = "Measures Latchet against floors, side by side")]
struct Options {
    /// Run only the rows whose name contains this
    filter: Option<String>,
    /// End with a failure when a target is missed
    #[arg(long)]
    check: bool,
    /// Number of rounds for each side of a row, in turns
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Length of one measurement in seconds
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
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
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|first| first == floor::ROLE) {
        floor::run_role(&arguments[2..]);
        return ExitCode::SUCCESS;
    }
    let options = Options::parse();
    process::arrange(process::Layout::OwnCore);
    let described = machine::describe();
    println!("{described}\n");
    println!(
        "{} rounds of {} s for each side, in turns; medians\n",
        options.rounds, options.seconds
    );
    report::header();
    let mut findings = Vec::new();
    for row in rows::ALL {
        let wanted = options.filter.as_deref().unwrap_or_default();
        if !row.name.contains(wanted) {
            continue;
        }
        for finding in (row.measure)(&options) {
            finding.print();
            findings.push(finding);
        }
    }
    let missed = findings
        .iter()
        .filter(|finding| finding.is_missed())
        .count();
    println!("\n{missed} targets missed");
    if let Some(file) = &options.json {
        let data = json!({
            "machine": described,
            "program": machine::program(),
            "settings": {"rounds": options.rounds, "seconds": options.seconds},
            "targets": findings,
        });
        let text = serde_json::to_string_pretty(&data).expect("figures are numbers");
        std::fs::write(file, text + "\n").expect("the file can be written");
    }
    if options.check && missed > 0 {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
