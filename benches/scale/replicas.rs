//! One server and three on the same databases.

use std::thread;
use std::time::Duration;

use crate::Options;
use crate::clients::{checks, devices};
use crate::findings::{Judgement, Line, ScaleResults};
use crate::support::backend::{Postgres, Redis};
use crate::support::fill::{FilledDatabase, ISSUER, refresh_tokens};
use crate::support::load::{LoadResult, RequestScript, run};
use crate::support::process::Cores;
use crate::support::report::{median, median_ratio};
use crate::support::service::{DataFolder, Service};

const SESSIONS: u64 = 10_000;
/// Fewer than there are: nothing here is about the size of the table.
const REFRESHED: u64 = 6_400;

/// Servers that share the load.
struct Replicas(Vec<(Service, DataFolder)>);

impl Replicas {
    fn start(count: usize, settings: &[(&str, &str)]) -> Self {
        let start = |_| {
            let home = DataFolder::new();
            let service = Service::start(Cores::Server, &home, settings);
            service.until_denylist_is_good();
            (service, home)
        };
        Self((0..count).map(start).collect())
    }

    /// Runs the scripts, dealt out evenly. Each server has a load of its own, on the same cores.
    fn measure<S: RequestScript + Send>(
        &self,
        scripts: &mut Vec<S>,
        window: Duration,
    ) -> Vec<LoadResult> {
        let share = scripts.len().div_ceil(self.0.len());
        let mut shares: Vec<Vec<S>> = Vec::new();
        while !scripts.is_empty() {
            shares.push(scripts.drain(..share.min(scripts.len())).collect());
        }
        thread::scope(|scope| {
            let loads: Vec<_> = shares
                .into_iter()
                .zip(&self.0)
                .map(|(share, (service, _))| {
                    scope.spawn(move || run(service.target(), share, window))
                })
                .collect();
            let mut seen = Vec::new();
            for load in loads {
                let (one, share) = load.join().expect("every request is answered well");
                seen.push(one);
                scripts.extend(share);
            }
            seen
        })
    }
}

/// All rounds of one operation with so many servers.
struct Measured {
    count: usize,
    rounds: Vec<Vec<LoadResult>>,
}

impl Measured {
    fn rates(&self) -> Vec<f64> {
        let sum = |round: &Vec<LoadResult>| round.iter().map(|seen| seen.all.per_second).sum();
        self.rounds.iter().map(sum).collect()
    }

    fn slowest_millis(&self) -> f64 {
        let slowest = |round: &Vec<LoadResult>| {
            let millis = round
                .iter()
                .map(|seen| seen.all.percentile(0.99).as_secs_f64() * 1e3);
            millis.fold(0.0, f64::max)
        };
        median(self.rounds.iter().map(slowest).collect())
    }

    fn busy(&self) -> f64 {
        let sum = |round: &Vec<LoadResult>| round.iter().map(|seen| seen.busy).sum();
        median(self.rounds.iter().map(sum).collect())
    }
}

pub(crate) fn measure(options: &Options, findings: &mut ScaleResults) {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    let database = postgres.database("latchet");
    FilledDatabase::open(&database).sessions(1..=SESSIONS);
    let redis = redis.url();
    let settings = [
        ("DATABASE_URL", database.as_str()),
        ("REDIS_URL", &redis),
        ("LATCHET_GRACE", "0s"),
        ("LATCHET_PUBLIC_URL", ISSUER),
    ];
    let replicas = [1, 3].map(|count| Replicas::start(count, &settings));
    let mut checkers = checks(&replicas[0].0[0].0);
    let mut refreshers = devices(refresh_tokens(REFRESHED, SESSIONS));
    let new = |count| Measured {
        count,
        rounds: Vec::new(),
    };
    let (mut check, mut refresh) = ([new(1), new(3)], [new(1), new(3)]);
    for _ in 0..options.rounds {
        for (index, replicas) in replicas.iter().enumerate() {
            let window = options.window();
            let seen = replicas.measure(&mut refreshers, window);
            refresh[index].rounds.push(seen);
            let seen = replicas.measure(&mut checkers, window);
            check[index].rounds.push(seen);
        }
    }
    report("refresh, replicas on one core", &refresh, findings);
    report("check, replicas on one core", &check, findings);
}

fn report(what: &str, measured: &[Measured; 2], findings: &mut ScaleResults) {
    for one in measured {
        findings.line(Line {
            what: what.to_owned(),
            at: one.count.to_string(),
            figure: format!("{:.0}/s", median(one.rates())),
            judged: Judgement::Informative(median_ratio(&one.rates(), &measured[0].rates())),
            note: format!(
                "servers {:.0} % busy, slowest p99 {:.1} ms",
                one.busy() * 100.0,
                one.slowest_millis()
            ),
        });
    }
}
