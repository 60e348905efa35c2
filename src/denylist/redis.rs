//! Redis, believed only as far as it can be.
//!
//! This half finds a Redis, knows what is kept in it, and asks it what it says about itself. How far
//! an answer may be believed is decided by the server half, with a witness that does not forget
//! (SQL, `docs/denylist.md`), and by [`RedisReader`] for services without SQL
//! (`docs/other-services.md`).
//!
//! Everything lives in one hash slot (`{deny}`), so that one command to one server answers a check
//! on a Redis Cluster too, and every connection is one direct connection that is never mended
//! behind our back: a new connection may lead to a server that has forgotten.

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

/// Holds the epoch whose filling is complete, or [`FILLING`] and the epoch being filled.
const MARK_KEY: &str = "latchet:{deny}:epoch";
/// Held by the one process that fills the copy.
const SEEDER_KEY: &str = "latchet:{deny}:seeder";
/// Marks an epoch whose filling is not complete. Epochs hold no colon.
const FILLING: &str = "filling:";

/// Returns a name for a filling that has never been used and tells which server it is for, by its
/// [identity](Inspection::identity): so that a reader without SQL notices a restart or a failover.
pub fn new_epoch(identity: &str) -> String {
    format!("{}.{identity}", random_id())
}

/// Returns the identity of the server that `epoch` was filled on.
fn filled_server(epoch: &str) -> Option<&str> {
    epoch.split_once('.').map(|(_, identity)| identity)
}
