//! Which way of hashing is the fastest here.

use crate::Options;
use crate::support::process::Cores;
use crate::support::report::{BenchResult, Target, median};
use crate::support::worker::Worker;

/// Memory in KiB, passes, and whether the memory is kept: the first is the default.
const VARIANTS: [(&str, [&str; 3]); 6] = [
    ("argon2id m=19456 t=2, memory kept", ["19456", "2", "kept"]),
    (
        "  m=19456 t=2, memory fresh for each hash",
        ["19456", "2", "fresh"],
    ),
    ("  m=47104 t=1, memory kept", ["47104", "1", "kept"]),
    (
        "  m=47104 t=1, memory fresh for each hash",
        ["47104", "1", "fresh"],
    ),
    ("  m=12288 t=3, memory kept", ["12288", "3", "kept"]),
    ("  m=9216 t=4, memory kept", ["9216", "4", "kept"]),
];

/// Hashes per second on one core, of each set of parameters that OWASP calls equal.
pub(super) fn variants(options: &Options) -> Vec<BenchResult> {
    let mut workers = VARIANTS.map(|(_, [memory, passes, kept])| {
        Worker::start(Cores::Server, &["argon2", memory, passes, kept])
    });
    let mut rates = VARIANTS.map(|_| Vec::new());
    for _ in 0..options.rounds {
        for (worker, rates) in workers.iter_mut().zip(&mut rates) {
            rates.push(worker.work(options.window()).per_second);
        }
    }
    let rates = rates.map(median);
    let lines = VARIANTS
        .iter()
        .zip(rates)
        .map(|((what, _), rate)| BenchResult {
            what,
            ours: format!("{rate:.1}/s {:.1} ms", 1000.0 / rate),
            floor: format!("{:.1}/s", rates[0]),
            value: rate / rates[0],
            target: Target::None,
            note: String::new(),
        });
    lines.collect()
}
