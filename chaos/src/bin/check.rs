//! Holds the history of a run against what clients are promised.

#![expect(clippy::print_stdout, reason = "its report is what it is for")]

use std::path::PathBuf;
use std::process::ExitCode;

use chaos::check::{self, History};
use clap::Parser;

/// Reads a history and says which promises were broken. Exits with 1 when any was.
#[derive(Debug, Parser)]
struct Arguments {
    /// The history, as `chaos` wrote it: one JSON object a line.
    history: PathBuf,
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let report = check::check(&History::read(&Arguments::parse().history)?);
    print!("{report}");
    Ok(if report.violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
