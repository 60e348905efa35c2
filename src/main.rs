//! The `latchet` program: arguments and environment in, exit code out.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use latchet::cli::{self, CliError};
use latchet::config::ConfigError;
use latchet::error::error_chain;
use latchet::logging;
use tokio::runtime::{Builder, Runtime};

/// The C library keeps most of what ten thousand connections used after they have left; jemalloc returns it after the
/// time in `.cargo/config.toml`.
#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let runtime = match runtime() {
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

/// Returns the runtime of the program.
///
/// Each thread has room for 256 tasks that are ready, and the older ones of a longer queue are moved to a queue of
/// all threads. That one comes first: otherwise a connection that was moved waits for a multiple of the time that
/// its younger neighbours wait, as soon as some hundred connections are busy.
fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .enable_all()
        .global_queue_interval(1)
        .build()
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
