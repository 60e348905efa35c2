//! One side of a comparison.

use std::time::Duration;

use super::load::{LoadResult, RequestScript, Target, run};
use super::report::median;

/// A server under load, measured again and again.
pub(crate) struct BenchSide<'a, S> {
    target: Target<'a>,
    pub(crate) scripts: Vec<S>,
    seen: Vec<LoadResult>,
}

impl<'a, S: RequestScript> BenchSide<'a, S> {
    /// Returns one that was not measured yet.
    pub(crate) fn new(target: impl Into<Target<'a>>, scripts: Vec<S>) -> Self {
        Self {
            target: target.into(),
            scripts,
            seen: Vec::new(),
        }
    }

    /// Measures once.
    pub(crate) fn measure(&mut self, window: Duration) {
        let (seen, scripts) = run(
            self.target.clone(),
            std::mem::take(&mut self.scripts),
            window,
        );
        self.scripts = scripts;
        self.seen.push(seen);
    }

    /// Returns the median over all rounds of the processor time of the databases per answer.
    pub(crate) fn database_micros(&self) -> f64 {
        median(self.all(|seen| seen.database_micros))
    }

    fn all(&self, of: impl Fn(&LoadResult) -> f64) -> Vec<f64> {
        self.seen.iter().map(of).collect()
    }

    /// Returns the answers per second of each round.
    pub(crate) fn rates(&self) -> Vec<f64> {
        self.all(|seen| seen.all.per_second)
    }

    /// Returns the median over all rounds of the processor time per answer.
    pub(crate) fn cpu_micros(&self) -> f64 {
        median(self.all(|seen| seen.cpu_micros))
    }

    /// Returns the rate and the processor time, for the table.
    pub(crate) fn summary(&self) -> String {
        format!("{:.0}/s {:.1} µs", median(self.rates()), self.cpu_micros())
    }

    /// Says how busy the server's core was: below 95 % something else was the limit.
    pub(crate) fn busy(&self) -> String {
        format!("{:.0} %", median(self.all(|seen| seen.busy)) * 100.0)
    }

    /// Returns the same of the responses to one kind of request, which every round had.
    pub(crate) fn kind_percentile(&self, kind: &str, part: f64) -> f64 {
        let times = |seen: &LoadResult| seen.kind(kind).map(|times| times.percentile(part));
        let rounds = self.seen.iter().map(times).collect::<Option<Vec<_>>>();
        let rounds = rounds.expect("every round has this kind of request");
        median(
            rounds
                .iter()
                .map(|time| time.as_secs_f64() * 1000.0)
                .collect(),
        )
    }

    /// Returns the median over all rounds of a percentile, in milliseconds.
    pub(crate) fn percentile(&self, part: f64) -> f64 {
        median(self.all(|seen| seen.all.percentile(part).as_secs_f64() * 1000.0))
    }
}
