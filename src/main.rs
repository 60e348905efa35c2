//! The `latchet` program: arguments and environment in, exit code out.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use latchet::cli::{self, CliError};
use latchet::config::ConfigError;
use latchet::error::error_chain;
use latchet::logging;

/// The C library keeps most of what ten thousand connections used after they have left; jemalloc returns it within
/// ten seconds.
#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return report(&error),
    };
    let (args, env) = (std::env::args_os(), std::env::vars_os());
    let done = runtime.block_on(cli::run(args.collect(), env.collect()));
    logging::flush();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // clap prints its own messages, in colour, and knows that help is no failure.
        Err(CliError::Config(ConfigError::Usage(error))) => error.exit(),
        Err(CliError::Logged(code)) => code.into(),
        Err(error) => {
            report(&error);
            error.code().into()
        }
    }
}

/// Prints an error and its causes.
fn report(error: &(dyn Error + 'static)) -> ExitCode {
    let mut screen = std::io::stderr();
    for (place, text) in error_chain(error).iter().enumerate() {
        let lead = if place == 0 { "latchet" } else { "  caused by" };
        let _ = writeln!(screen, "{lead}: {text}");
    }
    ExitCode::FAILURE
}
