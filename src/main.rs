//! The `latchet` program: arguments and environment in, exit code out.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use latchet::server::cli::{self, Failure};
use latchet::server::config::ConfigError;
use latchet::server::error::causes;
use latchet::server::logging;

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return report(&error),
    };
    let (args, env) = (std::env::args_os(), std::env::vars_os());
    let done = runtime.block_on(cli::run(args.collect(), env.collect()));
    logging::finish();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // clap prints its own messages, in colour, and knows that help is no failure.
        Err(Failure::Config(ConfigError::Usage(error))) => error.exit(),
        Err(Failure::Logged(code)) => code.into(),
        Err(error) => {
            report(&error);
            error.code().into()
        }
    }
}

/// Prints an error and its causes.
fn report(error: &(dyn Error + 'static)) -> ExitCode {
    let mut screen = std::io::stderr();
    for (place, text) in causes(error).iter().enumerate() {
        let lead = if place == 0 { "latchet" } else { "  caused by" };
        let _ = writeln!(screen, "{lead}: {text}");
    }
    ExitCode::FAILURE
}
