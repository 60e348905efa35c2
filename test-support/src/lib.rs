//! Servers, network faults and temporary data for the tests of this workspace.
//!
//! Everything here ends with the test run, whatever ends it: servers are children that a watchdog kills, and
//! folders are removed.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a helper that fails ends its test, and the text says what did not hold"
)]

pub mod child;
pub mod poll;
pub mod port;
pub mod postgres;
pub mod proxy;
pub mod redis;
pub mod scratch;
