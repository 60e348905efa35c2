//! The database and Redis, as they answer from here.

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
                "there is no database yet; the first start makes {}",
                file.display()
            );
            return vec![Finding::good(text)];
        }
        // SQLite would report less about it.
        if let Err(error) = store::require_writable(&file) {
            let fault = format!("{} cannot be written to: {error}", file.display());
            let mend = "give the file and its folder to the user that runs the server";
            return vec![Finding::bad(fault, mend)];
        }
    }
    let found = match store::inspect(url, clock.now()).await {
        Ok(found) => found,
        Err(error @ StoreError::Unavailable(_)) => {
            let mend =
                "start the database, and compare host, user, password and name in DATABASE_URL";
            return vec![Finding::of(&error, mend)];
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
            Finding::good("the database answers"),
            Finding::of(unfit, unfit.fix()),
        ];
    }
    vec![Finding::good(match found.missing_steps {
        0 => "the database answers and its schema is up to date".to_owned(),
        steps => format!(
            "the database answers; the next start brings its schema {steps} steps up to date"
        ),
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
        // Said where the settings are looked at.
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
            "the issuer would change from {old} to {}, which signs everybody out ({} sessions)",
            config.issuer, found.live_sessions
        ),
        format!("set LATCHET_ISSUER={old}, or the LATCHET_PUBLIC_URL of before"),
    ))
}

/// A full disk refuses every login: each writes.
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
            format!("only {} MiB are free beside {shown}", free >> 20),
            "make room on that file system",
        )
    } else {
        Finding::good(format!("there is room beside {shown}"))
    })
}

/// Beyond the bound a server refuses to start, so that is said beside what is wrong.
pub(super) fn database_clock(theirs: Time, clock: &Clock) -> Finding {
    let own = clock.now();
    match (
        ClockDeviation::between(own, theirs, own),
        same_time("the database", theirs, clock),
    ) {
        (Some(deviation), Finding::Bad { mend, .. }) => Finding::bad(
            format!(
                "the clock of the database says {theirs}, {} s from ours: beyond {} s no server starts, and one that runs is not ready and deletes no old rows",
                deviation.apart().as_secs(),
                MAX_DEVIATION.as_secs()
            ),
            mend,
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
                "the clock of {whose} says {theirs}, {} s from ours",
                apart.as_secs()
            ),
            "let NTP set both clocks",
        )
    }
}

pub(super) async fn redis(config: &Config, clock: &Clock) -> Vec<Finding> {
    const MEND: &str =
        "start Redis, and compare host, port and password in REDIS_URL; until then SQL is asked";
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
            Err(error) => return Err(Finding::of(&error, MEND)),
        };
        let refused = |error| Finding::of(&error, advice(&error).unwrap_or(MEND));
        let inspected = connection.inspect().await.map_err(refused)?;
        // A replica takes no writes, which is said as what it is.
        if inspected.unfit.is_none() {
            connection.try_writing().await.map_err(refused)?;
        }
        Ok(inspected)
    });
    match looked.await {
        Err(_) => vec![Finding::bad("Redis does not answer", MEND)],
        Ok(Err(finding)) => vec![finding],
        Ok(Ok(found)) => {
            let fit = match &found.unfit {
                None => Finding::good("Redis answers and keeps what it is told"),
                Some(unfit) => Finding::bad(
                    "Redis may forget revocations, so SQL is asked instead",
                    unfit.to_string(),
                ),
            };
            vec![fit, same_time("Redis", found.time, clock)]
        }
    }
}
