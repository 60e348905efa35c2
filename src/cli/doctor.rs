//! `latchet doctor`: checks everything a server needs, changes nothing, and suggests a fix for each
//! problem.

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::run::RESERVED_DESCRIPTORS;
use super::{CliError, Config, print};
use crate::config::{ConfigError, RootSecret, RootSecretError};
use crate::error::error_chain;
use crate::names::EmailAddress;
use crate::serve::TlsCertificate;
use latchet_guard::clock::{Clock, Time};

/// Longest wait for a response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// A time before this program was written: a clock that reads an earlier one is wrong.
const EARLIEST_PLAUSIBLE_TIME: Time = Time::from_secs(1_764_000_000);

mod backends;
mod mail;
#[cfg(test)]
mod tests;

/// Result of one check.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    Passed(String),
    /// It works, but perhaps not as intended.
    Warning {
        problem: String,
        fix: String,
    },
    Failed {
        problem: String,
        fix: String,
    },
}

impl Finding {
    fn passed(text: impl Into<String>) -> Self {
        Self::Passed(text.into())
    }

    fn failed(problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Failed {
            problem: problem.into(),
            fix: fix.into(),
        }
    }

    fn of(error: &(dyn Error + 'static), fix: impl Into<String>) -> Self {
        Self::failed(error_chain(error).join(": "), fix)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed(text) => writeln!(f, "ok    {text}"),
            Self::Warning { problem, fix } => writeln!(f, "warn  {problem}\n      fix: {fix}"),
            Self::Failed { problem, fix } => writeln!(f, "FAIL  {problem}\n      fix: {fix}"),
        }
    }
}

/// Prints every finding; fails if one of them is bad.
///
/// With `mail_to`, a mail is sent there.
pub(super) async fn diagnose(
    config: &Config,
    mail_to: Option<EmailAddress>,
) -> Result<(), CliError> {
    let clock = Clock::system();
    let mut findings = check_settings(config);
    findings.extend(check_proxies(config));
    findings.extend(secret_files(config));
    findings.push(check_system_clock(&clock));
    findings.extend(check_descriptor_limit(config));
    findings.extend(backends::database(config, &clock).await);
    findings.extend(backends::redis(config, &clock).await);
    findings.extend(mail::check(config, mail_to).await);
    findings.push(check_listener(config).await);

    let report: String = findings.iter().map(ToString::to_string).collect();
    print(&report)?;
    let is_failed = |finding: &&Finding| matches!(finding, Finding::Failed { .. });
    match findings.iter().filter(is_failed).count() {
        0 => Ok(()),
        1 => Err(CliError::Other("1 problem found".to_owned())),
        failed => Err(CliError::Other(format!("{failed} problems found"))),
    }
}

fn check_settings(config: &Config) -> Vec<Finding> {
    let mut findings = match config.check() {
        Ok(()) if config.exposes_plain_http() => vec![Finding::failed(
            format!(
                "allow_plain_http is set: anyone on the network path can read passwords and tokens for {}",
                config.public_url
            ),
            "serve https before you use this for more than a test",
        )],
        Ok(()) => vec![Finding::passed(format!(
            "the settings are safe for {}",
            config.public_url
        ))],
        Err(ConfigError::Refused(faults)) => faults
            .into_iter()
            .map(|problem| match problem.split_once(": ") {
                Some((problem, fix)) => Finding::failed(problem, fix),
                None => Finding::failed(problem, "change that setting"),
            })
            .collect(),
        Err(error) => vec![Finding::of(&error, "change that setting")],
    };
    if let (Some(chain), Some(key)) = (&config.tls_cert, &config.tls_key) {
        findings.push(match TlsCertificate::load(chain, key) {
            Ok(_) => Finding::passed("the TLS certificate and key match"),
            Err(error) => Finding::of(&error, "name a PEM file with the chain, and its key"),
        });
    }
    findings
}

/// Checks the proxy in front of the server, as far as the settings describe it.
fn check_proxies(config: &Config) -> Option<Finding> {
    let needs_proxy_for_tls = config.is_https() && config.tls_cert.is_none();
    let is_unnamed = needs_proxy_for_tls && config.trusted_proxies.is_empty();
    is_unnamed.then(|| Finding::Warning {
        problem: format!(
            "a proxy has to terminate TLS for {}, but trusted_proxies is empty: all clients have its address and share one login throttle",
            config.public_url
        ),
        fix: "name the address that the proxy connects from in LATCHET_TRUSTED_PROXIES".to_owned(),
    })
}

