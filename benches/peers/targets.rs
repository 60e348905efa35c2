//! Targets of Latchet in comparison with the others.

use crate::floors::{self, EMPTY, GUARDED};
use crate::report::Table;
use crate::server::{ALL, Entry};
use crate::support::report::{BenchResult, Target, header, median, median_ratio};

/// Returns the findings that this run allows, and prints their head.
pub(crate) fn findings(tables: &[Table]) -> Vec<BenchResult> {
    let named = |name: &str| tables.iter().find(|table| table.name == name);
    let mut findings = Vec::new();
    if let Some(table) = named("refresh") {
        let fastify = table.rates("fastify, Redis");
        findings.extend(finding(
            "refresh, PostgreSQL + Redis / fastify on Redis",
            (table.rates(OURS), fastify),
            Target::AtLeast(1.0),
        ));
    }
    if let (Some(table), Some(floors)) = (named("check"), named(floors::NAME)) {
        let peers = ALL.iter().filter(|entry| entry.package.is_some());
        let rates = peers.filter_map(|entry: &Entry| table.rates(entry.name));
        let fastest =
            rates.max_by(|one, other| median(one.to_vec()).total_cmp(&median(other.to_vec())));
        // The peers check in the service itself, as our guard does.
        findings.extend(finding(
            "check by the guard, Redis / the fastest peer",
            (floors.rates(GUARDED), fastest),
            Target::AtLeast(2.0),
        ));
        findings.extend(finding(
            "  by /v1/verify, PostgreSQL + Redis / the same",
            (table.rates(OURS), fastest),
            Target::None,
        ));
        findings.extend(finding(
            "handler behind a guard, Redis / empty handler",
            (floors.rates(GUARDED), floors.rates(EMPTY)),
            Target::AtLeast(0.5),
        ));
    }
    println!("\nTargets\n");
    header();
    findings
}

/// The Latchet that is compared.
const OURS: &str = ALL[0].name;

/// The ratio is the median of those of each round: a machine has better and worse seconds. Those of a
/// floor and of a server are not in turns with each other, only with their like.
fn finding(
    what: &'static str,
    (ours, other): (Option<&[f64]>, Option<&[f64]>),
    target: Target,
) -> Option<BenchResult> {
    let (ours, other) = (ours?, other?);
    let ratios = ours.iter().zip(other).map(|(ours, other)| ours / other);
    let (least, most) = ratios.fold((f64::INFINITY, 0.0_f64), |(least, most), ratio| {
        (least.min(ratio), most.max(ratio))
    });
    Some(BenchResult {
        what,
        ours: format!("{:.0}/s", median(ours.to_vec())),
        floor: format!("{:.0}/s", median(other.to_vec())),
        value: median_ratio(ours, other),
        target,
        note: format!("{least:.2} to {most:.2} in {} rounds", ours.len()),
    })
}
