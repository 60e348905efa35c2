//! Cost of an idle server: start time, memory and wake-ups.

use std::time::Duration;

use crate::Options;
use crate::support::backend::{Postgres, Redis};
use crate::support::connection::Connection;
use crate::support::load::get;
use crate::support::process::Cores;
use crate::support::report::{BenchResult, Target, median};
use crate::support::service::{DataFolder, Service};

/// Requests after which a server is still called idle, when it has rested.
const FEW: usize = 60;
/// Longer than the server keeps the memory of its last password, and than its allocator keeps free memory.
const REST: Duration = Duration::from_secs(5);
/// Time after which a server that nobody asks does less by itself.
const UNTIL_IDLE: Duration = Duration::from_secs(15);
/// Time in which wake-ups are counted.
const WATCHED: Duration = Duration::from_secs(5);

/// Memory and time to start, on SQLite, and wake-ups.
pub(super) fn measure(options: &Options) -> Vec<BenchResult> {
    let mut first = Vec::new();
    let mut again = Vec::new();
    let mut at_start = Vec::new();
    let mut after_a_few = Vec::new();
    for _ in 0..options.rounds {
        let home = DataFolder::new();
        first.push(
            Service::start(Cores::All, &home, &[])
                .started_in
                .as_secs_f64()
                * 1000.0,
        );
        let service = Service::start(Cores::All, &home, &[]);
        again.push(service.started_in.as_secs_f64() * 1000.0);
        at_start.push(service.process.resident_mib());
        use_a_little(&service);
        std::thread::sleep(REST);
        after_a_few.push(service.process.resident_mib());
    }
    let line = |what, unit, values: Vec<f64>, most| BenchResult {
        what,
        ours: format!("{:.1} {unit}", median(values.clone())),
        floor: String::new(),
        value: median(values),
        target: Target::AtMost(most),
        note: String::new(),
    };
    let mut lines = vec![
        line(
            "start to first answer, existing database",
            "ms",
            again,
            150.0,
        ),
        line("start to first answer, empty folder", "ms", first, 150.0),
        line("resident memory after the start", "MiB", at_start, 25.0),
        line(
            "resident memory 5 s after a login and 60 requests",
            "MiB",
            after_a_few,
            25.0,
        ),
    ];
    lines.extend(wake_ups(options));
    lines
}

/// Wake-ups of servers that nobody asks anything, on each kind of storage.
fn wake_ups(options: &Options) -> [BenchResult; 2] {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    let (database, redis) = (postgres.new_database(), redis.url());
    let settings = [("DATABASE_URL", database.as_str()), ("REDIS_URL", &redis)];
    let rested = |what, settings: &[(&str, &str)]| {
        let home = DataFolder::new();
        let service = Service::start(Cores::All, &home, settings);
        service.until_denylist_is_good();
        use_a_little(&service);
        std::thread::sleep(UNTIL_IDLE);
        let (mut wake_ups, mut busy) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            let before = (service.process.wake_ups(), service.process.cpu());
            std::thread::sleep(WATCHED);
            let (woken, cpu) = (service.process.wake_ups(), service.process.cpu());
            wake_ups.push((woken - before.0) / WATCHED.as_secs_f64());
            busy.push(cpu.saturating_sub(before.1).as_secs_f64() / WATCHED.as_secs_f64());
        }
        BenchResult {
            what,
            ours: format!("{:.1}/s", median(wake_ups.clone())),
            floor: String::new(),
            value: median(wake_ups),
            target: Target::AtMost(10.0),
            note: format!("{:.2} % of a core", median(busy) * 100.0),
        }
    };
    [
        rested("wake-ups of an idle server per second, SQLite", &[]),
        rested(
            "wake-ups of an idle server per second, PostgreSQL and Redis",
            &settings,
        ),
    ]
}

fn use_a_little(service: &Service) {
    let tokens = service.login(1).remove(0);
    let runtime = tokio::runtime::Runtime::new().expect("the system gives threads");
    runtime.block_on(async {
        let mut connection = Connection::open(service.address).await;
        for _ in 0..FEW {
            connection
                .exchange(&get("/v1/me", Some(&tokens.access)).0)
                .await;
        }
    });
}
