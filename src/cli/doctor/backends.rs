//! Checks of the database and of Redis, as they respond to this machine.

use std::time::Duration;

use secrecy::ExposeSecret;

use super::{Config, Finding, RESPONSE_TIMEOUT};
use crate::clock_skew::{ClockDeviation, MAX_DEVIATION};
use crate::config::{DatabaseKind, RootSecret, RootSecretError};
use crate::derived_keys::{DerivedKeys, SecretAge};
use crate::keyring::Keyring;
use crate::store::{self, DatabaseInspection, StoreError, StoredSigningKey};
use latchet_guard::clock::{Clock, Time};
use latchet_guard::denylist::redis::{RedisUrl, advice};

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
            return vec![Finding::passed(text)];
        }
        // SQLite would report less about it.
        if let Err(error) = store::require_writable(&file) {
            let problem = format!("{} cannot be written to: {error}", file.display());
            let fix = "give the file and its folder to the user that runs the server";
            return vec![Finding::failed(problem, fix)];
        }
    }
    let found = match store::inspect_database(url, clock.now()).await {
        Ok(found) => found,
        Err(error @ StoreError::Unavailable(_)) => {
            let fix = "start the database, and check host, user, password and name in DATABASE_URL";
            return vec![Finding::of(&error, fix)];
        }
        Err(StoreError::Unsuitable(unsuitable)) => {
            return vec![Finding::of(&unsuitable, unsuitable.fix())];
        }
        Err(error) => return vec![Finding::of(&error, "see the text above")],
    };
    let mut findings = schema_findings(&found);
    findings.extend(commit_durability(&found));
    findings.extend(free_space(config));
    findings.extend(root_secret(config, &found, clock));
    findings.extend(previous_secret(config, &found, clock));
    findings.extend(issuer(config, &found));
    if let Some(time) = found.time {
        findings.push(database_clock(time, clock));
    }
    findings
}

fn schema_findings(found: &DatabaseInspection) -> Vec<Finding> {
    if let Some(unsuitable) = &found.unsuitable {
        return vec![
            Finding::passed("the database responds"),
            Finding::of(unsuitable, unsuitable.fix()),
        ];
    }
    vec![Finding::passed(match found.missing_migrations {
        0 => "the database responds and its schema is up to date".to_owned(),
        steps => format!("the database responds; the next start applies {steps} migrations"),
    })]
}

/// Warns when a power failure of the database server may undo a confirmed logout.
fn commit_durability(found: &DatabaseInspection) -> Option<Finding> {
    found.may_lose_commits.then(|| Finding::Warning {
        problem: "synchronous_commit is off: a failure of the database server may undo a confirmed logout"
            .to_owned(),
        fix: "ALTER ROLE … RESET synchronous_commit, and the same for the database and the server"
            .to_owned(),
    })
}

/// Opens the keys as the server would.
fn root_secret(config: &Config, found: &DatabaseInspection, clock: &Clock) -> Option<Finding> {
    if found.keys.is_empty() {
        return None;
    }
    let root = match RootSecret::find(config) {
        Ok(Some(root)) => root,
        Ok(None) => {
            let path = RootSecret::path(config);
            let lost = RootSecretError::Lost { path };
            return Some(Finding::of(&lost, "restore the file from a backup"));
        }
        // Reported by the check of the settings.
        Err(_) => return None,
    };
    let derived = match root.derive_keys(config) {
        Ok(derived) => derived,
        Err(error) => return Some(Finding::of(&error, "correct that setting")),
    };
    Some(
        match Keyring::check_root_secret(found.keys.clone(), &derived, clock.now()) {
            Ok(()) => Finding::passed("the root secret opens the signing keys"),
            Err(error) => Finding::of(&error, "restore the secret that belongs to this database"),
        },
    )
}

/// Returns whether the previous root secret is still needed, if there is one.
fn previous_secret(config: &Config, found: &DatabaseInspection, clock: &Clock) -> Option<Finding> {
    let (root, previous) = (
        RootSecret::find(config).ok()??,
        RootSecret::find_previous(config).ok()??,
    );
    let derived = DerivedKeys::derive(root.expose()).with_previous(previous.expose());
    let is_sealed = |key: &StoredSigningKey| {
        let opened = derived.open_under(&key.kid, &key.sealed_private);
        opened.is_ok_and(|(age, _)| age == SecretAge::Previous)
    };
    let keys = found.keys.iter().filter(|key| is_sealed(key)).count();
    let until = found.previous_secret_needed_until;
    Some(if keys > 0 {
        Finding::Warning {
            problem: format!("{keys} signing keys are sealed under the previous root secret"),
            fix: "run `latchet secret rotate` once every server has the new secret".to_owned(),
        }
    } else if until <= clock.now() {
        Finding::Warning {
            problem: "the previous root secret is set, and nothing needs it any more".to_owned(),
            fix: "remove LATCHET_ROOT_SECRET_PREVIOUS, or the file root-secret.previous".to_owned(),
        }
    } else {
        Finding::passed(format!(
            "the previous root secret is needed until {until}, for sessions that were not refreshed since the rotation"
        ))
    })
}

