//! Questions about tokens on their way to Redis, as many of them in one command as were asked while
//! the command before was under way.
//!
//! A command costs its client far more than the keys in it, and a check is most of what a service
//! that is guarded does with Redis. Nobody waits for others to ask: a question that is alone goes
//! alone.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, Value};
use tokio::sync::{mpsc, oneshot};

use super::MARK_KEY;
use super::connection::{session_key, token_key, user_key};
use crate::denylist::{TokenIds, TokenStatus};

/// Questions that may wait; whoever comes then waits to be let in, no longer than for an answer.
const WAITING: usize = 4096;
/// Questions in one command: so few that it keeps the server busy for well under a millisecond.
const TOGETHER: usize = 256;

/// A question about one token: the keys by which it can be denied.
#[derive(Debug)]
pub(super) struct Question {
    token_key: String,
    session_key: Option<String>,
    user_key: String,
    authority_version: u64,
    answer: oneshot::Sender<Found>,
}

impl Question {
    pub(super) fn new(ids: TokenIds<'_>, answer: oneshot::Sender<Found>) -> Self {
        Self {
            token_key: token_key(ids.jti),
            session_key: ids.sid.map(session_key),
            user_key: user_key(ids.sub),
            authority_version: ids.authority_version,
            answer,
        }
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        let keys = [self.user_key.as_str(), self.token_key.as_str()];
        keys.into_iter().chain(self.session_key.as_deref())
    }

    /// Returns the status of the token by the values of its keys, in their order; `None` when there
    /// are too few.
    fn status(&self, values: &mut impl Iterator<Item = Value>) -> Option<TokenStatus> {
        let is_outdated = is_above(&values.next()?, self.authority_version);
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

/// Returns whether the value of a user key denies tokens of this authority version. A value that
/// cannot be read denies all.
fn is_above(value: &Value, authority_version: u64) -> bool {
    let Value::BulkString(bytes) = value else {
        return *value != Value::Nil;
    };
    let below = std::str::from_utf8(bytes).ok();
    let below = below.and_then(|text| text.split_once(':')?.0.parse::<u64>().ok());
    below.is_none_or(|below| authority_version < below)
}

/// An answer of Redis about one token.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) status: TokenStatus,
    /// The mark of the copy at the same moment.
    pub(super) mark: Arc<Value>,
}

/// Starts asking over `connection`, until nobody can ask any more. Questions that were not answered,
/// as all are when the connection is broken, are dropped.
pub(super) fn start(connection: MultiplexedConnection) -> mpsc::Sender<Question> {
    let (sender, receiver) = mpsc::channel(WAITING);
    #[expect(
        clippy::disallowed_methods,
        reason = "each question carries the channel on which its asker waits; the task ends with the last sender"
    )]
    tokio::spawn(ask_all(connection, receiver));
    sender
}

async fn ask_all(mut connection: MultiplexedConnection, mut waiting: mpsc::Receiver<Question>) {
    let mut questions = Vec::with_capacity(TOGETHER);
    while waiting.recv_many(&mut questions, TOGETHER).await > 0 {
        // Some have waited too long and went to ask SQL.
        questions.retain(|question| !question.answer.is_closed());
        if questions.is_empty() {
            continue;
        }
        match ask(&mut connection, &questions).await {
            Ok(values) => answer(questions.drain(..), values),
            Err(error) => tracing::debug!(%error, "Redis did not answer a check"),
        }
        questions.clear();
    }
}

async fn ask(
    connection: &mut MultiplexedConnection,
    questions: &[Question],
) -> Result<Vec<Value>, RedisError> {
    let mut command = redis::cmd("MGET");
    command.arg(MARK_KEY);
    for key in questions.iter().flat_map(Question::keys) {
        command.arg(key);
    }
    command.query_async(connection).await
}

/// Gives each question its part of the values; no answer to one of which there is none.
fn answer(questions: impl Iterator<Item = Question>, values: Vec<Value>) {
    let mut values = values.into_iter();
    let Some(mark) = values.next() else {
        return;
    };
    let mark = Arc::new(mark);
    for question in questions {
        let Some(status) = question.status(&mut values) else {
            return;
        };
        let mark = Arc::clone(&mark);
        // Whoever asked may have given up meanwhile.
        let _ = question.answer.send(Found { status, mark });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_key_denies_older_versions_and_what_it_cannot_read() {
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
            assert_eq!(is_above(&value, 7), expected, "{value:?}");
        }
    }
}
