//! Targets of Latchet in comparison with the others.

use crate::entries::{ALL, Entry};
use crate::floors::{EMPTY, GUARDED, PGBENCH};
use crate::report::Table;
use crate::support::process::Layout;
use crate::support::report::{BenchResult, Target, header, median, median_ratio};

/// Latchet on PostgreSQL and Redis.
const OURS: &str = ALL[0].name;
const SQLITE: &str = ALL[1].name;
const FASTIFY: &str = "fastify, Redis";

/// The tables of a run.
struct Tables<'a>(&'a [Table]);

/// Rates of one row of one table.
type Row<'a> = (&'a str, &'a str);

impl Tables<'_> {
    fn rates(&self, (table, row): Row<'_>) -> Option<&[f64]> {
        self.table(table)?.rates(row)
    }

    fn table(&self, name: &str) -> Option<&Table> {
        self.0.iter().find(|table| table.name == name)
    }

    /// Returns the ratio of two rows. It is the median of those of each round: a machine has better and worse
    /// seconds.
    fn ratio(
        &self,
        what: &'static str,
        (ours, other): (Row<'_>, Row<'_>),
        target: Target,
    ) -> Option<BenchResult> {
        let (ours, other) = (self.rates(ours)?, self.rates(other)?);
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

    /// Returns the 99th percentile of a row.
    fn p99(&self, what: &'static str, (table, row): Row<'_>, most: f64) -> Option<BenchResult> {
        let value = self.table(table)?.p99_ms(row)?;
        Some(BenchResult {
            what,
            ours: format!("{value:.1} ms"),
            floor: String::new(),
            value,
            target: Target::AtMost(most),
            note: String::new(),
        })
    }

    /// Returns the rate of a row.
    fn rate(&self, what: &'static str, row: Row<'_>, target: Target) -> Option<BenchResult> {
        let value = median(self.rates(row)?.to_vec());
        Some(BenchResult {
            what,
            ours: format!("{value:.0}/s"),
            floor: String::new(),
            value,
            target,
            note: String::new(),
        })
    }

    /// Returns the peer that checks the most tokens.
    fn fastest_check(&self) -> Option<&'static str> {
        let peers = ALL.iter().filter(|entry| entry.package.is_some());
        let rates = peers.filter_map(|entry: &Entry| {
            let rates = self.rates(("verify", entry.name))?;
            Some((entry.name, median(rates.to_vec())))
        });
        let fastest = rates.max_by(|(_, one), (_, other)| one.total_cmp(other));
        fastest.map(|(name, _)| name)
    }
}

/// Returns the findings that this run allows, and prints their head.
pub(crate) fn findings(tables: &[Table], layout: Layout) -> Vec<BenchResult> {
    println!("\nTargets\n");
    header();
    let tables = Tables(tables);
    [
        checks(&tables),
        refreshes(&tables, layout),
        sessions(&tables, layout),
    ]
    .concat()
}

fn checks(tables: &Tables<'_>) -> Vec<BenchResult> {
    let (verify, guarded) = (("verify", OURS), ("verify", GUARDED));
    let fastify = ("verify", FASTIFY);
    let fastest = ("verify", tables.fastest_check().unwrap_or_default());
    let all = [
        tables.ratio(
            "/v1/verify / the guard alone",
            (verify, guarded),
            Target::AtLeast(0.7),
        ),
        tables.ratio(
            "/v1/verify / fastify's check",
            (verify, fastify),
            Target::AtLeast(1.5),
        ),
        tables.ratio(
            "check by the guard / the fastest peer",
            (guarded, fastest),
            Target::AtLeast(2.0),
        ),
        tables.ratio(
            "check by the guard / empty handler",
            (guarded, ("verify", EMPTY)),
            Target::AtLeast(0.5),
        ),
        tables.ratio(
            "/v1/me / fastify's /me",
            (("me", OURS), ("me", FASTIFY)),
            Target::AtLeast(0.8),
        ),
        tables.ratio(
            "introspection / fastify's /me",
            (("introspect", OURS), ("me", FASTIFY)),
            Target::AtLeast(0.8),
        ),
    ];
    all.into_iter().flatten().collect()
}

fn refreshes(tables: &Tables<'_>, layout: Layout) -> Vec<BenchResult> {
    let refresh = ("refresh", OURS);
    let (of_fastify, of_pgbench) = match layout {
        Layout::OwnCore => (Target::AtLeast(1.3), Target::AtLeast(1.5)),
        Layout::Shared => (Target::AtLeast(1.1), Target::None),
    };
    let pgbench = PGBENCH.map(|name| ("refresh", name));
    let rate = |row| {
        tables
            .rates(row)
            .map_or(0.0, |rates| median(rates.to_vec()))
    };
    let floor = if rate(pgbench[0]) > rate(pgbench[1]) {
        pgbench[0]
    } else {
        pgbench[1]
    };
    let all = [
        tables.ratio(
            "refresh, PostgreSQL + Redis / fastify",
            (refresh, ("refresh", FASTIFY)),
            of_fastify,
        ),
        tables.ratio(
            "refresh, PostgreSQL / pgbench",
            (refresh, floor),
            of_pgbench,
        ),
        tables.p99(
            "refresh in the mixed load, PostgreSQL, p99 in ms",
            ("mixed-refresh", OURS),
            15.0,
        ),
        tables.p99(
            "refresh in the mixed load, SQLite, p99 in ms",
            ("mixed-refresh", SQLITE),
            15.0,
        ),
    ];
    all.into_iter().flatten().collect()
}

fn sessions(tables: &Tables<'_>, layout: Layout) -> Vec<BenchResult> {
    // A hash takes 12 ms and more of one core.
    let logins = match layout {
        Layout::OwnCore => Target::None,
        Layout::Shared => Target::AtLeast(100.0),
    };
    let all = [
        tables.ratio(
            "login, PostgreSQL + Redis / fastify",
            (("login", OURS), ("login", FASTIFY)),
            Target::None,
        ),
        tables.ratio(
            "logout / refresh, PostgreSQL + Redis",
            (("logout", OURS), ("refresh", OURS)),
            Target::AtLeast(0.6),
        ),
        tables.ratio(
            "logout / refresh, SQLite",
            (("logout", SQLITE), ("refresh", SQLITE)),
            Target::AtLeast(0.6),
        ),
        tables.rate(
            "logins from one address, 20 ms commits, per second",
            ("slow-commit-login", OURS),
            logins,
        ),
    ];
    all.into_iter().flatten().collect()
}
