//! Checks the history of a run against the promises to clients.

#![expect(clippy::print_stdout, reason = "its report is what it is for")]

use std::path::PathBuf;
use std::process::ExitCode;

use chaos::check::{self, History, Report};
use clap::Parser;

/// Reads histories and says which promises were broken. Exits with 1 when any was.
#[derive(Debug, Parser)]
struct Arguments {
    /// Histories, as `chaos` wrote them: one JSON object a line. Each is checked alone; of several
    /// the sum is printed.
    #[arg(required = true)]
    histories: Vec<PathBuf>,
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut sum = Report::default();
    for file in &Arguments::parse().histories {
        sum += check::check(&History::read(file)?);
    }
    print!("{sum}");
    Ok(if sum.violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
