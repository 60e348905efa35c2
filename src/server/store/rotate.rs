//! Rotation in batches: many sessions in one statement and one commit.
//!
//! A refresh waits for a commit, which costs the same for one row as for hundreds. One writer takes all
//! queued requests (it never waits for more), reads their sessions, calls
//! [`decide`](crate::server::rotation::decide) for each token in the order of arrival, and writes the
//! changes on condition that no other replica wrote. Responses are sent after the commit.
//!
//! Nothing is written later than [`LIMIT`] after its request, not even by a database that froze while it
//! executed the statement: the grace period counts from the time of the request, and a client that was
//! asked to retry must not find it over.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::connection::Connections;
use super::users::words;
use super::{LIMIT, Session, SessionId, Store, StoreError, UserId, limited};
use crate::clock::Time;
use crate::denylist::Denial;
use crate::server::rotation::{End, Grace, KeyHash, Shown};

mod batch;
mod statements;
#[cfg(test)]
mod tests;

/// Capacity of the queue; further refreshes are refused and may be retried.
const QUEUED: usize = 4096;

/// Most refreshes in one statement. A row binds six values, and SQLite accepts 32,766.
const BATCH: usize = 512;

/// A presented refresh token, as the store needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// Its `sid`.
    pub session: SessionId,
    /// Its `sub`.
    pub user: UserId,
    /// Its `gen`.
    pub generation: u64,
    /// First generation whose CSRF values are valid: its `csrf`.
    pub csrf_epoch: u64,
    /// Hash of the retry key in the request.
    pub key: Option<KeyHash>,
    /// Address of the client, for the event of a reuse.
    pub ip: Option<IpAddr>,
}

impl Presented {
    /// Returns the parts that the decision uses.
    pub fn shown(&self) -> Shown {
        Shown {
            generation: self.generation,
            key: self.key,
        }
    }
}

/// Settings that decide about a presented token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationRules {
    /// Grace period of superseded tokens.
    pub grace: Grace,
    /// Lifetime of access tokens, leeway included: a session that ends by reuse is denied for so long.
    pub deny_for: Duration,
}

/// Result of presenting a refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The token was the current one; contains its successor.
    Rotated(Arc<Current>),
    /// The token had a successor; contains the current generation, unchanged.
    Replayed(Arc<Current>),
    /// The token was presented after its grace period. The session is revoked and must be denied.
    Reused {
        /// Owner of the session.
        user: UserId,
        /// Denials to publish.
        denials: Vec<Denial>,
    },
    /// The request waited too long for a decision. Nothing was changed.
    Undecided,
    /// Its generation does not exist, as after a restored backup. Nothing was changed.
    Unknown,
    /// The session has ended.
    Ended(End),
    /// The user has no such session.
    NoSuchSession,
}

/// A session and its owner: all that is needed to issue both tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// The session, with the [`generation`](crate::server::rotation::SessionState::generation) to return.
    pub session: Session,
    /// The user, whose id is in `session`.
    pub owner: Owner,
}

/// Token claims about the user, from one read of the row: old roles always come with an old version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Authority version.
    pub authority_version: u64,
    /// Names of the user's roles.
    pub roles: Vec<String>,
    /// Time at which an administrator disabled the account.
    pub disabled_at: Option<Time>,
}

impl TryFrom<&entity::user::Model> for Owner {
    type Error = StoreError;

    fn try_from(row: &entity::user::Model) -> Result<Self, StoreError> {
        Ok(Self {
            authority_version: u64::try_from(row.authority_version)
                .map_err(StoreError::malformed)?,
            roles: words(&row.roles),
            disabled_at: row.disabled_at.map(Time::from_millis),
        })
    }
}

/// Returns a session and its user, by the same query as a rotation.
pub(super) async fn read_session(
    connections: &Connections,
    id: &SessionId,
) -> Result<Option<Current>, StoreError> {
    let (entries, _) = statements::read_by(connections, id).await?;
    Ok(entries.into_values().next().map(batch::Entry::into_current))
}

/// A request in the queue of the writer.
#[derive(Debug)]
struct Job {
    presented: Presented,
    now: Time,
    rules: RotationRules,
    asked: Instant,
    answer: oneshot::Sender<Result<Rotation, StoreError>>,
}

impl Job {
    /// Returns the time left for writing.
    fn time_left(&self) -> Duration {
        LIMIT.saturating_sub(self.asked.elapsed())
    }

    fn answer(self, answer: Result<Rotation, StoreError>) {
        // The caller may have disconnected; the rotation remains valid, and presenting the token again is a retry.
        let _ = self.answer.send(answer);
    }
}

/// Queue of the writer.
#[derive(Debug)]
pub(super) struct Queue(mpsc::Sender<Job>);

impl Queue {
    /// Starts the writer, which ends when the queue is dropped.
    pub(super) fn start(connections: Connections) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUED);
        #[expect(
            clippy::disallowed_methods,
            reason = "each request carries the channel on which its caller waits; the task ends with the queue"
        )]
        tokio::spawn(write(connections, receiver));
        Self(sender)
    }
}

async fn write(connections: Connections, mut queue: mpsc::Receiver<Job>) {
    let mut jobs = Vec::with_capacity(BATCH);
    let mut kept = None;
    while queue.recv_many(&mut jobs, BATCH).await > 0 {
        let batch = batch::settle(connections.clone(), kept, std::mem::take(&mut jobs));
        // In a separate task, a batch that panics fails its own callers, whose channels it drops, and
        // no others.
        #[expect(
            clippy::disallowed_methods,
            reason = "it is awaited in the same statement"
        )]
        let settled = tokio::spawn(batch).await;
        kept = settled.unwrap_or_else(|error| {
            tracing::error!(%error, "rotation batch failed");
            None
        });
        // Returned to the pool when no request waits: an idle connection may break, and the pool tests it.
        kept = kept.filter(|_| !queue.is_empty());
    }
}

impl Store {
    /// Decides about a refresh token and, if it is the current one, creates its successor. Once queued, this
    /// is completed even when the caller stops waiting.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the queue is full or the database fails. The token may have been
    /// rotated then; presenting it again is safe.
    pub async fn rotate(
        &self,
        presented: Presented,
        now: Time,
        rules: RotationRules,
    ) -> Result<Rotation, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job = Job {
            presented,
            now,
            rules,
            asked: Instant::now(),
            answer,
        };
        let queue = &self.0.rotations.0;
        queue.try_send(job).map_err(|_| StoreError::unavailable())?;
        limited(async {
            answered
                .await
                .unwrap_or_else(|_| Err(StoreError::unavailable()))
        })
        .await
    }
}
