//! Latchet: sessions whose refresh token has one successor, and logout that the next request feels.
//!
//! Two halves. The library half (this level) knows JWTs, HTTP and guards, nothing of users or SQL;
//! any poem service uses it with `default-features = false`. The server half ([`server`]) is the
//! auth service on top.

pub mod clock;
pub mod denylist;
pub mod error;
pub mod guard;
pub mod keys;
#[cfg(feature = "server")]
pub mod server;
pub mod token;
