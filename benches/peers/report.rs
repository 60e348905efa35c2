//! The tables, and the same as data: figures for people to read, and charts for `benches/plot` to draw.

use serde::Serialize;
use serde_json::{Value, json};

use crate::support::report::median;

/// Result of one server under one operation.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Figures {
    /// Answers per second.
    pub(crate) per_second: f64,
    /// Half of the answers within; none of a floor that answers nobody.
    pub(crate) p50_ms: Option<f64>,
    /// 99 of 100 answers within.
    pub(crate) p99_ms: Option<f64>,
    pub(crate) cpu: Option<Cpu>,
}

/// Processor time per answer.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Cpu {
    /// Of all processes of the server.
    pub(crate) server_micros: f64,
    /// Of PostgreSQL and Redis.
    pub(crate) databases_micros: Option<f64>,
}

/// A place in a table.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cell {
    Measured(Figures),
    /// Why nothing was measured.
    Without(&'static str),
}

impl Cell {
    fn per_second(&self) -> Option<f64> {
        match self {
            Self::Measured(figures) => Some(figures.per_second),
            Self::Without(_) => None,
        }
    }

    fn p99_ms(&self) -> Option<f64> {
        match self {
            Self::Measured(figures) => figures.p99_ms,
            Self::Without(_) => None,
        }
    }
}

/// A server, or a floor, and what it did.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    name: String,
    cell: Cell,
    /// Answers per second of each round.
    rates: Vec<f64>,
}

impl Row {
    /// Returns the row of one that was measured, with the medians of its rounds.
    pub(crate) fn measured(name: &str, rounds: &[Figures]) -> Self {
        let of = |figure: fn(&Figures) -> f64| median(rounds.iter().map(figure).collect());
        let maybe = |figure: fn(&Figures) -> Option<f64>| {
            let all: Option<Vec<f64>> = rounds.iter().map(figure).collect();
            all.map(median)
        };
        let cpu = maybe(|round| Some(round.cpu?.server_micros)).map(|server_micros| Cpu {
            server_micros,
            databases_micros: maybe(|round| round.cpu?.databases_micros),
        });
        Self {
            name: name.to_owned(),
            cell: Cell::Measured(Figures {
                per_second: of(|round| round.per_second),
                p50_ms: maybe(|round| round.p50_ms),
                p99_ms: maybe(|round| round.p99_ms),
                cpu,
            }),
            rates: rounds.iter().map(|round| round.per_second).collect(),
        }
    }

    /// Returns the row of one that was not measured, with the reason.
    pub(crate) fn without(name: &str, why: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            cell: Cell::Without(why),
            rates: Vec::new(),
        }
    }
}

/// One operation of all servers.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) rows: Vec<Row>,
}

impl Table {
    /// Returns the answers per second, in each round, of the server of that name if it was measured.
    pub(crate) fn rates(&self, name: &str) -> Option<&[f64]> {
        let row = self.rows.iter().find(|row| row.name == name)?;
        Some(row.rates.as_slice()).filter(|rates| !rates.is_empty())
    }

    /// Prints it.
    pub(crate) fn print(&self) {
        println!("\n{}\n", self.title);
        println!(
            "| {:<42} | {:>9} | {:>8} | {:>8} | {:>11} | {:>11} |",
            "", "per s", "p50 ms", "p99 ms", "CPU µs", "of DBs µs"
        );
        println!("|---|--:|--:|--:|--:|--:|");
        for row in &self.rows {
            print!("| {:<42} ", row.name);
            match row.cell {
                Cell::Measured(figures) => println!(
                    "| {:>9.0} | {:>8} | {:>8} | {:>11} | {:>11} |",
                    figures.per_second,
                    shown(figures.p50_ms, 2),
                    shown(figures.p99_ms, 2),
                    shown(figures.cpu.map(|cpu| cpu.server_micros), 1),
                    shown(figures.cpu.and_then(|cpu| cpu.databases_micros), 1),
                ),
                Cell::Without(why) => println!("| {why} | | | | |"),
            }
        }
    }

    /// Returns the 99th percentile of the server of that name, if it was measured.
    pub(crate) fn p99_ms(&self, name: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.name == name)?.cell.p99_ms()
    }

    /// Returns its chart, if it has one.
    pub(crate) fn chart(&self) -> Option<Value> {
        let bars = |of: fn(&Cell) -> Option<f64>| -> Vec<Value> {
            let bar = |row: &Row| Some(json!({"name": row.name, "value": of(&row.cell)?}));
            self.rows.iter().filter_map(bar).collect()
        };
        let chart = |what, unit, bars: Vec<Value>| {
            let file = format!("{}-{what}", self.name);
            bar_chart(&file, &self.title, unit, &bars)
        };
        match CHARTS.iter().find(|(name, _)| self.name == *name) {
            None => None,
            Some((_, Axis::Rate)) => Some(chart("rate", "per second", bars(Cell::per_second))),
            Some((_, Axis::P99)) => Some(chart(
                "p99",
                "99 of 100 answers within, ms",
                bars(Cell::p99_ms),
            )),
        }
    }
}

/// Subject of a chart.
enum Axis {
    Rate,
    P99,
}

/// Tables that are drawn.
const CHARTS: [(&str, Axis); 4] = [
    ("verify", Axis::Rate),
    ("refresh", Axis::Rate),
    ("check-in-a-login-storm", Axis::P99),
    ("mixed-refresh", Axis::P99),
];

fn shown(figure: Option<f64>, digits: usize) -> String {
    figure.map_or(String::new(), |figure| format!("{figure:.digits$}"))
}

/// A server before and after its work.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PeerRanking {
    pub(crate) name: &'static str,
    pub(crate) start_ms: f64,
    pub(crate) memory_at_start_mib: f64,
    pub(crate) memory_at_end_mib: f64,
}

/// Prints them all.
pub(crate) fn print_rankings(all: &[PeerRanking]) {
    println!("\nStart and memory (proportional set size of all processes of the server)\n");
    println!(
        "| {:<42} | {:>9} | {:>12} | {:>12} |",
        "", "start ms", "at first MiB", "at last MiB"
    );
    println!("|---|--:|--:|--:|");
    for one in all {
        println!(
            "| {:<42} | {:>9.0} | {:>12.1} | {:>12.1} |",
            one.name, one.start_ms, one.memory_at_start_mib, one.memory_at_end_mib
        );
    }
}

fn bar_chart(file: &str, title: &str, unit: &str, bars: &[Value]) -> Value {
    json!({"kind": "bars", "file": format!("peers-{file}"), "title": title, "unit": unit, "bars": bars})
}
