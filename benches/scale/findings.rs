//! Results: lines of a table, charts, and both as data.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::Options;
use crate::support::report::Target;

/// Everything of one run.
#[derive(Debug, Serialize)]
pub(crate) struct ScaleResults {
    machine: String,
    program: serde_json::Value,
    rounds: usize,
    seconds: f64,
    lines: Vec<Line>,
    charts: Vec<Chart>,
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) what: String,
    /// Size at which it was measured.
    pub(crate) at: String,
    pub(crate) figure: String,
    pub(crate) judged: Judgement,
    pub(crate) note: String,
}

/// Subject of a target.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Judgement {
    /// This has to be at least the other.
    AtLeast(f64, f64),
    /// This has to be at most the other.
    AtMost(f64, f64),
    /// A figure for comparison, without a target.
    Informative(f64),
    /// There is nothing to compare with.
    Nothing,
}

impl Judgement {
    /// Judges a figure by a target.
    pub(crate) fn by(value: f64, target: Target) -> Self {
        match target {
            Target::AtLeast(least) => Self::AtLeast(value, least),
            Target::AtMost(most) => Self::AtMost(value, most),
            Target::None => Self::Informative(value),
        }
    }

    fn is_missed(self) -> bool {
        match self {
            Self::AtLeast(value, least) => value < least,
            Self::AtMost(value, most) => value > most,
            Self::Informative(_) | Self::Nothing => false,
        }
    }
}

/// Lines over what grows, which `benches/plot` draws on a scale of powers of ten.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Chart {
    pub(crate) kind: &'static str,
    /// Name of the drawing, without its ending.
    pub(crate) file: String,
    pub(crate) title: String,
    pub(crate) x: &'static str,
    pub(crate) y: &'static str,
    #[serde(rename = "lines")]
    pub(crate) series: Vec<Series>,
}

impl Chart {
    /// Returns a chart without a line yet.
    pub(crate) fn new(title: String, x: &'static str, y: &'static str) -> Self {
        let words = title.split(|letter: char| !letter.is_alphanumeric());
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        Self {
            kind: "lines",
            file: format!("scale-{}", words.join("-").to_lowercase()),
            title,
            x,
            y,
            series: Vec::new(),
        }
    }
}

/// One line of a chart.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

impl ScaleResults {
    /// Returns none yet.
    pub(crate) fn new(machine: String, options: &Options) -> Self {
        Self {
            machine,
            program: crate::support::machine::program(),
            rounds: options.rounds,
            seconds: options.seconds,
            lines: Vec::new(),
            charts: Vec::new(),
        }
    }

    /// Prints and keeps a line.
    pub(crate) fn line(&mut self, line: Line) {
        let (value, target) = match line.judged {
            Judgement::AtLeast(value, least) => (format!("{value:.2}"), format!("≥ {least}")),
            Judgement::AtMost(value, most) => (format!("{value:.2}"), format!("≤ {most}")),
            Judgement::Informative(value) => (format!("{value:.2}"), String::new()),
            Judgement::Nothing => (String::new(), String::new()),
        };
        let verdict = match line.judged {
            Judgement::Informative(_) | Judgement::Nothing => "",
            judged if judged.is_missed() => "MISSED",
            _ => "ok",
        };
        println!(
            "| {:<48} | {:>10} | {:>20} | {value:>6} | {target:>6} | {verdict:<6} | {} |",
            line.what, line.at, line.figure, line.note
        );
        self.lines.push(line);
    }

    /// Keeps a chart.
    pub(crate) fn chart(&mut self, chart: Chart) {
        self.charts.push(chart);
    }

    /// Returns how many targets were missed.
    pub(crate) fn missed(&self) -> usize {
        let missed = self.lines.iter().filter(|line| line.judged.is_missed());
        missed.count()
    }

    /// Writes everything as JSON.
    pub(crate) fn write(&self, file: &Path) {
        let json = serde_json::to_string_pretty(self).expect("text and finite numbers have JSON");
        fs::write(file, json + "\n").expect("the file can be written");
    }
}

/// Prints the head of the table.
pub(crate) fn header() {
    println!(
        "| {:<48} | {:>10} | {:>20} | {:>6} | {:>6} | {:<6} | note |",
        "what", "at", "figure", "value", "target", ""
    );
    println!("|---|--:|--:|--:|--:|---|---|");
}

/// Returns a count as the axis of a chart has it.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}

/// Writes a power of ten as one.
pub(crate) fn power(count: u64) -> String {
    match count.checked_ilog10() {
        Some(exponent) if 10_u64.pow(exponent) == count => format!("10^{exponent}"),
        _ => count.to_string(),
    }
}
