//! The rules that a history must keep. They know nothing of Latchet but what clients are promised.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::history::{
    HistoryLine, InjectedFault, LeakedSecret, Operation, ProcessStart, ReadinessCheck, RunSettings,
};

mod accounts;
mod authority;
mod ends;
mod limits;
mod rotation;
mod rule;
mod service;
mod session_limit;
#[cfg(test)]
mod tests;

use authority::AuthorityChanges;
use ends::SessionEnds;
pub use rule::Rule;

/// A broken promise, and the request that broke it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The promise.
    pub rule: Rule,
    /// Time in microseconds since the run began; 0 where it concerns the whole run.
    pub at: u64,
    /// Description of what happened.
    pub text: String,
}

/// A history, sorted into its kinds of lines.
#[derive(Debug)]
pub struct History {
    /// Settings and promises of the run.
    pub head: RunSettings,
    /// Requests by when they were sent.
    pub operations: Vec<Operation>,
    /// Faults that the nemesis injected.
    pub faults: Vec<InjectedFault>,
    /// Secrets that were found where none may be.
    pub leaks: Vec<LeakedSecret>,
    /// Processes that were started with a wrong clock.
    pub starts: Vec<ProcessStart>,
    /// Processes whose clocks went wrong while they ran.
    pub readiness: Vec<ReadinessCheck>,
}

impl History {
    /// Sorts lines into a history.
    ///
    /// # Errors
    /// When the first line is no head.
    pub fn new(lines: impl IntoIterator<Item = HistoryLine>) -> Result<Self, &'static str> {
        let mut lines = lines.into_iter();
        let Some(HistoryLine::RunSettings(head)) = lines.next() else {
            return Err("a history begins with its head");
        };
        let mut history = Self {
            head,
            operations: Vec::new(),
            faults: Vec::new(),
            leaks: Vec::new(),
            starts: Vec::new(),
            readiness: Vec::new(),
        };
        for line in lines {
            match line {
                HistoryLine::RunSettings(_) => return Err("a history has one head"),
                HistoryLine::Operation(op) => history.operations.push(*op),
                HistoryLine::InjectedFault(fault) => history.faults.push(fault),
                HistoryLine::LeakedSecret(leak) => history.leaks.push(leak),
                HistoryLine::ProcessStart(start) => history.starts.push(start),
                HistoryLine::ReadinessCheck(asked) => history.readiness.push(asked),
            }
        }
        history.operations.sort_by_key(|op| (op.start, op.end));
        Ok(history)
    }

    /// Leaves out operations in flight at `time`, as if they had not been sent yet.
    pub fn until(&mut self, time: u64) {
        self.operations.retain(|op| op.end < time);
        self.faults.retain(|fault| fault.start < time);
        self.starts.retain(|start| start.end < time);
    }

    /// Reads a history as it was written: one JSON object a line.
    ///
    /// # Errors
    /// When the file cannot be read or is none.
    pub fn read(file: &Path) -> Result<Self, Box<dyn Error>> {
        Self::parse(BufReader::new(File::open(file)?))
    }

    /// Reads a history from the lines of its file.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: impl BufRead) -> Result<Self, Box<dyn Error>> {
        let lines: Vec<HistoryLine> = text
            .lines()
            .map(|line| Ok(serde_json::from_str(&line?)?))
            .collect::<Result<_, Box<dyn Error>>>()?;
        Ok(Self::new(lines)?)
    }
}

/// Result of all rules for a history.
#[derive(Debug, Default)]
pub struct Report {
    /// Every promise that was broken, in the order of rules and time.
    pub violations: Vec<Violation>,
    /// Number of occurrences of the events that the rules are about.
    pub counts: BTreeMap<&'static str, usize>,
    /// Number of occurrences of each fault, by name.
    pub faults: BTreeMap<String, usize>,
}

/// Result of all rules for two histories, each checked by itself.
impl std::ops::AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        self.violations.extend(other.violations);
        for (what, count) in other.counts {
            *self.counts.entry(what).or_default() += count;
        }
        for (name, count) in other.faults {
            *self.faults.entry(name).or_default() += count;
        }
    }
}

impl Report {
    /// Returns the promises that were broken.
    pub fn broken(&self) -> BTreeSet<Rule> {
        let broken = self.violations.iter().map(|violation| violation.rule);
        broken.collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.counts {
            writeln!(f, "{count:>9} {what}")?;
        }
        for (name, count) in &self.faults {
            writeln!(f, "{count:>9} × {name}")?;
        }
        for rule in Rule::ALL {
            let broken = self
                .violations
                .iter()
                .filter(|violation| violation.rule == rule);
            let verdict = match broken.clone().count() {
                0 => "kept".to_owned(),
                count => format!("BROKEN {count} times"),
            };
            let name = format!("{rule:?}");
            writeln!(f, "{name:<4} {:<45} {verdict}", rule.promise())?;
            for violation in broken.take(3) {
                writeln!(f, "     {}", violation.text)?;
            }
        }
        Ok(())
    }
}

/// Checks a history against all rules.
pub fn check(history: &History) -> Report {
    let mut ends = SessionEnds::of(history);
    session_limit::apply(history, &mut ends);
    let authority = AuthorityChanges::of(history);
    let mut violations = Vec::new();
    ends::check(history, &ends, &authority, &mut violations);
    authority::check(history, &authority, &mut violations);
    limits::check(history, &mut violations);
    rotation::check(history, &ends, &mut violations);
    accounts::check(history, &mut violations);
    service::check(history, &mut violations);
    let counts = service::counts(history);
    service::check_counts(history, &counts, &mut violations);
    violations.sort_by_key(|violation| (violation.rule, violation.at));
    let mut faults = BTreeMap::new();
    for fault in &history.faults {
        *faults.entry(fault.name.clone()).or_default() += 1;
    }
    Report {
        violations,
        counts,
        faults,
    }
}

/// Describes a request for the reader of the report.
fn describe(op: &Operation) -> String {
    let session = op.session.as_deref().unwrap_or("no session");
    let token = |token: &Option<crate::history::TokenIdentity>| match token {
        Some(token) => format!(" of generation {}", token.generation),
        None => String::new(),
    };
    format!(
        "{:?} {:?}{} by {} ({session}) at replica {} from {} to {} µs: {:?}{}",
        op.sender,
        op.action,
        token(&op.presented),
        op.user,
        op.replica,
        op.start,
        op.end,
        op.outcome,
        token(&op.given),
    )
}
