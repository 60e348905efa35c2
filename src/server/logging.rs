//! The log: lines for people on a terminal, JSON objects otherwise, always on standard error, so that
//! what a command prints can be piped.
//!
//! Lines are written by a thread of its own, by way of a queue that loses them rather than keep a
//! request waiting.

use std::io::{self, IsTerminal, stderr};
use std::sync::OnceLock;
use std::time::Duration;

use tracing::Subscriber;
use tracing::subscriber::set_global_default;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::format::{DefaultFields, Format};
use tracing_subscriber::fmt::{MakeWriter, SubscriberBuilder};

use super::config::{Config, LogFilter, LogFormat};
use queue::LogQueue;

#[cfg(test)]
pub(super) mod captured;
mod queue;
mod text;

pub(super) use text::Typed;

type Lines = SubscriberBuilder<DefaultFields, Format, EnvFilter>;

/// Time that the end of the program waits for lines to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The log of this process.
static QUEUE: OnceLock<LogQueue> = OnceLock::new();

/// Starts the log as the settings say.
///
/// # Errors
/// When the system gives no thread to write it.
pub fn start(config: &Config) -> io::Result<()> {
    start_at(&config.log_level, config.log_format)
}

/// Starts the log for a command whose output is its result: only what went wrong.
///
/// # Errors
/// When the system gives no thread to write it.
pub fn start_quiet(config: &Config) -> io::Result<()> {
    start_at(&LogFilter::warnings(), config.log_format)
}

/// Returns whether the log consists of JSON objects.
pub fn is_json(format: LogFormat) -> bool {
    match format {
        LogFormat::Auto => !stderr().is_terminal(),
        LogFormat::Pretty => false,
        LogFormat::Json => true,
    }
}

/// Returns how many lines could not be written since the start.
pub fn lost_lines() -> u64 {
    QUEUE.get().map_or(0, LogQueue::lost_lines)
}

/// Waits until what was logged is written. Belongs at the end of the program, which ends the thread that
/// writes.
pub fn finish() {
    if let Some(queue) = QUEUE.get() {
        queue.wait_until_empty(LAST_LINES);
    }
}

fn start_at(filter: &LogFilter, format: LogFormat) -> io::Result<()> {
    // Another server of this process has started it.
    if QUEUE.get().is_some() {
        return Ok(());
    }
    let queue = LogQueue::start(stderr(), report_lost_lines)?;
    let queue = QUEUE.get_or_init(|| queue).clone();
    // Fails when somebody else's log runs already, as in tests; that one goes on.
    let _ = if is_json(format) {
        set_global_default(objects(filter.as_str(), queue))
    } else {
        let lines = lines(filter.as_str()).with_writer(queue).with_target(false);
        set_global_default(lines.with_ansi(stderr().is_terminal()).finish())
    };
    log_panics();
    Ok(())
}

fn report_lost_lines(lines: u64) {
    tracing::warn!(
        event = "log_lines_lost",
        lines,
        total = lost_lines(),
        "lines of the log could not be written and are lost"
    );
}

fn lines(filter: &str) -> Lines {
    // Which narrates every step of the schema at `info`.
    let filter = EnvFilter::new(format!("sea_orm_migration=warn,{filter}"));
    // A complaint about the log on the output of the log would panic where that is broken.
    fmt().with_env_filter(filter).log_internal_errors(false)
}

/// JSON objects, one a line.
fn objects<W>(filter: &str, writer: W) -> impl Subscriber + use<W>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let json = lines(filter).with_writer(writer).json();
    json.flatten_event(true).with_span_list(false).finish()
}

/// A panic becomes one line of the log like any other fault.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        tracing::error!(
            place = place.as_deref(),
            error = text.unwrap_or("unknown"),
            "a fault of the program"
        );
    }));
}
