//! `latchet doctor`: checks everything a server needs, changes nothing, and suggests a fix for each
//! problem.

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::run::OWN_DESCRIPTORS;
use super::{Config, Failure, print};
use crate::clock::{Clock, Time};
use crate::server::config::{ConfigError, RootSecret};
use crate::server::error::causes;
use crate::server::serve::TlsCertificate;

/// Longest wait for a response.
const PATIENCE: Duration = Duration::from_secs(2);
/// A time before this program was written: a clock that reads an earlier one is wrong.
const WRITTEN: Time = Time::from_secs(1_764_000_000);

mod backends;
#[cfg(test)]
mod tests;

/// Result of one check.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    Good(String),
    /// It works, but perhaps not as intended.
    Doubtful {
        doubt: String,
        fix: String,
    },
    Bad {
        fault: String,
        fix: String,
    },
}

impl Finding {
    fn good(text: impl Into<String>) -> Self {
        Self::Good(text.into())
    }

    fn bad(fault: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Bad {
            fault: fault.into(),
            fix: fix.into(),
        }
    }

    fn of(error: &(dyn Error + 'static), fix: impl Into<String>) -> Self {
        Self::bad(causes(error).join(": "), fix)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good(text) => writeln!(f, "ok    {text}"),
            Self::Doubtful { doubt, fix } => writeln!(f, "warn  {doubt}\n      fix: {fix}"),
            Self::Bad { fault, fix } => writeln!(f, "FAIL  {fault}\n      fix: {fix}"),
        }
    }
}

/// Prints every finding; fails if one of them is bad.
pub(super) async fn examine(config: &Config) -> Result<(), Failure> {
    let clock = Clock::system();
    let mut findings = settings(config);
    findings.extend(proxies(config));
    findings.extend(files(config));
    findings.push(system_clock(&clock));
    findings.extend(descriptors(config));
    findings.extend(backends::database(config, &clock).await);
    findings.extend(backends::redis(config, &clock).await);
    findings.push(listener(config).await);

    let report: String = findings.iter().map(ToString::to_string).collect();
    print(&report)?;
    let is_bad = |finding: &&Finding| matches!(finding, Finding::Bad { .. });
    match findings.iter().filter(is_bad).count() {
        0 => Ok(()),
        1 => Err(Failure::Other("1 thing is wrong".to_owned())),
        bad => Err(Failure::Other(format!("{bad} things are wrong"))),
    }
}

fn settings(config: &Config) -> Vec<Finding> {
    let mut findings = match config.check() {
        Ok(()) if config.is_open_plain_http() => vec![Finding::bad(
            format!(
                "allow_plain_http is set: anybody on the network path can read passwords and tokens for {}",
                config.public_url
            ),
            "serve https before you use this for more than a test",
        )],
        Ok(()) => vec![Finding::good(format!(
            "the settings are safe for {}",
            config.public_url
        ))],
        Err(ConfigError::Refused(faults)) => faults
            .into_iter()
            .map(|fault| match fault.split_once(": ") {
                Some((fault, fix)) => Finding::bad(fault, fix),
                None => Finding::bad(fault, "change that setting"),
            })
            .collect(),
        Err(error) => vec![Finding::of(&error, "change that setting")],
    };
    if let (Some(chain), Some(key)) = (&config.tls_cert, &config.tls_key) {
        findings.push(match TlsCertificate::load(chain, key) {
            Ok(_) => Finding::good("the TLS certificate and key match"),
            Err(error) => Finding::of(&error, "name a PEM file with the chain, and its key"),
        });
    }
    findings
}

/// Checks the proxy in front of the server, as far as the settings describe it.
fn proxies(config: &Config) -> Option<Finding> {
    let speaks_tls_elsewhere = config.is_https() && config.tls_cert.is_none();
    let is_doubtful = speaks_tls_elsewhere && config.trusted_proxies.is_empty();
    is_doubtful.then(|| Finding::Doubtful {
        doubt: format!(
            "a proxy has to terminate TLS for {}, but trusted_proxies is empty: all clients have its address and share one login throttle",
            config.public_url
        ),
        fix: "name the address that the proxy connects from in LATCHET_TRUSTED_PROXIES".to_owned(),
    })
}

/// Checks the permissions of files that must stay secret.
fn files(config: &Config) -> Vec<Finding> {
    let secret = config.data_dir.join("root-secret");
    let mut findings = Vec::new();
    let given = [
        config.tls_key.as_deref(),
        config.bootstrap_admin_password_file.as_deref(),
        config.config.as_deref(),
    ];
    let private = given.into_iter().flatten().chain(config.tables.files());
    let made = [config.data_dir.as_path(), secret.as_path()];
    for path in made.into_iter().chain(private) {
        findings.extend(privacy(path));
    }
    if config.root_secret.is_none() {
        match RootSecret::find(config) {
            Ok(Some(_)) => findings.push(Finding::good(format!(
                "{} holds a strong secret",
                secret.display()
            ))),
            // A new installation; the keys in the database reveal whether it was lost.
            Ok(None) => {}
            Err(error) => findings.push(Finding::of(&error, "restore the file from a backup")),
        }
    }
    findings
}

#[cfg(unix)]
fn privacy(path: &Path) -> Option<Finding> {
    use std::os::unix::fs::PermissionsExt;
    const OTHERS: u32 = 0o077;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    let shown = path.display();
    Some(if mode & OTHERS == 0 {
        Finding::good(format!("{shown} is readable by its owner only"))
    } else {
        Finding::bad(
            format!(
                "{shown} is accessible to other users of this machine (mode {:o})",
                mode & 0o777
            ),
            format!("chmod go= {shown}"),
        )
    })
}

#[cfg(not(unix))]
fn privacy(_: &Path) -> Option<Finding> {
    None
}

fn system_clock(clock: &Clock) -> Finding {
    let now = clock.now();
    if now < WRITTEN {
        Finding::bad(
            format!("the clock reads {now}, which is in the past"),
            "set the clock, preferably by NTP",
        )
    } else {
        Finding::good(format!("the clock reads {now}"))
    }
}

/// Each connection takes a file descriptor; when none is left, no client can connect.
#[cfg(unix)]
fn descriptors(config: &Config) -> Option<Finding> {
    // The server raises its limit to the maximum if it has to.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum?;
    let needed = u64::try_from(config.max_connections)
        .ok()?
        .saturating_add(OWN_DESCRIPTORS);
    Some(if limit >= needed {
        Finding::good(format!("{limit} files may be open at once"))
    } else {
        Finding::bad(
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
fn descriptors(_: &Config) -> Option<Finding> {
    None
}

async fn listener(config: &Config) -> Finding {
    let address = config.listen_address();
    let connecting = tokio::net::TcpStream::connect(address);
    match tokio::time::timeout(PATIENCE, connecting).await {
        Ok(Ok(_)) => Finding::good(format!("a process listens on {address}")),
        _ => Finding::good(format!(
            "no process listens on {address} yet; `latchet` does once it is started"
        )),
    }
}
