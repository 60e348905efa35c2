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

/// Questions that may wait; whoever comes then waits to be let in, no longer than for an answer.
const WAITING: usize = 4096;
/// Questions in one command: so few that it keeps the server busy for well under a millisecond.
const TOGETHER: usize = 256;

/// What is asked about one token: whether one of its keys is there.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) token_key: String,
    pub(super) session_key: Option<String>,
    pub(super) answer: oneshot::Sender<Found>,
}

impl Question {
    fn keys(&self) -> impl Iterator<Item = &str> {
        let token = std::iter::once(self.token_key.as_str());
        token.chain(self.session_key.as_deref())
    }
}

/// What was there.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) is_denied: bool,
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
        let mut is_denied = false;
        for _ in question.keys() {
            let Some(value) = values.next() else {
                return;
            };
            is_denied |= value != Value::Nil;
        }
        let mark = Arc::clone(&mark);
        // Whoever asked may have given up meanwhile.
        let _ = question.answer.send(Found { is_denied, mark });
    }
}
