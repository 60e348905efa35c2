//! One connection to one Redis server, with every command that the denylist uses.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, RedisError, Value};
use tokio::sync::{mpsc, oneshot};

use super::lookup_batch::{self, LookupResult, PendingLookup};
use super::{BACKFILL_LOCK_KEY, BACKFILL_PREFIX, EPOCH_MARKER_KEY, ServerInfo};
use crate::denylist::{Denial, DenialTarget, TokenIds, TokenStatus};

/// Time that a check waits for Redis before it uses SQL instead.
pub(super) const CHECK_DEADLINE: Duration = Duration::from_millis(150);
/// Deadline of commands other than checks.
const BACKGROUND_DEADLINE: Duration = Duration::from_secs(1);

/// Difference between the clocks of Redis and of this process at which no entry expires too early.
const EXPIRY_SLACK: Duration = Duration::from_mins(1);
/// The epoch marker expires when no server renews it. It also expires when the clock of Redis steps
/// forward by this much, that is before a step of [`EXPIRY_SLACK`] makes entries expire.
const EPOCH_MARKER_TTL: Duration = Duration::from_secs(30);
/// Lifetime of the backfill lock without renewal.
const BACKFILL_LOCK_TTL: Duration = Duration::from_secs(10);

/// This many entries take the server about a millisecond.
const ENTRIES_PER_WRITE: usize = 500;

/// Writes entries and returns the epoch marker, atomically. The later end and the greater version are
/// kept: a repeated denial never weakens another. The value is the end itself, preceded by the version
/// for a user, because comparing it needs no clock and works on every version of Redis. An entry of a
/// session or a token has an empty version. Numbers that Lua parsed are never written back: it would
/// round them.
const WRITE_DENIALS: &str = "\
for i, key in ipairs(KEYS) do
  if i > 1 then
    local version, ending = ARGV[2 * i - 2], ARGV[2 * i - 1]
    local old = redis.call('GET', key) or ''
    local oldversion, oldending = string.match(old, '^(%d+):(%d+)$')
    if version == '' then oldending = string.match(old, '^%d+$') end
    if oldending and tonumber(oldending) > tonumber(ending) then ending = oldending end
    local value = ending
    if version ~= '' then
      if oldversion and tonumber(oldversion) > tonumber(version) then version = oldversion end
      value = version .. ':' .. ending
    end
    if value ~= old then
      redis.call('SET', key, value)
      redis.call('PEXPIREAT', key, ending + ARGV[1])
    end
  end
end
return redis.call('GET', KEYS[1])";

/// Sets the marker of an incomplete backfill if the lock is still held.
const BEGIN_BACKFILL: &str = "\
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1";

/// Renews lock and marker, if both still exist.
const CONTINUE_BACKFILL: &str = "\
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
if redis.call('GET', KEYS[1]) ~= ARGV[2] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return 1";

/// Replaces the marker of the backfill with the marker of the epoch, if no data was lost since it was
/// set.
const FINISH_BACKFILL: &str = "\
if redis.call('GET', KEYS[1]) ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return 1";

const RELEASE_LOCK: &str = "\
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1";

/// Key that no check reads.
const TEST_KEY: &str = "latchet:{deny}:probe";

const TEST_WRITE: &str = "\
redis.call('SET', KEYS[1], '', 'PX', 1000)
redis.call('PEXPIREAT', KEYS[1], 1)
redis.call('GET', KEYS[1])
redis.call('PEXPIRE', KEYS[1], 1)
redis.call('DEL', KEYS[1])
return 1";

/// A connection to the server that holds the denylist. Clones share it; it does not reconnect.
#[derive(Clone)]
pub struct RedisConnection {
    multiplexed: MultiplexedConnection,
    lookups: mpsc::Sender<PendingLookup>,
    address: Arc<str>,
}

/// Redis did not respond to a check in time, or the response was invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Redis did not respond")]
pub struct LookupTimeout;

/// Result of a lookup in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Revoked. True even if Redis has lost other entries.
    Revoked,
    /// Outdated. True even if Redis has lost other entries.
    Outdated,
    /// Not denied according to the complete backfill of the requested epoch.
    NotDenied,
    /// Not found, but the copy is not a complete backfill of the requested epoch.
    Incomplete,
}

