//! Rows of the tables. One module per table; no logic.
//!
//! Times are unix milliseconds (`i64`), so that both databases compare them as numbers.

pub mod code;
pub mod denylist_epoch;
pub mod email;
pub mod event;
pub mod installation;
pub mod key;
pub mod outbox;
pub mod reset_link;
pub mod revocation;
pub mod service_credential;
pub mod session;
pub mod setup_link;
pub mod throttle;
pub mod user;
