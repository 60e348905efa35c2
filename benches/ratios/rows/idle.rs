//! Cost of an idle server: start time and memory.

use std::time::Duration;

use crate::Options;
use crate::support::connection::Connection;
use crate::support::load::get;
use crate::support::process::Cores;
use crate::support::report::{BenchResult, Target, median};
use crate::support::service::{DataFolder, Service};

/// Requests after which a server is still called idle, when it has rested.
const FEW: usize = 60;
/// Longer than the server keeps the memory of its last password.
const REST: Duration = Duration::from_secs(3);

/// Memory and time to start, on SQLite.
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
    vec![
        line(
            "start to first answer, existing database",
            "ms",
            again,
            150.0,
        ),
        line("start to first answer, empty folder", "ms", first, 150.0),
        line("resident memory after the start", "MiB", at_start, 25.0),
        line(
            "resident memory 3 s after a login and 60 requests",
            "MiB",
            after_a_few,
            25.0,
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
