//! Checks beside more and more denials, and what a denial costs: memory, and time at the start.

use std::time::Duration;

use crate::Options;
use crate::clients::Sizes;
use crate::findings::{Chart, Judgement, Line, ScaleResults, Series, number, power};
use crate::support::backend::{Postgres, Redis};
use crate::support::fill::FilledDatabase;
use crate::support::floor::Floor;
use crate::support::load::{CONNECTIONS, RepeatedRequest, get};
use crate::support::process::Cores;
use crate::support::report::{Target, median, median_ratio};
use crate::support::service::{DataFolder, Service};
use crate::support::side::BenchSide;

/// The fewest denials beside none.
const LEAST: u64 = 10_000;
/// With the most denials at least this much of the rate without any.
const LEAST_RATE_KEPT: f64 = 0.8;
/// Bytes of memory that a denial may cost a server which keeps them all itself.
const BYTES: f64 = 100.0;
/// Fewer denials do not show beside the memory of everything else.
const JUDGED_FROM: u64 = 1_000_000;
/// A guarded handler, with the denylist in Redis, against one that does nothing.
const OF_EMPTY: f64 = 0.5;

/// A database with so many denials, and the server that has copied them.
struct DenylistServer {
    entries: u64,
    service: Service,
    /// Between the start and the first check that was answered by the copy.
    copied_in: Duration,
    memory: GuardMemory,
    /// Settings of a guard beside it.
    role: Vec<String>,
    _home: DataFolder,
}

/// Memory of the server in MiB.
struct GuardMemory {
    resident: f64,
    most: f64,
}

impl DenylistServer {
    fn start(entries: u64, home: DataFolder, database: &str, redis: Option<&str>) -> Self {
        FilledDatabase::open(database).revocations(entries);
        let settings: Vec<(&str, &str)> = std::iter::once(("DATABASE_URL", database))
            .chain(redis.map(|redis| ("REDIS_URL", redis)))
            .collect();
        let service = Service::start(Cores::Server, &home, &settings);
        let copied_in = service.until_denylist_is_good();
        service.process.wait_until_idle();
        let memory = GuardMemory {
            resident: service.process.resident_mib(),
            most: service.process.most_resident_mib(),
        };
        let role = match redis {
            None => vec!["guarded", "following", database],
            Some(redis) => vec!["guarded", "redis", redis, database],
        };
        Self {
            entries,
            service,
            copied_in,
            memory,
            role: role.into_iter().map(str::to_owned).collect(),
            _home: home,
        }
    }

    /// Starts a handler behind a guard that asks the same denylist.
    fn guard(&self) -> Floor {
        let role: Vec<&str> = self.role.iter().map(String::as_str).collect();
        let guard = Floor::start(&role);
        // It reads all denials once more, to look for some that nobody has copied.
        guard.process.wait_until_idle();
        guard
    }
}

fn sizes(options: &Options) -> Vec<u64> {
    std::iter::once(0).chain(options.sizes(LEAST)).collect()
}

/// Judges the bytes that each of so many denials takes in memory.
pub(crate) fn judge_bytes_per_entry(bytes: f64, entries: u64) -> Judgement {
    let target = if entries >= JUDGED_FROM {
        Target::AtMost(BYTES)
    } else {
        Target::None
    };
    Judgement::by(bytes, target)
}

pub(crate) fn memory(options: &Options, findings: &mut ScaleResults) {
    let start = |entries| {
        let home = DataFolder::new();
        let database = home.sqlite("latchet");
        DenylistServer::start(entries, home, &database, None)
    };
    let all: Vec<DenylistServer> = sizes(options).into_iter().map(start).collect();
    report_starts("denylist in memory", &all, findings);
    let [none, .., most] = all.as_slice() else {
        return;
    };
    let bytes = |mib: f64| mib * 1024.0 * 1024.0 / number(most.entries);
    let resident = bytes(most.memory.resident - none.memory.resident);
    findings.line(Line {
        what: "memory of the server for a denial, bytes".to_owned(),
        at: power(most.entries),
        figure: format!("{:.1} MiB", most.memory.resident),
        judged: judge_bytes_per_entry(resident, most.entries),
        note: format!(
            "{:.1} MiB without any; at most {:.1} MiB while it started, {:.0} bytes each",
            none.memory.resident,
            most.memory.most,
            bytes(most.memory.most - none.memory.most)
        ),
    });
    compare(options, "denylist in memory", &all, findings);
}

