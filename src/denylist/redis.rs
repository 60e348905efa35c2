//! The denylist in Redis, trusted only on conditions.
//!
//! This module connects to Redis, defines its keys, and inspects the server. The server half decides
//! whether a result is trusted, with a durable record in SQL (`docs/denylist.md`); [`RedisReader`]
//! decides it for services without SQL (`docs/other-services.md`).
//!
//! All keys are in one hash slot (`{deny}`), so that one command to one server suffices for a check on a
//! Redis Cluster too. Every connection is direct and never reconnects by itself: a new connection may
//! lead to a server that has lost data.

mod connection;
mod find;
mod inspection;
mod line;
mod questions;
mod reader;
mod refusal;
mod standing;
mod target;

pub use connection::{Answer, Connection, Unanswered, Written};
pub use find::ConnectError;
pub use inspection::{Inspection, Unfit};
pub(crate) use line::Line;
#[cfg(feature = "server")]
pub(crate) use line::{Link, LinkError};
pub use reader::RedisReader;
#[cfg(feature = "server")]
pub(crate) use refusal::advice;
#[cfg(any(feature = "server", test))]
pub(crate) use standing::LEASE;
pub(crate) use standing::{Fault, Moment, Standing};
pub use target::{Target, TargetError};

use crate::keys::random_id;

/// Key of the epoch marker: the epoch whose backfill is complete, or [`FILLING`] followed by the epoch
/// that is being backfilled.
const MARK_KEY: &str = "latchet:{deny}:epoch";
/// Lock of the one process that backfills the copy.
const SEEDER_KEY: &str = "latchet:{deny}:seeder";
/// Prefix of the marker of an incomplete backfill. Epochs contain no colon.
const FILLING: &str = "filling:";

/// Returns a unique name for an epoch. It contains the [identity](Inspection::identity) of the server to
/// backfill, so that a reader without SQL detects a restart or a failover.
pub fn new_epoch(identity: &str) -> String {
    format!("{}.{identity}", random_id())
}

/// Returns the identity of the server that was backfilled for `epoch`.
fn filled_server(epoch: &str) -> Option<&str> {
    epoch.split_once('.').map(|(_, identity)| identity)
}
