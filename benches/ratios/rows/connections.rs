//! Cost of many connections: memory of idle ones, and checks by many active ones.

use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Runtime;

use crate::Options;
use crate::support::connection::Connection;
use crate::support::load::get;
use crate::support::process::Cores;
use crate::support::report::{BenchResult, Target, median};
use crate::support::service::{DataFolder, Service};
use crate::support::side::BenchSide;

/// Connections that each checked a token once, and stay.
const IDLE: usize = 10_000;
/// As many.
const IDLE_FLOAT: f64 = 10_000.0;
/// Connections that check without pause.
const ACTIVE: usize = 1_000;
/// Time in which a server gives back the memory of connections that left.
const REST: Duration = Duration::from_secs(10);

/// Room for all of them, on both sides.
const SETTINGS: [(&str, &str); 1] = [("LATCHET_MAX_CONNECTIONS", "20000")];

/// Memory in MiB.
struct ConnectionMemory {
    before: f64,
    with: f64,
    after: f64,
}

impl ConnectionMemory {
    fn measure() -> Self {
        let home = DataFolder::new();
        let service = Service::start(Cores::Server, &home, &SETTINGS);
        let token = service.login(1).remove(0).access;
        let request = get("/v1/verify", Some(&token)).0;
        let runtime = Runtime::new().expect("the system gives threads");
        let check = async |count: usize| {
            let mut connections = Vec::with_capacity(count);
            for _ in 0..count {
                let mut connection = Connection::open(service.address).await;
                connection.exchange(&request).await;
                connections.push(connection);
            }
            connections
        };
        drop(runtime.block_on(check(ACTIVE)));
        // Also longer than the memory of the last password is kept.
        thread::sleep(REST);
        let before = service.process.resident_mib();
        let connections = runtime.block_on(check(IDLE));
        let with = service.process.resident_mib();
        drop(connections);
        thread::sleep(REST);
        Self {
            before,
            with,
            after: service.process.resident_mib(),
        }
    }
}

/// Memory of a connection, and the slowest of many checks.
pub(super) fn measure(options: &Options) -> Vec<BenchResult> {
    allow_descriptors();
    let all: Vec<ConnectionMemory> = (0..options.rounds)
        .map(|_| ConnectionMemory::measure())
        .collect();
    let of = |figure: fn(&ConnectionMemory) -> f64| median(all.iter().map(figure).collect());
    let each = of(|memory| (memory.with - memory.before) * 1024.0 / IDLE_FLOAT);
    let kept = of(|memory| (memory.after - memory.before) / (memory.with - memory.before));
    let note = format!(
        "{:.1} MiB without, {:.1} with 10,000, {:.1} when they had left for 10 s",
        of(|memory| memory.before),
        of(|memory| memory.with),
        of(|memory| memory.after)
    );
    vec![
        BenchResult {
            what: "memory of an idle connection, KiB",
            ours: format!("{each:.1} KiB"),
            floor: String::new(),
            value: each,
            target: Target::AtMost(20.0),
            note,
        },
        BenchResult {
            what: "  part of it still held 10 s after they left",
            ours: format!("{:.0} %", kept * 100.0),
            floor: String::new(),
            value: kept,
            target: Target::AtMost(0.1),
            note: String::new(),
        },
        active(options),
    ]
}

fn active(options: &Options) -> BenchResult {
    let home = DataFolder::new();
    let service = Service::start(Cores::Server, &home, &SETTINGS);
    let token = service.login(1).remove(0).access;
    let scripts = vec![get("/v1/verify", Some(&token)); ACTIVE];
    let mut side = BenchSide::new(service.target(), scripts);
    for _ in 0..options.rounds {
        side.measure(options.window());
    }
    let p99 = side.percentile(0.99);
    BenchResult {
        what: "check by 1,000 active connections, p99 in ms",
        ours: side.summary(),
        floor: String::new(),
        value: p99,
        target: Target::AtMost(40.0),
        note: format!(
            "server {} busy, p50 {:.1} ms",
            side.busy(),
            side.percentile(0.5)
        ),
    }
}

/// Allows this process, and the servers it starts, as many descriptors as the system does.
fn allow_descriptors() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("the soft limit may rise to the hard one");
}