/// Checks the permissions of files that must stay secret.
fn secret_files(config: &Config) -> Vec<Finding> {
    let secret = RootSecret::path(config);
    let previous = RootSecret::previous_path(config);
    let mut findings = Vec::new();
    let given = [
        config.tls_key.as_deref(),
        config.bootstrap_admin_password_file.as_deref(),
        config.config.as_deref(),
    ];
    let private = given.into_iter().flatten().chain(config.tables.files());
    let made = [
        config.data_dir.as_path(),
        secret.as_path(),
        previous.as_path(),
    ];
    for path in made.into_iter().chain(private) {
        findings.extend(check_permissions(path));
    }
    if config.root_secret.is_none() {
        match RootSecret::find(config) {
            Ok(Some(_)) => findings.push(Finding::passed(format!(
                "{} holds a strong secret",
                secret.display()
            ))),
            // A new installation, for which the keys in the database reveal whether the secret was lost, or
            // PostgreSQL without a secret, which the check of the settings reports.
            Ok(None) | Err(RootSecretError::Missing) => {}
            Err(error) => findings.push(Finding::of(&error, "restore the file from a backup")),
        }
    }
    findings
}

#[cfg(unix)]
fn check_permissions(path: &Path) -> Option<Finding> {
    use std::os::unix::fs::MetadataExt;
    let file = std::fs::metadata(path).ok()?;
    let group = rustix::process::getegid().as_raw();
    let mode = file.mode();
    let shown = path.display();
    Some(if is_private(mode, file.uid(), file.gid() == group) {
        let readers = if mode & 0o040 == 0 {
            "its owner"
        } else {
            "root and the group of this user"
        };
        Finding::passed(format!("{shown} is readable by {readers} only"))
    } else {
        Finding::failed(
            format!(
                "{shown} is accessible to other users of this machine (mode {:o})",
                mode & 0o777
            ),
            format!("chmod go= {shown}"),
        )
    })
}

/// Returns whether only the server and root can access a file. Files of root may be readable by the group of
/// the server, as packages install settings: the server cannot change those.
#[cfg(unix)]
fn is_private(mode: u32, owner: u32, has_own_group: bool) -> bool {
    let others = if owner == 0 && has_own_group {
        0o037
    } else {
        0o077
    };
    mode & others == 0
}

#[cfg(not(unix))]
fn check_permissions(_: &Path) -> Option<Finding> {
    None
}

fn check_system_clock(clock: &Clock) -> Finding {
    let now = clock.now();
    if now < EARLIEST_PLAUSIBLE_TIME {
        Finding::failed(
            format!("the clock reads {now}, which is in the past"),
            "set the clock, preferably by NTP",
        )
    } else {
        Finding::passed(format!("the clock reads {now}"))
    }
}

/// Each connection takes a file descriptor; when none is left, no client can connect.
#[cfg(unix)]
fn check_descriptor_limit(config: &Config) -> Option<Finding> {
    // The server raises its limit to the maximum if it has to.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum?;
    let needed = u64::try_from(config.max_connections)
        .ok()?
        .saturating_add(RESERVED_DESCRIPTORS);
    Some(if limit >= needed {
        Finding::passed(format!("{limit} files may be open at once"))
    } else {
        Finding::failed(
            format!(
                "{limit} files may be open at once, fewer than max_connections ({}) needs",
                config.max_connections
            ),
            format!(
                "raise the limit (`ulimit -Hn {needed}`, or LimitNOFILE in systemd), or lower max_connections"
            ),
        )
    })
}

#[cfg(not(unix))]
fn check_descriptor_limit(_: &Config) -> Option<Finding> {
    None
}

async fn check_listener(config: &Config) -> Finding {
    let address = config.listen_address();
    let connecting = tokio::net::TcpStream::connect(address);
    match tokio::time::timeout(RESPONSE_TIMEOUT, connecting).await {
        Ok(Ok(_)) => Finding::passed(format!("a process listens on {address}")),
        _ => Finding::passed(format!(
            "no process listens on {address} yet; `latchet` does once it is started"
        )),
    }
}
