//! The start-up message of a server: its addresses, and the way to create the first administrator.

use std::fmt::Write;
use std::io::{IsTerminal, stdout};
use std::net::SocketAddr;

use super::{CliError, print};
use crate::App;
use crate::config::{LogFormat, MailMode, WebOrigin};
use crate::logging;

const NO_ADMINISTRATOR_HINT: &str = "there is no administrator yet: `latchet setup-link` prints a link that creates one, `latchet user add NAME --admin` creates one at once";

/// Reports on a terminal, or in the log if that is JSON, that the server listens.
///
/// The link that creates the first administrator is printed on a terminal alone: files, pipes and
/// journals have other readers.
pub(super) async fn announce(app: &App, metrics: Option<SocketAddr>) -> Result<(), CliError> {
    let format = app.config.log_format;
    let is_terminal = stdout().is_terminal() && format != LogFormat::Json;
    let link = if is_terminal {
        app.accounts.create_setup_link().await?
    } else {
        None
    };
    let is_administrator_missing = link.is_none() && !app.accounts.has_administrator().await?;
    if !is_terminal && logging::is_json(format) {
        log(app, metrics, is_administrator_missing);
        return Ok(());
    }
    let mut text = banner(app, metrics);
    if let Some(secret) = link {
        text.push_str(&setup_instructions(&app.config.public_url, &secret));
    } else if is_administrator_missing {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {NO_ADMINISTRATOR_HINT}");
    }
    print_without_waiting(text);
    Ok(())
}

fn log(app: &App, metrics: Option<SocketAddr>, is_administrator_missing: bool) {
    let config = &app.config;
    tracing::info!(
        // The server accepts connections; in a log of JSON lines only.
        event = "listening",
        version = env!("CARGO_PKG_VERSION"),
        address = %config.listen,
        public_url = %config.public_url,
        metrics.address = metrics.map(tracing::field::display),
        "latchet {} listens on {}",
        env!("CARGO_PKG_VERSION"),
        config.listen
    );
    if is_administrator_missing {
        tracing::warn!("{NO_ADMINISTRATOR_HINT}");
    }
}

fn banner(app: &App, metrics: Option<SocketAddr>) -> String {
    let config = &app.config;
    let url = &config.public_url;
    let mut text = format!(
        "latchet {} listens on {}\n  Sign in        {url}/account\n  API and docs   {url}/docs\n",
        env!("CARGO_PKG_VERSION"),
        config.listen
    );
    if config.mail_mode() == MailMode::Log {
        let _ = writeln!(
            text,
            "  Mails          files in {}",
            config.mail_folder().display()
        );
    }
    if let Some(address) = metrics {
        let _ = writeln!(text, "  Metrics        http://{address}/metrics");
    }
    text
}

/// Returns the instructions for the link that creates the first administrator.
pub(super) fn setup_instructions(url: &WebOrigin, secret: &str) -> String {
    format!(
        "  There is no administrator yet. Create one within 30 minutes at\n    {url}/setup#{secret}\n  or at any time with  latchet user add NAME --admin\n"
    )
}

/// Prints without waiting: a reader that hangs, or a full disk, does not delay the server.
fn print_without_waiting(text: String) {
    let name = "banner".to_owned();
    let printing = move || {
        let _ = print(&text);
    };
    let _ = std::thread::Builder::new().name(name).spawn(printing);
}
