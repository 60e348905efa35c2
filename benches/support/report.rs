//! Results, and their table.

use serde::Serialize;

/// Target of a finding.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
    /// No target: the figure explains another.
    None,
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BenchResult {
    pub(crate) what: &'static str,
    pub(crate) ours: String,
    pub(crate) floor: String,
    /// Subject of the target: a ratio, or the figure itself where there is no floor.
    pub(crate) value: f64,
    pub(crate) target: Target,
    pub(crate) note: String,
}

impl BenchResult {
    /// Returns whether the target is missed.
    pub(crate) fn is_missed(&self) -> bool {
        match self.target {
            Target::AtLeast(least) => self.value < least,
            Target::AtMost(most) => self.value > most,
            Target::None => false,
        }
    }

    /// Prints the line.
    pub(crate) fn print(&self) {
        let target = match self.target {
            Target::AtLeast(least) => format!("≥ {least}"),
            Target::AtMost(most) => format!("≤ {most}"),
            Target::None => String::new(),
        };
        let verdict = match self.target {
            Target::None => "",
            _ if self.is_missed() => "MISSED",
            _ => "ok",
        };
        println!(
            "| {:<52} | {:>22} | {:>22} | {:>6.2} | {target:>6} | {verdict:<6} | {} |",
            self.what, self.ours, self.floor, self.value, self.note
        );
    }
}

/// Prints the head of the table.
pub(crate) fn header() {
    println!(
        "| {:<52} | {:>22} | {:>22} | {:>6} | {:>6} | {:<6} | note |",
        "row", "ours", "floor", "value", "target", ""
    );
    println!("|---|--:|--:|--:|--:|---|---|");
}

/// Returns the middle of `values`.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], values[middle])
    } else {
        values[middle]
    }
}

/// Returns the median of the quotients of each round.
pub(crate) fn median_ratio(ours: &[f64], floor: &[f64]) -> f64 {
    median(
        ours.iter()
            .zip(floor)
            .map(|(ours, floor)| ours / floor)
            .collect(),
    )
}
