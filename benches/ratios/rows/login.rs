//! Cost of a login beyond its hash, and its effect on other requests.

use crate::Options;
use crate::support::fill::FilledDatabase;
use crate::support::load::{RepeatedRequest, get};
use crate::support::process::Cores;
use crate::support::report::{BenchResult, Target, median_ratio};
use crate::support::service::{DataFolder, Service, login_request, person};
use crate::support::side::BenchSide;
use crate::support::storm::{ASKED, people};
use crate::support::worker::Worker;

/// People who log in at once: enough that a hash always waits.
const WAITING: usize = 16;

/// People who ask for something cheap meanwhile.
const ASKING: usize = 8;

/// Logins per second against bare hashes per second, each on one core.
pub(super) fn rate(options: &Options) -> Vec<BenchResult> {
    let mut bare = Worker::start(Cores::Server, &["argon2", "19456", "2", "kept"]);
    let home = DataFolder::new();
    let service = Service::start(Cores::Server, &home, &[]);
    let mut ours = BenchSide::new(service.target(), logins(&home));
    let mut rates = Vec::new();
    for _ in 0..options.rounds {
        rates.push(bare.work(options.window()).per_second);
        ours.measure(options.window());
    }
    vec![
        BenchResult {
            what: "login / bare argon2id of the same cost, one core",
            ours: ours.summary(),
            floor: format!("{:.1}/s", crate::support::report::median(rates.clone())),
            value: median_ratio(&ours.rates(), &rates),
            target: Target::AtLeast(0.95),
            note: format!("server {} busy", ours.busy()),
        },
        storm(
            options,
            Cores::Server,
            "GET /livez during a login storm, p99 in ms, one core",
        ),
        storm(
            options,
            Cores::All,
            "GET /livez during a login storm, p99 in ms, all cores",
        ),
    ]
}

/// Logins of different people: those of one person would end each other's sessions.
fn logins(home: &DataFolder) -> Vec<RepeatedRequest> {
    FilledDatabase::open(&home.default_database()).people(WAITING);
    let login = |number| RepeatedRequest(login_request(&person(number)));
    (0..WAITING).map(login).collect()
}

fn storm(options: &Options, cores: Cores, what: &'static str) -> BenchResult {
    let home = DataFolder::new();
    let service = Service::start(cores, &home, &[]);
    let asking = vec![get("/livez", None); ASKING];
    let mut side = BenchSide::new(service.target(), people(logins(&home), asking));
    for _ in 0..options.rounds {
        side.measure(options.window());
    }
    let at = |part| side.kind_percentile(ASKED, part);
    BenchResult {
        what,
        ours: format!("p50 {:.2} p99 {:.2} ms", at(0.5), at(0.99)),
        floor: String::new(),
        value: at(0.99),
        target: Target::AtMost(20.0),
        note: format!("p99.9 {:.2} ms", at(0.999)),
    }
}
