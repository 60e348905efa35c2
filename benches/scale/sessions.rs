//! Refreshes and checks among more and more sessions.

use std::time::{Duration, Instant};

use latchet_guard::clock::Clock;

use crate::Options;
use crate::clients::{Sizes, checks, devices};
use crate::findings::{Chart, Judgement, Line, ScaleResults, Series, number, power};
use crate::search;
use crate::support::backend::{Postgres, Redis};
use crate::support::fill::{FilledDatabase, ISSUER, refresh_tokens};
use crate::support::process::Cores;
use crate::support::report::median;
use crate::support::service::{DataFolder, Service};
use crate::support::side::BenchSide;

/// The fewest sessions, which the others are compared with.
const LEAST: u64 = 1_000;
/// Sessions that are refreshed, from all over the table. More are not held: each is a token here.
const REFRESHED: u64 = 64_000;
/// At the largest size at least this much of the rate at the least.
const LEAST_RATE_KEPT: f64 = 0.8;

/// A server with its sessions.
struct FilledServer {
    sessions: u64,
    filled: FilledDatabase,
    /// Disk space of the sessions, each with a user, and all indexes.
    bytes: u64,
    service: Service,
    _home: DataFolder,
}

impl FilledServer {
    fn new(sessions: u64, home: DataFolder, settings: &[(&str, &str)]) -> Self {
        let (_, database) = settings[0];
        let filled = FilledDatabase::open(database);
        let empty = filled.bytes();
        filled.sessions(1..=sessions);
        let bytes = filled.bytes() - empty;
        // Within grace a session that is refreshed again and again only repeats its response.
        let settings: Vec<_> = [("LATCHET_GRACE", "0s"), ("LATCHET_PUBLIC_URL", ISSUER)]
            .into_iter()
            .chain(settings.iter().copied())
            .collect();
        let service = Service::start(Cores::Server, &home, &settings);
        Self {
            sessions,
            filled,
            bytes,
            service,
            _home: home,
        }
    }
}

pub(crate) fn sqlite(options: &Options, findings: &mut ScaleResults) {
    let populate = |sessions| {
        let home = DataFolder::new();
        let url = home.sqlite("latchet");
        FilledServer::new(sessions, home, &[("DATABASE_URL", &url)])
    };
    let populated: Vec<_> = options.sizes(LEAST).into_iter().map(populate).collect();
    compare(options, "SQLite", &populated, findings);
}

pub(crate) fn postgres(options: &Options, findings: &mut ScaleResults) {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    let populate = |(number, sessions): (usize, u64)| {
        let url = postgres.database(&format!("sessions{sessions}"));
        let redis = redis.database(number);
        let settings = [("DATABASE_URL", url.as_str()), ("REDIS_URL", &redis)];
        let populated = FilledServer::new(sessions, DataFolder::new(), &settings);
        populated.service.until_denylist_is_good();
        populated
    };
    let sizes = options.sizes(LEAST).into_iter().enumerate();
    let populated: Vec<_> = sizes.map(populate).collect();
    compare(options, "PostgreSQL and Redis", &populated, findings);
}

fn compare(options: &Options, name: &str, populated: &[FilledServer], findings: &mut ScaleResults) {
    let mut refresh = Sizes::new(populated.iter().map(|one| {
        let scripts = devices(refresh_tokens(REFRESHED, one.sessions));
        (one.sessions, BenchSide::new(one.service.target(), scripts))
    }));
    let mut check = Sizes::new(populated.iter().map(|one| {
        let scripts = checks(&one.service);
        (one.sessions, BenchSide::new(one.service.target(), scripts))
    }));
    for _ in 0..options.rounds {
        refresh.measure(options.window());
        check.measure(options.window());
    }
    let mut rates = Chart::new(
        format!("Sessions, {name}"),
        "sessions",
        "answers per second",
    );
    refresh.report(
        &format!("refresh, {name}"),
        &mut rates,
        findings,
        LEAST_RATE_KEPT,
    );
    check.report(
        &format!("check, {name}"),
        &mut rates,
        findings,
        LEAST_RATE_KEPT,
    );
    findings.chart(rates);
    if let Some(largest) = populated.last() {
        let place = (name, largest.sessions);
        search::measure(options, place, &largest.service, findings);
    }
    report_start(name, populated, findings);
    report_garbage_collection(name, populated, findings);
}

/// Figures beside the rates: the time to start, and the disk space.
fn report_start(name: &str, populated: &[FilledServer], findings: &mut ScaleResults) {
    for one in populated {
        let millis = one.service.started_in.as_secs_f64() * 1e3;
        findings.line(Line {
            what: format!("start to first answer, {name}"),
            at: power(one.sessions),
            figure: format!("{millis:.0} ms"),
            judged: Judgement::Nothing,
            note: String::new(),
        });
        findings.line(Line {
            what: format!("disk for a session with a user and indexes, {name}, bytes"),
            at: power(one.sessions),
            figure: format!("{} MiB", one.bytes >> 20),
            judged: Judgement::Informative(number(one.bytes / one.sessions)),
            note: String::new(),
        });
    }
}

/// Old rows at each size, which so many calls delete.
const OLD: u64 = 1_000;
const CALLS: usize = 2;

/// Duration of one call of the garbage collection that finds as much as it may delete.
fn report_garbage_collection(name: &str, populated: &[FilledServer], findings: &mut ScaleResults) {
    let what = format!("one step of garbage collection, {name}");
    let mut points = Vec::new();
    for one in populated {
        let filled = &one.filled;
        let now = Clock::system().now();
        let long_ago = now - Duration::from_hours(8 * 24);
        let end = "UPDATE sessions SET revoked_at = $1, revoke_reason = 'logout' WHERE id IN
            (SELECT id FROM sessions WHERE revoked_at IS NULL LIMIT $2)";
        filled.run(end, [long_ago.millis().into(), OLD.into()]);
        filled.revocations(OLD);
        let lapse = "UPDATE revocations SET not_after = $1";
        filled.run(lapse, [long_ago.millis().into()]);
        let mut millis = Vec::new();
        for _ in 0..CALLS {
            let start = Instant::now();
            let deleted = filled.wait(filled.store.delete_expired_rows(now));
            millis.push(start.elapsed().as_secs_f64() * 1e3);
            assert!(deleted.expect("the database works") > 0, "there was enough");
        }
        points.push((number(one.sessions), median(millis.clone())));
        findings.line(Line {
            what: what.clone(),
            at: power(one.sessions),
            figure: format!("{:.1} ms", median(millis)),
            judged: Judgement::Nothing,
            note: "500 sessions and 500 revocations deleted".to_owned(),
        });
    }
    let mut chart = Chart::new(what, "sessions", "milliseconds");
    chart.series.push(Series {
        name: name.to_owned(),
        points,
    });
    findings.chart(chart);
}
