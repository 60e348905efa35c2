//! The tables, and the same as data: figures for people to read, and charts for `benches/plot` to draw.

use serde::Serialize;
use serde_json::{Value, json};

use crate::support::report::median;
use crate::support::worker::Work;

/// Result of one server under one operation.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Figures {
    /// Answers per second.
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) cpu: Option<Cpu>,
}

/// Processor time per answer.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Cpu {
    /// Of all processes of the server.
    pub(crate) server_micros: f64,
    /// Of PostgreSQL and Redis.
    pub(crate) databases_micros: f64,
}

/// A place in a table.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cell {
    Measured(Figures),
    /// A floor that answers nobody has no latencies.
    Paced {
        per_second: f64,
        cpu_micros: f64,
    },
    /// Why nothing was measured.
    Without(&'static str),
}

impl Cell {
    fn per_second(&self) -> Option<f64> {
        match self {
            Self::Measured(figures) => Some(figures.per_second),
            Self::Paced { per_second, .. } => Some(*per_second),
            Self::Without(_) => None,
        }
    }

    fn p99_ms(&self) -> Option<f64> {
        match self {
            Self::Measured(figures) => Some(figures.p99_ms),
            Self::Paced { .. } | Self::Without(_) => None,
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
        let cpu: Option<Vec<Cpu>> = rounds.iter().map(|round| round.cpu).collect();
        let cpu = cpu.map(|cpu| Cpu {
            server_micros: median(cpu.iter().map(|cpu| cpu.server_micros).collect()),
            databases_micros: median(cpu.iter().map(|cpu| cpu.databases_micros).collect()),
        });
        Self {
            name: name.to_owned(),
            cell: Cell::Measured(Figures {
                per_second: of(|round| round.per_second),
                p50_ms: of(|round| round.p50_ms),
                p99_ms: of(|round| round.p99_ms),
                cpu,
            }),
            rates: rounds.iter().map(|round| round.per_second).collect(),
        }
    }

    /// Returns the row of a floor that answers nobody.
    pub(crate) fn paced(name: &str, works: &[Work]) -> Self {
        let rates: Vec<f64> = works.iter().map(|work| work.per_second).collect();
        Self {
            name: name.to_owned(),
            cell: Cell::Paced {
                per_second: median(rates.clone()),
                cpu_micros: median(works.iter().map(|work| work.cpu_micros).collect()),
            },
            rates,
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
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
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
                Cell::Measured(figures) => {
                    let cpu = |of: fn(Cpu) -> f64| {
                        figures
                            .cpu
                            .map_or(String::new(), |cpu| format!("{:.1}", of(cpu)))
                    };
                    println!(
                        "| {:>9.0} | {:>8.2} | {:>8.2} | {:>11} | {:>11} |",
                        figures.per_second,
                        figures.p50_ms,
                        figures.p99_ms,
                        cpu(|cpu| cpu.server_micros),
                        cpu(|cpu| cpu.databases_micros),
                    );
                }
                Cell::Paced {
                    per_second,
                    cpu_micros,
                } => println!(
                    "| {per_second:>9.0} | {:>8} | {:>8} | {cpu_micros:>11.1} | {:>11} |",
                    "", "", ""
                ),
                Cell::Without(why) => println!("| {why} | | | | |"),
            }
        }
    }

    /// Returns the charts of rates and of the slowest answers.
    pub(crate) fn charts(&self) -> [Value; 2] {
        let bars = |of: fn(&Cell) -> Option<f64>| -> Vec<Value> {
            let bar = |row: &Row| Some(json!({"name": row.name, "value": of(&row.cell)?}));
            self.rows.iter().filter_map(bar).collect()
        };
        let chart = |what, unit, bars: Vec<Value>| {
            let file = format!("{}-{what}", self.name);
            bar_chart(&file, self.title, unit, &bars)
        };
        [
            chart("rate", "per second", bars(Cell::per_second)),
            chart("p99", "99 of 100 answers within, ms", bars(Cell::p99_ms)),
        ]
    }
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

/// Returns the charts of them.
pub(crate) fn ranking_charts(all: &[PeerRanking]) -> [Value; 2] {
    let bars = |of: fn(&PeerRanking) -> f64| -> Vec<Value> {
        let bars = all
            .iter()
            .map(|one| json!({"name": one.name, "value": of(one)}));
        bars.collect()
    };
    [
        bar_chart(
            "memory",
            "Memory after the work",
            "MiB",
            &bars(|one| one.memory_at_end_mib),
        ),
        bar_chart(
            "start",
            "Start to first answer",
            "ms",
            &bars(|one| one.start_ms),
        ),
    ]
}

fn bar_chart(file: &str, title: &str, unit: &str, bars: &[Value]) -> Value {
    json!({"kind": "bars", "file": format!("peers-{file}"), "title": title, "unit": unit, "bars": bars})
}