/// A start under another issuer ends every session.
fn issuer(config: &Config, found: &DatabaseInspection) -> Option<Finding> {
    let old = found.issuer.as_ref()?;
    if *old == config.issuer || found.live_sessions == 0 {
        return None;
    }
    let sessions = match found.live_sessions {
        1 => "1 session".to_owned(),
        number => format!("{number} sessions"),
    };
    Some(Finding::failed(
        format!(
            "the issuer would change from {old} to {}, which signs all users out ({sessions})",
            config.issuer
        ),
        format!("set LATCHET_ISSUER={old}, or restore the earlier LATCHET_PUBLIC_URL"),
    ))
}

/// With a full disk every login is refused, because each one writes.
fn free_space(config: &Config) -> Option<Finding> {
    const MIN_FREE_BYTES: u64 = 64 << 20;
    let url = &config.database_url;
    if url.kind() != DatabaseKind::Sqlite {
        return None;
    }
    let file = store::sqlite_file(url.expose()).ok()?;
    let space = rustix::fs::statvfs(&file).ok()?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let shown = file.display();
    Some(if free < MIN_FREE_BYTES {
        Finding::failed(
            format!(
                "only {} MiB are free on the file system of {shown}",
                free >> 20
            ),
            "free space on that file system",
        )
    } else {
        Finding::passed(format!("the file system of {shown} has free space"))
    })
}

/// Beyond the limit a server refuses to start; the finding says so.
pub(super) fn database_clock(remote: Time, clock: &Clock) -> Finding {
    let own = clock.now();
    match (
        ClockDeviation::between(own, remote, own),
        compare_clocks("the database", remote, clock),
    ) {
        (Some(deviation), Finding::Failed { fix, .. }) => Finding::failed(
            format!(
                "the clock of the database reads {remote}, {} s from ours: beyond {} s no server starts, and a running one is not ready and deletes no old rows",
                deviation.apart().as_secs(),
                MAX_DEVIATION.as_secs()
            ),
            fix,
        ),
        (_, finding) => finding,
    }
}

pub(super) fn compare_clocks(service: &str, remote: Time, clock: &Clock) -> Finding {
    let ours = clock.now();
    let apart = remote.since(ours).max(ours.since(remote));
    if apart <= CLOCK_TOLERANCE {
        Finding::passed(format!("the clock of {service} agrees"))
    } else {
        Finding::failed(
            format!(
                "the clock of {service} reads {remote}, {} s from ours",
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
    let target: RedisUrl = match url.expose_secret().parse() {
        Ok(target) => target,
        Err(error) => {
            return vec![Finding::of(
                &error,
                "write it like redis://:password@host:6379",
            )];
        }
    };
    let inspecting = tokio::time::timeout(RESPONSE_TIMEOUT, async {
        let connection = match target.connect().await {
            Ok(connection) => connection,
            Err(error) => return Err(Finding::of(&error, FIX)),
        };
        let refused = |error| Finding::of(&error, advice(&error).unwrap_or(FIX));
        let inspected = connection.inspect().await.map_err(refused)?;
        // A replica takes no writes; that is reported as its own fault.
        if inspected.unsuitable.is_none() {
            connection.test_write().await.map_err(refused)?;
        }
        Ok(inspected)
    });
    match inspecting.await {
        Err(_) => vec![Finding::failed("Redis does not respond", FIX)],
        Ok(Err(finding)) => vec![finding],
        Ok(Ok(found)) => {
            let fit = match &found.unsuitable {
                None => Finding::passed("Redis responds and keeps what is written to it"),
                Some(unfit) => Finding::failed(
                    "Redis may forget revocations, so checks query SQL instead",
                    unfit.to_string(),
                ),
            };
            vec![fit, compare_clocks("Redis", found.time, clock)]
        }
    }
}
