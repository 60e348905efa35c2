//! Faults against real processes of Latchet, and what a client must never see of them.
//!
//! `chaos` runs clients and a nemesis and writes a [`history`]; `check` reads that file, and nothing
//! else, and says which promises were broken. The rules are those of `docs/reliability.md`.

pub mod check;
pub mod history;
