//! The rows of the table.

use crate::Options;
use crate::support::report::BenchResult;

mod argon2;
mod connections;
mod flood;
mod guard;
mod idle;
mod login;
mod refresh;
mod round_trips;

/// A group of lines measured together.
pub(crate) struct Row {
    /// Name that a filter matches.
    pub(crate) name: &'static str,
    pub(crate) measure: fn(&Options) -> Vec<BenchResult>,
}

/// All rows, in the order of the table.
pub(crate) const ALL: [Row; 12] = [
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
        name: "flood-sqlite",
        measure: flood::sqlite,
    },
    Row {
        name: "flood-postgres",
        measure: flood::postgres,
    },
    Row {
        name: "round-trips",
        measure: round_trips::count,
    },
    Row {
        name: "connections",
        measure: connections::measure,
    },
    Row {
        name: "idle",
        measure: idle::measure,
    },
];
