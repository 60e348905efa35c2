//! Batches of lookups: one command contains all lookups that were requested while the previous command
//! was in progress.
//!
//! A command costs the client far more than the keys in it, and checks are most of the commands of a
//! guarded service. No lookup waits for a batch to fill: a single lookup is sent alone.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, Value};
use tokio::sync::{mpsc, oneshot};

use super::EPOCH_MARKER_KEY;
use super::connection::{session_key, token_key, user_key};
use crate::denylist::{TokenIds, TokenStatus};

/// Lookups that may wait in the queue; further ones wait for room in it, within the deadline of a
/// lookup.
const QUEUE_CAPACITY: usize = 4096;
/// Lookups in one command: few enough that it takes the server well under a millisecond.
const MAX_BATCH: usize = 256;

/// Lookup of one token: the keys that can deny it.
#[derive(Debug)]
pub(super) struct PendingLookup {
    token_key: String,
    session_key: Option<String>,
    user_key: String,
    authority_version: u64,
    reply: oneshot::Sender<LookupResult>,
}

impl PendingLookup {
    pub(super) fn new(ids: TokenIds<'_>, reply: oneshot::Sender<LookupResult>) -> Self {
        Self {
            token_key: token_key(ids.jti),
            session_key: ids.sid.map(session_key),
            user_key: user_key(ids.sub),
            authority_version: ids.authority_version,
            reply,
        }
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        let keys = [self.user_key.as_str(), self.token_key.as_str()];
        keys.into_iter().chain(self.session_key.as_deref())
    }

    /// Returns the status of the token by the values of its keys, in their order; `None` if there are
    /// too few values.
    fn status(&self, values: &mut impl Iterator<Item = Value>) -> Option<TokenStatus> {
        let is_outdated = denies_version(&values.next()?, self.authority_version);
        let mut is_revoked = values.next()? != Value::Nil;
        if self.session_key.is_some() {
            is_revoked |= values.next()? != Value::Nil;
        }
        Some(match (is_revoked, is_outdated) {
            (true, _) => TokenStatus::Revoked,
            (false, true) => TokenStatus::Outdated,
            (false, false) => TokenStatus::NotDenied,
        })
    }
}

/// Returns whether the value of a user key denies tokens of this authority version. An unreadable value
/// denies all.
fn denies_version(value: &Value, authority_version: u64) -> bool {
    let Value::BulkString(bytes) = value else {
        return *value != Value::Nil;
    };
    let below = std::str::from_utf8(bytes).ok();
    let below = below.and_then(|text| text.split_once(':')?.0.parse::<u64>().ok());
    below.is_none_or(|below| authority_version < below)
}

/// Result of the lookup of one token.
#[derive(Debug)]
pub(super) struct LookupResult {
    pub(super) status: TokenStatus,
    /// Epoch marker of the copy at the same moment.
    pub(super) epoch_marker: Arc<Value>,
}

/// Starts sending lookups over `connection`, until the last sender is dropped. Lookups without a result,
/// such as all lookups over a broken connection, are dropped.
pub(super) fn spawn_batcher(connection: MultiplexedConnection) -> mpsc::Sender<PendingLookup> {
    let (sender, receiver) = mpsc::channel(QUEUE_CAPACITY);
    #[expect(
        clippy::disallowed_methods,
        reason = "each lookup has the channel of its caller; the task ends with the last sender"
    )]
    tokio::spawn(run_batches(connection, receiver));
    sender
}

async fn run_batches(
    mut connection: MultiplexedConnection,
    mut queue: mpsc::Receiver<PendingLookup>,
) {
    let mut lookups = Vec::with_capacity(MAX_BATCH);
    while queue.recv_many(&mut lookups, MAX_BATCH).await > 0 {
        // Callers of some lookups have timed out and use SQL.
        lookups.retain(|lookup| !lookup.reply.is_closed());
        if lookups.is_empty() {
            continue;
        }
        match query(&mut connection, &lookups).await {
            Ok(values) => send_results(lookups.drain(..), values),
            Err(error) => tracing::debug!(%error, "Redis did not respond to a lookup"),
        }
        lookups.clear();
    }
}

async fn query(
    connection: &mut MultiplexedConnection,
    lookups: &[PendingLookup],
) -> Result<Vec<Value>, RedisError> {
    let mut command = redis::cmd("MGET");
    command.arg(EPOCH_MARKER_KEY);
    for key in lookups.iter().flat_map(PendingLookup::keys) {
        command.arg(key);
    }
    command.query_async(connection).await
}

/// Sends each lookup its part of the values; nothing if its values are missing.
fn send_results(lookups: impl Iterator<Item = PendingLookup>, values: Vec<Value>) {
    let mut values = values.into_iter();
    let Some(epoch_marker) = values.next() else {
        return;
    };
    let epoch_marker = Arc::new(epoch_marker);
    for lookup in lookups {
        let Some(status) = lookup.status(&mut values) else {
            return;
        };
        let epoch_marker = Arc::clone(&epoch_marker);
        // The caller may have timed out in the meantime.
        let _ = lookup.reply.send(LookupResult {
            status,
            epoch_marker,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_key_denies_older_and_unreadable_versions() {
        let value = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        for (value, expected) in [
            (Value::Nil, false),
            (value("7:1800000000000"), false),
            (value("8:1800000000000"), true),
            (value("8"), true),
            (value("x:1"), true),
            (value(""), true),
            (Value::BulkString(vec![0xff]), true),
            (Value::Int(1), true),
        ] {
            assert_eq!(denies_version(&value, 7), expected, "{value:?}");
        }
    }
}
