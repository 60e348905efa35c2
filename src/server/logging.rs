//! The log: lines for people on a terminal, JSON objects otherwise, always on standard error, so that
//! what a command prints can be piped.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt;

use super::config::{Config, LogFormat};

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
    // Which narrates every step of the schema at `info`.
    let filter = EnvFilter::try_new(format!("sea_orm_migration=warn,{level}"))?;
    let builder = fmt().with_env_filter(filter).with_writer(stderr);
    let is_pretty = match format {
        LogFormat::Auto => stderr().is_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    // Fails when a log runs already, as in tests that start several servers; that one goes on.
    let _ = if is_pretty {
        let builder = builder.with_target(false).with_ansi(stderr().is_terminal());
        tracing::subscriber::set_global_default(builder.finish())
    } else {
        let json = builder.json().flatten_event(true).with_span_list(false);
        tracing::subscriber::set_global_default(json.finish())
    };
    log_panics();
    Ok(())
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