pub(crate) fn redis(options: &Options, findings: &mut ScaleResults) {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    let mut used = vec![redis.used_bytes()];
    let start = |(place, entries): (usize, u64)| {
        let database = postgres.database(&format!("denials{entries}"));
        let url = redis.database(place);
        let denying = DenylistServer::start(entries, DataFolder::new(), &database, Some(&url));
        used.push(redis.used_bytes());
        denying
    };
    let all: Vec<DenylistServer> = sizes(options).into_iter().enumerate().map(start).collect();
    report_starts("denylist in Redis", &all, findings);
    for (one, used) in all.iter().zip(used.windows(2)).skip(1) {
        let bytes = number(used[1].saturating_sub(used[0]));
        findings.line(Line {
            what: "memory of Redis for a denial, bytes".to_owned(),
            at: power(one.entries),
            figure: format!("{:.1} MiB", bytes / 1024.0 / 1024.0),
            judged: Judgement::Informative(bytes / number(one.entries)),
            note: "`used_memory` of `INFO`".to_owned(),
        });
    }
    compare(options, "denylist in Redis", &all, findings);
}

fn report_starts(name: &str, all: &[DenylistServer], findings: &mut ScaleResults) {
    let what = format!("start until the copy is complete, {name}");
    let seconds = |one: &DenylistServer| one.copied_in.as_secs_f64();
    for one in all {
        findings.line(Line {
            what: what.clone(),
            at: power(one.entries),
            figure: format!("{:.2} s", seconds(one)),
            judged: Judgement::Nothing,
            note: format!(
                "first answer after {:.0} ms; checks ask SQL until then; {:.1} MiB, at most {:.1}",
                one.service.started_in.as_secs_f64() * 1e3,
                one.memory.resident,
                one.memory.most
            ),
        });
    }
    let mut chart = Chart::new(what, "denials", "seconds");
    let points = all.iter().skip(1);
    chart.series.push(Series {
        name: name.to_owned(),
        points: points
            .map(|one| (number(one.entries), seconds(one)))
            .collect(),
    });
    findings.chart(chart);
}

/// Guards beside each size, and an empty handler.
fn compare(options: &Options, name: &str, all: &[DenylistServer], findings: &mut ScaleResults) {
    let floor = Floor::start(&["empty"]);
    let guards: Vec<(&DenylistServer, Floor)> = all.iter().map(|one| (one, one.guard())).collect();
    let mut empty = BenchSide::new(floor.target(), vec![get("/", None); CONNECTIONS]);
    let mut check = Sizes::new(guards.iter().map(|(one, guard)| {
        let scripts: Vec<RepeatedRequest> = guard
            .tokens
            .iter()
            .map(|token| get("/", Some(token)))
            .collect();
        (one.entries, BenchSide::new(guard.target(), scripts))
    }));
    for _ in 0..options.rounds {
        empty.measure(options.window());
        check.measure(options.window());
    }
    let mut chart = Chart::new(format!("Denials, {name}"), "denials", "answers per second");
    check.report(
        &format!("check, {name}"),
        &mut chart,
        findings,
        LEAST_RATE_KEPT,
    );
    // A scale of powers of ten has no zero.
    for series in &mut chart.series {
        series.points.retain(|(entries, _)| *entries > 0.0);
    }
    findings.chart(chart);
    let most = check.largest();
    findings.line(Line {
        what: format!("check, {name} / empty handler"),
        at: all.last().map(|one| power(one.entries)).unwrap_or_default(),
        figure: most.summary(),
        judged: Judgement::by(
            median_ratio(&most.rates(), &empty.rates()),
            Target::AtLeast(OF_EMPTY),
        ),
        note: format!("empty handler {:.0}/s", median(empty.rates())),
    });
}
