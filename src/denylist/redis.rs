//! Redis, believed only as far as it can be.
//!
//! This half finds a Redis, knows what is kept in it, and asks it what it says about itself. Whether
//! an answer may be believed needs a witness that does not forget (SQL), and is decided by the
//! server half; `docs/denylist.md` has the argument.
//!
//! Everything lives in one hash slot (`{deny}`), so that one command to one server answers a check
//! on a Redis Cluster too, and every connection is one direct connection that is never mended
//! behind our back: a new connection may lead to a server that has forgotten.

mod connection;
mod find;
mod inspection;
mod line;
mod standing;
mod target;

pub use connection::{Answer, Connection, Written};
pub use find::ConnectError;
pub use inspection::{Inspection, Unfit};
pub(crate) use line::{Line, Link, LinkError};
pub(crate) use standing::{Fault, LEASE, Moment, Standing};
pub use target::{Target, TargetError};

/// Holds the epoch whose filling is complete, or [`FILLING`] and the epoch being filled.
const MARK_KEY: &str = "latchet:{deny}:epoch";
/// Held by the one process that fills the copy.
const SEEDER_KEY: &str = "latchet:{deny}:seeder";
/// Marks an epoch whose filling is not complete. Epochs are base64url and hold no colon.
const FILLING: &str = "filling:";
