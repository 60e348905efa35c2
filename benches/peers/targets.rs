//! What Latchet has to reach beside the others.

use crate::floors::{self, EMPTY, GUARDED};
use crate::report::Table;
use crate::server::{ALL, Entry};
use crate::support::report::{Finding, Target, header};

/// Returns the findings that this run allows, and prints their head.
pub(crate) fn findings(tables: &[Table]) -> Vec<Finding> {
    let named = |name: &str| tables.iter().find(|table| table.name == name);
    let mut findings = Vec::new();
    if let Some(table) = named("refresh") {
        let fastify = table.rate("fastify, Redis");
        findings.extend(finding(
            "refresh, PostgreSQL + Redis / fastify on Redis",
            (table.rate(OURS), fastify),
            Target::AtLeast(1.0),
        ));
    }
    if let (Some(table), Some(floors)) = (named("check"), named(floors::NAME)) {
        let peers = ALL.iter().filter(|entry| entry.package.is_some());
        let rates = peers.filter_map(|entry: &Entry| table.rate(entry.name));
        let fastest = rates.max_by(f64::total_cmp);
        // The peers check in the service itself, as our guard does.
        findings.extend(finding(
            "check by the guard, Redis / the fastest peer",
            (floors.rate(GUARDED), fastest),
            Target::AtLeast(2.0),
        ));
        findings.extend(finding(
            "  by /v1/verify, PostgreSQL + Redis / the same",
            (table.rate(OURS), fastest),
            Target::None,
        ));
        findings.extend(finding(
            "handler behind a guard, Redis / empty handler",
            (floors.rate(GUARDED), floors.rate(EMPTY)),
            Target::AtLeast(0.5),
        ));
    }
    println!("\nTargets\n");
    header();
    findings
}

/// The Latchet that is compared.
const OURS: &str = ALL[0].name;

fn finding(
    what: &'static str,
    (ours, other): (Option<f64>, Option<f64>),
    target: Target,
) -> Option<Finding> {
    let (ours, other) = (ours?, other?);
    Some(Finding {
        what,
        ours: format!("{ours:.0}/s"),
        floor: format!("{other:.0}/s"),
        value: ours / other,
        target,
        note: String::new(),
    })
}
