//! The log: lines for people on a terminal, JSON objects otherwise, always on standard error, so that
//! the output of a command can be piped.
//!
//! A separate thread writes the lines. They reach it through a queue that drops lines rather than keep
//! a request waiting.

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
use super::queue_level::QueueLevel;
use queue::LogQueue;

#[cfg(test)]
pub(super) mod captured_log;
mod queue;
mod untrusted_text;

pub(super) use untrusted_text::UntrustedText;

type LineSubscriberBuilder = SubscriberBuilder<DefaultFields, Format, EnvFilter>;

/// Longest wait for the last lines to be written, at the end of the program.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The log of this process.
static QUEUE: OnceLock<LogQueue> = OnceLock::new();

/// Starts the log according to the settings.
///
/// # Errors
/// When the thread that writes it cannot be started.
pub fn start(config: &Config) -> io::Result<()> {
    start_at(&config.log_level, config.log_format)
}

/// Starts the log for a command whose output is its result: only warnings and errors.
///
/// # Errors
/// When the thread that writes it cannot be started.
pub fn start_for_command(config: &Config) -> io::Result<()> {
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

/// Returns the number of lines that could not be written since the start.
pub fn lost_lines() -> u64 {
    QUEUE.get().map_or(0, LogQueue::lost_lines)
}

/// Returns the size of the lines that wait to be written, in bytes; `None` before the log was started.
pub fn queue_level() -> Option<QueueLevel> {
    QUEUE.get().map(LogQueue::level)
}

/// Waits until all lines are written. Call it at the end of the program, which ends the writing thread.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.wait_until_empty(FLUSH_TIMEOUT);
    }
}

fn start_at(filter: &LogFilter, format: LogFormat) -> io::Result<()> {
    // Another server of this process has started the log.
    if QUEUE.get().is_some() {
        return Ok(());
    }
    let queue = LogQueue::start(stderr(), report_lost_lines)?;
    let queue = QUEUE.get_or_init(|| queue).clone();
    // Fails if another subscriber is installed already, as in tests; that one stays.
    let _ = if is_json(format) {
        set_global_default(json_subscriber(filter.as_str(), queue))
    } else {
        let lines = line_subscriber(filter.as_str())
            .with_writer(queue)
            .with_target(false);
        set_global_default(lines.with_ansi(stderr().is_terminal()).finish())
    };
    log_panics();
    Ok(())
}

fn report_lost_lines(lines: u64) {
    tracing::warn!(
        // The reader of the log works again after it was slow, stopped or out of disk space.
        event = "log_lines_lost",
        lines,
        total = lost_lines(),
        "log lines could not be written and are lost"
    );
}

fn line_subscriber(filter: &str) -> LineSubscriberBuilder {
    // At `info` these log every migration, and every table that PostgreSQL does not create again.
    let filter = EnvFilter::new(format!(
        "sea_orm_migration=warn,sqlx::postgres::notice=warn,{filter}"
    ));
    // An error message about the log would go to the output of the log, and panic if that is broken.
    fmt().with_env_filter(filter).log_internal_errors(false)
}

/// Returns a subscriber that writes JSON objects, one per line.
fn json_subscriber<W>(filter: &str, writer: W) -> impl Subscriber + use<W>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let json = line_subscriber(filter).with_writer(writer).json();
    json.flatten_event(true).with_span_list(false).finish()
}

/// Makes a panic one line of the log, like any other fault.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        tracing::error!(
            place = place.as_deref(),
            error = text.unwrap_or("unknown"),
            "the program panicked"
        );
    }));
}
