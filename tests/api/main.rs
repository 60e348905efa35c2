//! Behaviour of the server over HTTP: its real router, real databases, real processes.

#![expect(
    clippy::expect_used,
    reason = "a helper that fails ends its test, and the text says what did not hold"
)]

mod harness;
mod support;