/// Epoch of the copy that accepted denials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// The copy is backfilled, or is being backfilled, for the requested epoch.
    InEpoch,
    /// The copy has another epoch or none.
    OutsideEpoch,
}

impl RedisConnection {
    pub(super) fn new(multiplexed: MultiplexedConnection, address: &str) -> Self {
        Self {
            lookups: lookup_batch::spawn_batcher(multiplexed.clone()),
            multiplexed,
            address: address.into(),
        }
    }

    /// Returns host and port of the server.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Looks up one token; the only command in the path of a request.
    ///
    /// # Errors
    /// When there is no response within 150 ms: the connection must then be dropped.
    pub async fn lookup(&self, ids: TokenIds<'_>, epoch: &str) -> Result<Lookup, LookupTimeout> {
        let (reply, received) = oneshot::channel();
        let lookup = PendingLookup::new(ids, reply);
        let received = tokio::time::timeout(CHECK_DEADLINE, async {
            self.lookups.send(lookup).await.ok()?;
            received.await.ok()
        });
        let LookupResult {
            status,
            epoch_marker,
        } = received.await.ok().flatten().ok_or(LookupTimeout)?;
        Ok(match (status, &*epoch_marker) {
            (TokenStatus::Revoked, _) => Lookup::Revoked,
            (TokenStatus::Outdated, _) => Lookup::Outdated,
            // The backfill of that epoch is complete.
            (TokenStatus::NotDenied, Value::BulkString(epoch_marker))
                if epoch_marker == epoch.as_bytes() =>
            {
                Lookup::NotDenied
            }
            (TokenStatus::NotDenied, _) => Lookup::Incomplete,
        })
    }

    /// Writes denials.
    ///
    /// # Errors
    /// When Redis has not confirmed all of them.
    pub async fn write_denials(
        &self,
        denials: &[Denial],
        epoch: &str,
    ) -> Result<WriteOutcome, RedisError> {
        let backfill_marker = format!("{BACKFILL_PREFIX}{epoch}");
        let mut outcome = WriteOutcome::InEpoch;
        for chunk in denials.chunks(ENTRIES_PER_WRITE) {
            let mut command = script(WRITE_DENIALS, chunk.len() + 1);
            command.arg(EPOCH_MARKER_KEY);
            for denial in chunk {
                command.arg(key(&denial.denied));
            }
            command.arg(EXPIRY_SLACK.as_millis());
            for denial in chunk {
                let version = match &denial.denied {
                    DenialTarget::User { below, .. } => below.to_string(),
                    DenialTarget::Session(_) | DenialTarget::Token(_) => String::new(),
                };
                command.arg(version).arg(denial.not_after.millis());
            }
            let epoch_marker: Option<String> = self.run(&command).await?;
            if epoch_marker
                .as_deref()
                .is_none_or(|epoch_marker| epoch_marker != epoch && epoch_marker != backfill_marker)
            {
                outcome = WriteOutcome::OutsideEpoch;
            }
        }
        Ok(outcome)
    }

    /// Inspects the server.
    ///
    /// # Errors
    /// When it does not respond, or the response is invalid.
    pub async fn inspect(&self) -> Result<ServerInfo, RedisError> {
        let (info, time, epoch_marker, ttl): (String, (i64, i64), Option<String>, i64) =
            redis::pipe()
                .cmd("INFO")
                .cmd("TIME")
                .cmd("GET")
                .arg(EPOCH_MARKER_KEY)
                .cmd("PTTL")
                .arg(EPOCH_MARKER_KEY)
                .query_async(&mut self.with_background_deadline())
                .await?;
        let server_info = ServerInfo::parse(&info, time, epoch_marker)?;
        // Negative if there is no marker, or its expiry was removed.
        let left = u64::try_from(ttl).ok().map(Duration::from_millis);
        Ok(ServerInfo {
            marker_age: left.map(|left| EPOCH_MARKER_TTL.saturating_sub(left)),
            ..server_info
        })
    }

    /// Writes a value that expires immediately, with every command that denials need.
    ///
    /// # Errors
    /// When the server does not respond, or refuses a command.
    pub async fn test_write(&self) -> Result<(), RedisError> {
        let mut command = script(TEST_WRITE, 1);
        command.arg(TEST_KEY);
        self.run(&command).await
    }

