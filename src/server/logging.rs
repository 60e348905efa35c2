//! The log: lines for people on a terminal, JSON objects otherwise, always on standard error, so that
//! what a command prints can be piped.

use std::io::{IsTerminal, stderr};

use tracing::Subscriber;
use tracing::subscriber::set_global_default;
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::format::{DefaultFields, Format};
use tracing_subscriber::fmt::{MakeWriter, SubscriberBuilder};

use super::config::{Config, LogFormat};

#[cfg(test)]
pub(super) mod captured;

type Lines = SubscriberBuilder<DefaultFields, Format, EnvFilter>;

/// Starts the log as the settings say.
///
/// # Errors
/// When the level is not one.
pub fn start(config: &Config) -> Result<(), ParseError> {
    start_at(&config.log_level, config.log_format)
}

/// Starts the log for a command whose output is its result: only what went wrong.
///
/// # Errors
/// When the level is not one.
pub fn start_quiet(config: &Config) -> Result<(), ParseError> {
    start_at("warn", config.log_format)
}

fn start_at(level: &str, format: LogFormat) -> Result<(), ParseError> {
    let is_pretty = match format {
        LogFormat::Auto => stderr().is_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    // Fails when a log runs already, as in tests that start several servers; that one goes on.
    let _ = if is_pretty {
        let lines = lines(level)?.with_writer(stderr).with_target(false);
        set_global_default(lines.with_ansi(stderr().is_terminal()).finish())
    } else {
        set_global_default(objects(level, stderr)?)
    };
    log_panics();
    Ok(())
}

fn lines(level: &str) -> Result<Lines, ParseError> {
    // Which narrates every step of the schema at `info`.
    let filter = EnvFilter::try_new(format!("sea_orm_migration=warn,{level}"))?;
    Ok(fmt().with_env_filter(filter))
}

/// JSON objects, one a line.
fn objects<W>(level: &str, writer: W) -> Result<impl Subscriber + use<W>, ParseError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let json = lines(level)?.with_writer(writer).json();
    Ok(json.flatten_event(true).with_span_list(false).finish())
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
