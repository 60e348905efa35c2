//! The rows of the table.

use std::time::Duration;

use crate::Options;
use crate::load::{Script, Seen, run};
use crate::process::Process;
use crate::report::{Finding, median};

mod argon2;
mod guard;
mod idle;
mod login;
mod refresh;

/// A group of lines measured together.
pub(crate) struct Row {
    /// What a filter matches.
    pub(crate) name: &'static str,
    pub(crate) measure: fn(&Options) -> Vec<Finding>,
}

/// All rows, in the order of the table.
pub(crate) const ALL: [Row; 8] = [
    Row {
        name: "guard-memory",
        measure: guard::memory,
    },
    Row {
        name: "guard-cost",
        measure: guard::costs,
    },
    Row {
        name: "guard-redis",
        measure: guard::redis,
    },
    Row {
        name: "refresh-sqlite",
        measure: refresh::sqlite,
    },
    Row {
        name: "refresh-postgres",
        measure: refresh::postgres,
    },
    Row {
        name: "argon2",
        measure: argon2::variants,
    },
    Row {
        name: "login",
        measure: login::rate,
    },
    Row {
        name: "idle",
        measure: idle::measure,
    },
];

/// A server under load, measured again and again.
struct Side<'a, S> {
    server: (std::net::SocketAddr, &'a Process),
    scripts: Vec<S>,
    seen: Vec<Seen>,
}

impl<'a, S: Script> Side<'a, S> {
    fn new(server: (std::net::SocketAddr, &'a Process), scripts: Vec<S>) -> Self {
        Self {
            server,
            scripts,
            seen: Vec::new(),
        }
    }

    fn measure(&mut self, window: Duration) {
        let (seen, scripts) = run(self.server, std::mem::take(&mut self.scripts), window);
        self.scripts = scripts;
        self.seen.push(seen);
    }

    fn all(&self, of: impl Fn(&Seen) -> f64) -> Vec<f64> {
        self.seen.iter().map(of).collect()
    }

    fn rates(&self) -> Vec<f64> {
        self.all(|seen| seen.per_second)
    }

    fn cpu_micros(&self) -> f64 {
        median(self.all(|seen| seen.cpu_micros))
    }

    /// Returns the rate and the processor time, for the table.
    fn summary(&self) -> String {
        format!("{:.0}/s {:.1} µs", median(self.rates()), self.cpu_micros())
    }

    /// Says how busy the server's core was: below 95 % something else was the limit.
    fn busy(&self) -> String {
        format!("{:.0} %", median(self.all(|seen| seen.busy)) * 100.0)
    }

    /// Returns the median over all rounds of a percentile, in milliseconds.
    fn percentile(&self, part: f64) -> f64 {
        median(self.all(|seen| seen.percentile(part).as_secs_f64() * 1000.0))
    }
}
