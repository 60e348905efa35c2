//! One connection to one Redis server, and everything that is said over it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, RedisError, Value};
use tokio::sync::{mpsc, oneshot};

use super::questions::{self, Found, Question};
use super::{FILLING, Inspection, MARK_KEY, SEEDER_KEY};
use crate::denylist::{Denial, Denied, TokenIds, TokenStatus};

/// How long a check waits for Redis before it asks SQL instead.
pub(super) const CHECK_DEADLINE: Duration = Duration::from_millis(150);
/// How long anything but a check may take.
const BACKGROUND_DEADLINE: Duration = Duration::from_secs(1);

/// How far the clocks of Redis and of this process may differ without an entry expiring too early.
const EXPIRY_SLACK: Duration = Duration::from_mins(1);
/// The mark goes when nobody vouches for it any more; also when the clock of Redis leaps by this
/// much, that is before it leaps over [`EXPIRY_SLACK`] and takes entries along.
const MARK_TTL: Duration = Duration::from_secs(30);
/// How long a seeder may be silent before another may begin.
const SEEDER_TTL: Duration = Duration::from_secs(10);

/// So many entries keep the server busy for about a millisecond.
const ENTRIES_PER_WRITE: usize = 500;

/// Writes entries and returns the mark, all at once. The later end and the greater version win: a
/// repeated denial never weakens another. The value is the end itself, and for a user the version
/// before it, because comparing needs no clock then, and works on every version of Redis. An entry of
/// a session or a token has an empty version. What Lua reads as a number is never written back: it
/// would round.
const WRITE: &str = "\
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

/// Sets the mark of the filling if the lock is still held.
const BEGIN: &str = "\
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1";

/// Keeps lock and mark alive, if both are still there.
const CONTINUE: &str = "\
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
if redis.call('GET', KEYS[1]) ~= ARGV[2] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return 1";

/// Turns the mark of the filling into the mark of the epoch, if nothing was lost since it was set.
const FINISH: &str = "\
if redis.call('GET', KEYS[1]) ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return 1";

const RELEASE: &str = "\
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1";

/// Key that no check reads.
const PROBE_KEY: &str = "latchet:{deny}:probe";

const PROBE: &str = "\
redis.call('SET', KEYS[1], '', 'PX', 1000)
redis.call('PEXPIREAT', KEYS[1], 1)
redis.call('GET', KEYS[1])
redis.call('PEXPIRE', KEYS[1], 1)
redis.call('DEL', KEYS[1])
return 1";

/// A connection to the server that holds the denylist. Clones share it; once broken it stays so.
#[derive(Clone)]
pub struct Connection {
    multiplexed: MultiplexedConnection,
    questions: mpsc::Sender<Question>,
    address: Arc<str>,
}

/// Redis did not answer a check in time, or not as Redis does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Redis did not answer")]
pub struct Unanswered;

/// What Redis says about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Revoked. True whatever else Redis has forgotten.
    Revoked,
    /// Outdated. True likewise.
    Outdated,
    /// Not denied as far as the filling of the epoch that was asked about goes.
    Clear,
    /// Not found, and this is not a complete filling of the epoch that was asked about.
    Doubtful,
}

/// What became of denials that Redis has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The copy is filled, or is being filled, for the epoch that was asked about.
    InEpoch,
    /// The copy belongs to another epoch or to none.
    OutsideEpoch,
}

impl Connection {
    pub(super) fn new(multiplexed: MultiplexedConnection, address: &str) -> Self {
        Self {
            questions: questions::start(multiplexed.clone()),
            multiplexed,
            address: address.into(),
        }
    }

    /// Returns host and port of the server at the other end.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Asks about one token; the only question on the path of a request.
    ///
    /// # Errors
    /// When there is no answer within 150 ms: the connection is then to be dropped.
    pub async fn ask(&self, ids: TokenIds<'_>, epoch: &str) -> Result<Answer, Unanswered> {
        let (answer, found) = oneshot::channel();
        let question = Question::new(ids, answer);
        let found = tokio::time::timeout(CHECK_DEADLINE, async {
            self.questions.send(question).await.ok()?;
            found.await.ok()
        });
        let Found { status, mark } = found.await.ok().flatten().ok_or(Unanswered)?;
        Ok(match (status, &*mark) {
            (TokenStatus::Revoked, _) => Answer::Revoked,
            (TokenStatus::Outdated, _) => Answer::Outdated,
            // The filling of that epoch is complete.
            (TokenStatus::NotDenied, Value::BulkString(mark)) if mark == epoch.as_bytes() => {
                Answer::Clear
            }
            (TokenStatus::NotDenied, _) => Answer::Doubtful,
        })
    }

