//! The database and Redis, as they answer from here.

use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::{Config, Finding, PATIENCE};
use crate::clock::{Clock, Time};
use crate::denylist::redis::Target;
use crate::server::clock_skew::{ClockDeviation, MAX_DEVIATION};
use crate::server::config::DatabaseKind;
use crate::server::store::{self, StoreError};

/// Clocks further apart than this end sessions and refuse tokens at the wrong time.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

pub(super) async fn database(config: &Config, clock: &Clock) -> Vec<Finding> {
    let url = &config.database_url;
    if url.kind() == DatabaseKind::Sqlite {
        let rest = url
            .expose()
            .trim_start_matches("sqlite:")
            .trim_start_matches("//");
        let file = Path::new(rest.split('?').next().unwrap_or_default());
        if !file.exists() {
            let text = format!(
                "there is no database yet; the first start makes {}",
                file.display()
            );
            return vec![Finding::good(text)];
        }
    }
    let found = match store::inspect(url).await {
        Ok(found) => found,
        Err(error @ StoreError::Unavailable(_)) => {
            let mend =
                "start the database, and compare host, user, password and name in DATABASE_URL";
            return vec![Finding::of(&error, mend)];
        }
        Err(error) => return vec![Finding::of(&error, "see the text above")],
    };
    let mut findings = vec![Finding::good(match found.missing_steps {
        0 => "the database answers and its schema is up to date".to_owned(),
        steps => format!(
            "the database answers; the next start brings its schema {steps} steps up to date"
        ),
    })];
    if let Some(time) = found.time {
        findings.push(database_clock(time, clock));
    }
    findings
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
        let inspected = connection.inspect().await;
        inspected.map_err(|error| Finding::of(&error, MEND))
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
