//! The `latchet` program: arguments and environment in, exit code out.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use latchet::server::cli::{self, Failure};
use latchet::server::config::ConfigError;
use latchet::server::error::causes;

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return report(&error),
    };
    let env = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    match runtime.block_on(cli::run(std::env::args_os().collect(), env)) {
        Ok(()) => ExitCode::SUCCESS,
        // clap prints its own messages, in colour, and knows that help is no failure.
        Err(Failure::Config(ConfigError::Usage(error))) => error.exit(),
        Err(Failure::Config(error)) => {
            report(&error);
            ExitCode::from(2)
        }
        Err(error) => report(&error),
    }
}

/// Prints an error and what caused it.
fn report(error: &(dyn Error + 'static)) -> ExitCode {
    let mut screen = std::io::stderr();
    for (place, text) in causes(error).iter().enumerate() {
        let lead = if place == 0 { "latchet" } else { "  because" };
        let _ = writeln!(screen, "{lead}: {text}");
    }
    ExitCode::FAILURE
}
