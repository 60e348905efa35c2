//! The `latchet` program: arguments and environment in, exit code out.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use latchet::server::cli::{self, Failure};
use latchet::server::config::ConfigError;

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
fn report(error: &dyn Error) -> ExitCode {
    let mut screen = std::io::stderr();
    let _ = writeln!(screen, "latchet: {error}");
    let mut next = error.source();
    while let Some(cause) = next {
        let _ = writeln!(screen, "  because: {cause}");
        next = cause.source();
    }
    ExitCode::FAILURE
}