    /// Renews the epoch marker. Only a process that trusts the server calls this.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn renew_marker(&self) -> Result<(), RedisError> {
        let mut command = redis::cmd("PEXPIRE");
        command
            .arg(EPOCH_MARKER_KEY)
            .arg(EPOCH_MARKER_TTL.as_millis());
        self.run(&command).await
    }

    /// Acquires the backfill lock for `owner` and returns whether it was free.
    ///
    /// # Errors
    /// When the server does not respond, or accepts no writes.
    pub async fn acquire_backfill_lock(&self, owner: &str) -> Result<bool, RedisError> {
        let mut command = redis::cmd("SET");
        command
            .arg(BACKFILL_LOCK_KEY)
            .arg(owner)
            .arg("NX")
            .arg("PX")
            .arg(BACKFILL_LOCK_TTL.as_millis());
        let taken: Option<String> = self.run(&command).await?;
        Ok(taken.is_some())
    }

    /// Releases the lock if `owner` still holds it.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn release_backfill_lock(&self, owner: &str) -> Result<(), RedisError> {
        let mut command = script(RELEASE_LOCK, 1);
        command.arg(BACKFILL_LOCK_KEY).arg(owner);
        self.run(&command).await
    }

    /// Marks the copy as being backfilled for `epoch`, and returns whether `owner` still held the lock.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn begin_backfill(&self, owner: &str, epoch: &str) -> Result<bool, RedisError> {
        let mut command = script(BEGIN_BACKFILL, 2);
        command
            .arg(EPOCH_MARKER_KEY)
            .arg(BACKFILL_LOCK_KEY)
            .arg(owner)
            .arg(format!("{BACKFILL_PREFIX}{epoch}"))
            .arg(EPOCH_MARKER_TTL.as_millis());
        self.run(&command).await
    }

    /// Renews lock and marker, and returns whether the backfill should continue: false if data was lost
    /// or another process has taken over.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn continue_backfill(&self, owner: &str, epoch: &str) -> Result<bool, RedisError> {
        let mut command = script(CONTINUE_BACKFILL, 2);
        command
            .arg(EPOCH_MARKER_KEY)
            .arg(BACKFILL_LOCK_KEY)
            .arg(owner)
            .arg(format!("{BACKFILL_PREFIX}{epoch}"))
            .arg(EPOCH_MARKER_TTL.as_millis())
            .arg(BACKFILL_LOCK_TTL.as_millis());
        self.run(&command).await
    }

    /// Marks the copy as complete for `epoch`, and returns whether no data was lost since
    /// [`begin_backfill`](Self::begin_backfill).
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn finish_backfill(&self, owner: &str, epoch: &str) -> Result<bool, RedisError> {
        let mut command = script(FINISH_BACKFILL, 2);
        command
            .arg(EPOCH_MARKER_KEY)
            .arg(BACKFILL_LOCK_KEY)
            .arg(owner)
            .arg(format!("{BACKFILL_PREFIX}{epoch}"))
            .arg(epoch)
            .arg(EPOCH_MARKER_TTL.as_millis());
        self.run(&command).await
    }

    async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        command
            .query_async(&mut self.with_background_deadline())
            .await
    }

    /// The same connection with a longer deadline.
    pub(super) fn with_background_deadline(&self) -> MultiplexedConnection {
        let mut multiplexed = self.multiplexed.clone();
        multiplexed.set_response_timeout(BACKGROUND_DEADLINE);
        multiplexed
    }
}

fn script(text: &str, keys: usize) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(text).arg(keys);
    command
}

fn key(denied: &DenialTarget) -> String {
    match denied {
        DenialTarget::Session(sid) => session_key(sid),
        DenialTarget::Token(jti) => token_key(jti),
        DenialTarget::User { id, .. } => user_key(id),
    }
}

pub(super) fn session_key(sid: &str) -> String {
    format!("latchet:{{deny}}:sid:{sid}")
}

pub(super) fn token_key(jti: &str) -> String {
    format!("latchet:{{deny}}:jti:{jti}")
}

pub(super) fn user_key(sub: &str) -> String {
    format!("latchet:{{deny}}:user:{sub}")
}

impl fmt::Debug for RedisConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConnection")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
