//! Checks of the database and of Redis, as they respond to this machine.

use std::time::Duration;

use secrecy::ExposeSecret;

use super::{Config, Finding, PATIENCE};
use crate::clock::{Clock, Time};
use crate::denylist::redis::{Target, advice};
use crate::server::clock_skew::{ClockDeviation, MAX_DEVIATION};
use crate::server::config::{DatabaseKind, RootSecret, SecretError};
use crate::server::keyring::Keyring;
use crate::server::secret::DerivedKeys;
use crate::server::store::{self, Inspection, StoreError};

/// Clocks further apart than this end sessions and refuse tokens at the wrong time.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

pub(super) async fn database(config: &Config, clock: &Clock) -> Vec<Finding> {
    let url = &config.database_url;
    if url.kind() == DatabaseKind::Sqlite
        && let Ok(file) = store::sqlite_file(url.expose())
    {
        if !file.exists() {
            let text = format!(
                "there is no database yet; the first start creates {}",
                file.display()
            );
            return vec![Finding::good(text)];
        }
        // SQLite would report less about it.
        if let Err(error) = store::require_writable(&file) {
            let fault = format!("{} cannot be written to: {error}", file.display());
            let fix = "give the file and its folder to the user that runs the server";
            return vec![Finding::bad(fault, fix)];
        }
    }
    let found = match store::inspect(url, clock.now()).await {
        Ok(found) => found,
        Err(error @ StoreError::Unavailable(_)) => {
            let fix = "start the database, and check host, user, password and name in DATABASE_URL";
            return vec![Finding::of(&error, fix)];
        }
        Err(StoreError::Unfit(unfit)) => return vec![Finding::of(&unfit, unfit.fix())],
        Err(error) => return vec![Finding::of(&error, "see the text above")],
    };
    let mut findings = examined(&found);
    findings.extend(commits(&found));
    findings.extend(free_space(config));
    findings.extend(root_secret(config, &found, clock));
    findings.extend(issuer(config, &found));
    if let Some(time) = found.time {
        findings.push(database_clock(time, clock));
    }
    findings
}

fn examined(found: &Inspection) -> Vec<Finding> {
    if let Some(unfit) = &found.unfit {
        return vec![
            Finding::good("the database responds"),
            Finding::of(unfit, unfit.fix()),
        ];
    }
    vec![Finding::good(match found.missing_steps {
        0 => "the database responds and its schema is up to date".to_owned(),
        steps => format!("the database responds; the next start applies {steps} migrations"),
    })]
}

/// A logout that was answered must hold whatever happens to the machine of the database.
fn commits(found: &Inspection) -> Option<Finding> {
    found.may_lose_commits.then(|| Finding::Doubtful {
        doubt: "synchronous_commit is off: a logout that was answered is undone when the machine of the database fails"
            .to_owned(),
        mend: "ALTER ROLE … RESET synchronous_commit, and the same for the database and the server"
            .to_owned(),
    })
}

/// Opens the keys as the server would.
fn root_secret(config: &Config, found: &Inspection, clock: &Clock) -> Option<Finding> {
    if found.keys.is_empty() {
        return None;
    }
    let root = match RootSecret::find(config) {
        Ok(Some(root)) => root,
        Ok(None) => {
            let path = RootSecret::path(config);
            let lost = SecretError::Lost { path };
            return Some(Finding::of(&lost, "restore the file from a backup"));
        }
        // Reported by the check of the settings.
        Err(_) => return None,
    };
    let derived = DerivedKeys::derive(root.expose());
    Some(
        match Keyring::try_out(found.keys.clone(), &derived, clock.now()) {
            Ok(()) => Finding::good("the root secret opens the signing keys"),
            Err(error) => Finding::of(&error, "restore the secret that belongs to this database"),
        },
    )
}

/// A start under another issuer ends every session.
fn issuer(config: &Config, found: &Inspection) -> Option<Finding> {
    let old = found.issuer.as_ref()?;
    if *old == config.issuer || found.live_sessions == 0 {
        return None;
    }
    Some(Finding::bad(
        format!(
            "the issuer would change from {old} to {}, which signs all users out ({} sessions)",
            config.issuer, found.live_sessions
        ),
        format!("set LATCHET_ISSUER={old}, or restore the earlier LATCHET_PUBLIC_URL"),
    ))
}

/// With a full disk every login is refused, because each one writes.
fn free_space(config: &Config) -> Option<Finding> {
    const LEAST: u64 = 64 << 20;
    let url = &config.database_url;
    if url.kind() != DatabaseKind::Sqlite {
        return None;
    }
    let file = store::sqlite_file(url.expose()).ok()?;
    let space = rustix::fs::statvfs(&file).ok()?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let shown = file.display();
    Some(if free < LEAST {
        Finding::bad(
            format!(
                "only {} MiB are free on the file system of {shown}",
                free >> 20
            ),
            "free space on that file system",
        )
    } else {
        Finding::good(format!("the file system of {shown} has free space"))
    })
}

/// Beyond the limit a server refuses to start; the finding says so.
pub(super) fn database_clock(theirs: Time, clock: &Clock) -> Finding {
    let own = clock.now();
    match (
        ClockDeviation::between(own, theirs, own),
        same_time("the database", theirs, clock),
    ) {
        (Some(deviation), Finding::Bad { fix, .. }) => Finding::bad(
            format!(
                "the clock of the database reads {theirs}, {} s from ours: beyond {} s no server starts, and a running one is not ready and deletes no old rows",
                deviation.apart().as_secs(),
                MAX_DEVIATION.as_secs()
            ),
            fix,
        ),
        (_, finding) => finding,
    }
}

pub(super) fn same_time(whose: &str, theirs: Time, clock: &Clock) -> Finding {
    let ours = clock.now();
    let apart = theirs.since(ours).max(ours.since(theirs));
    if apart <= CLOCK_TOLERANCE {
        Finding::good(format!("the clock of {whose} agrees"))
    } else {
        Finding::bad(
            format!(
                "the clock of {whose} reads {theirs}, {} s from ours",
                apart.as_secs()
            ),
            "let NTP set both clocks",
        )
    }
}

pub(super) async fn redis(config: &Config, clock: &Clock) -> Vec<Finding> {
    const FIX: &str =
        "start Redis, and check host, port and password in REDIS_URL; until then checks query SQL";
    let Some(url) = &config.redis_url else {
        return Vec::new();
    };
    let target: Target = match url.expose_secret().parse() {
        Ok(target) => target,
        Err(error) => {
            return vec![Finding::of(
                &error,
                "write it like redis://:password@host:6379",
            )];
        }
    };
    let looked = tokio::time::timeout(PATIENCE, async {
        let connection = match target.connect().await {
            Ok(connection) => connection,
            Err(error) => return Err(Finding::of(&error, FIX)),
        };
        let refused = |error| Finding::of(&error, advice(&error).unwrap_or(FIX));
        let inspected = connection.inspect().await.map_err(refused)?;
        // A replica takes no writes; that is reported as its own fault.
        if inspected.unfit.is_none() {
            connection.try_writing().await.map_err(refused)?;
        }
        Ok(inspected)
    });
    match looked.await {
        Err(_) => vec![Finding::bad("Redis does not respond", FIX)],
        Ok(Err(finding)) => vec![finding],
        Ok(Ok(found)) => {
            let fit = match &found.unfit {
                None => Finding::good("Redis responds and keeps what is written to it"),
                Some(unfit) => Finding::bad(
                    "Redis may forget revocations, so checks query SQL instead",
                    unfit.to_string(),
                ),
            };
            vec![fit, same_time("Redis", found.time, clock)]
        }
    }
}
