//! The denylist in Redis, trusted only on conditions.
//!
//! This module connects to Redis, defines its keys, inspects the server, and decides whether a result is
//! trusted (`docs/explanation/redis-trust.md`). An [`EpochAuthority`] names the epoch: Latchet's servers
//! read it from SQL; [`RedisReader`], for services without SQL, relies on the epoch marker.
//!
//! All keys are in one hash slot (`{deny}`), so that one command to one server suffices for a check on a
//! Redis Cluster too. Every connection is direct and never reconnects by itself: a new connection may
//! lead to a server that has lost data.

mod connection;
mod discovery;
mod handle;
mod lookup_batch;
mod reader;
mod refusal;
mod server_info;
mod server_status;
mod trust;
mod url;
mod watch;

pub use connection::{Lookup, LookupTimeout, RedisConnection, WriteOutcome};
pub use discovery::ConnectError;
pub use handle::{InspectedConnection, RedisHandle, RedisHandleError};
pub use reader::RedisReader;
pub use refusal::advice;
pub use server_info::{ServerInfo, UnsuitableRedis};
pub use server_status::{DualInstant, LEASE, ServerFault, ServerStatus};
pub use trust::{Distrust, EpochAuthority, EpochRecord, MarkerRenewal};
pub use url::{RedisUrl, RedisUrlError};
pub use watch::{IDLE_INTERVAL, TrustEvent};

use crate::keys::random_id;

/// Key of the epoch marker: the epoch whose backfill is complete, or [`BACKFILL_PREFIX`] followed by the epoch
/// that is being backfilled.
const EPOCH_MARKER_KEY: &str = "latchet:{deny}:epoch";
/// Lock of the one process that backfills the copy.
const BACKFILL_LOCK_KEY: &str = "latchet:{deny}:seeder";
/// Prefix of the marker of an incomplete backfill. Epochs contain no colon.
const BACKFILL_PREFIX: &str = "filling:";

/// Returns a unique name for an epoch. It contains the [identity](ServerInfo::identity) of the server to
/// backfill, so that a reader without SQL detects a restart or a failover.
pub fn new_epoch(identity: &str) -> String {
    format!("{}.{identity}", random_id())
}

/// Returns the identity of the server that was backfilled for `epoch`.
fn backfilled_server(epoch: &str) -> Option<&str> {
    epoch.split_once('.').map(|(_, identity)| identity)
}