    /// Writes denials.
    ///
    /// # Errors
    /// When Redis has not confirmed every one of them.
    pub async fn write(&self, denials: &[Denial], epoch: &str) -> Result<Written, RedisError> {
        let filling = format!("{FILLING}{epoch}");
        let mut written = Written::InEpoch;
        for chunk in denials.chunks(ENTRIES_PER_WRITE) {
            let mut command = script(WRITE, chunk.len() + 1);
            command.arg(MARK_KEY);
            for denial in chunk {
                command.arg(key(&denial.denied));
            }
            command.arg(EXPIRY_SLACK.as_millis());
            for denial in chunk {
                let version = match &denial.denied {
                    Denied::User { below, .. } => below.to_string(),
                    Denied::Session(_) | Denied::Token(_) => String::new(),
                };
                command.arg(version).arg(denial.not_after.millis());
            }
            let mark: Option<String> = self.run(&command).await?;
            if mark
                .as_deref()
                .is_none_or(|mark| mark != epoch && mark != filling)
            {
                written = Written::OutsideEpoch;
            }
        }
        Ok(written)
    }

    /// Asks the server about itself.
    ///
    /// # Errors
    /// When it does not answer, or not as Redis does.
    pub async fn inspect(&self) -> Result<Inspection, RedisError> {
        let (info, time, mark, ttl): (String, (i64, i64), Option<String>, i64) = redis::pipe()
            .cmd("INFO")
            .cmd("TIME")
            .cmd("GET")
            .arg(MARK_KEY)
            .cmd("PTTL")
            .arg(MARK_KEY)
            .query_async(&mut self.background())
            .await?;
        let inspection = Inspection::parse(&info, time, mark)?;
        // Negative where there is no mark, or somebody took its end away.
        let left = u64::try_from(ttl).ok().map(Duration::from_millis);
        Ok(Inspection {
            vouched: left.map(|left| MARK_TTL.saturating_sub(left)),
            ..inspection
        })
    }

    /// Writes a value that is gone a moment later, with every command that denials need.
    ///
    /// # Errors
    /// When the server does not answer, or refuses a command.
    pub async fn try_writing(&self) -> Result<(), RedisError> {
        let mut command = script(PROBE, 1);
        command.arg(PROBE_KEY);
        self.run(&command).await
    }

    /// Vouches for the mark, so that it stays. Only who finds nothing wrong with the server does.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn vouch(&self) -> Result<(), RedisError> {
        let mut command = redis::cmd("PEXPIRE");
        command.arg(MARK_KEY).arg(MARK_TTL.as_millis());
        self.run(&command).await
    }

    /// Takes the seeder's lock in the name of `seeder` and returns whether it was free.
    ///
    /// # Errors
    /// When the server does not answer, or takes no writes.
    pub async fn lock(&self, seeder: &str) -> Result<bool, RedisError> {
        let mut command = redis::cmd("SET");
        command
            .arg(SEEDER_KEY)
            .arg(seeder)
            .arg("NX")
            .arg("PX")
            .arg(SEEDER_TTL.as_millis());
        let taken: Option<String> = self.run(&command).await?;
        Ok(taken.is_some())
    }

    /// Gives the lock back if `seeder` still holds it.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn unlock(&self, seeder: &str) -> Result<(), RedisError> {
        let mut command = script(RELEASE, 1);
        command.arg(SEEDER_KEY).arg(seeder);
        self.run(&command).await
    }

    /// Marks the copy as being filled for `epoch`, and returns whether `seeder` still held the lock.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn begin(&self, seeder: &str, epoch: &str) -> Result<bool, RedisError> {
        let mut command = script(BEGIN, 2);
        command
            .arg(MARK_KEY)
            .arg(SEEDER_KEY)
            .arg(seeder)
            .arg(format!("{FILLING}{epoch}"))
            .arg(MARK_TTL.as_millis());
        self.run(&command).await
    }

    /// Says that the filling goes on, and returns whether it is still worth going on: false when
    /// the data was lost or another seeder has taken over.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn go_on(&self, seeder: &str, epoch: &str) -> Result<bool, RedisError> {
        let mut command = script(CONTINUE, 2);
        command
            .arg(MARK_KEY)
            .arg(SEEDER_KEY)
            .arg(seeder)
            .arg(format!("{FILLING}{epoch}"))
            .arg(MARK_TTL.as_millis())
            .arg(SEEDER_TTL.as_millis());
        self.run(&command).await
    }

    /// Marks the copy as complete for `epoch`, and returns whether nothing was lost since
    /// [`begin`](Self::begin).
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn finish(&self, seeder: &str, epoch: &str) -> Result<bool, RedisError> {
        let mut command = script(FINISH, 2);
        command
            .arg(MARK_KEY)
            .arg(SEEDER_KEY)
            .arg(seeder)
            .arg(format!("{FILLING}{epoch}"))
            .arg(epoch)
            .arg(MARK_TTL.as_millis());
        self.run(&command).await
    }

    async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        command.query_async(&mut self.background()).await
    }

    /// The same connection with more patience.
    pub(super) fn background(&self) -> MultiplexedConnection {
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

fn key(denied: &Denied) -> String {
    match denied {
        Denied::Session(sid) => session_key(sid),
        Denied::Token(jti) => token_key(jti),
        Denied::User { id, .. } => user_key(id),
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

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
