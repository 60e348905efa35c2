//! Rotation, many sessions in one statement and one commit.
//!
//! A refresh waits for a commit, which costs the same for one row as for hundreds. One writer takes
//! whatever is queued — it never waits for more — reads those sessions, lets
//! [`decide`](crate::server::rotation::decide) judge each token in the order of arrival, and writes
//! what changed under the condition that nobody else wrote. Answers leave after the commit.
//!
//! Nothing is written later than [`LIMIT`] after it was asked, not even by a database that froze
//! with the statement in its hands: grace counts from the time of asking, and a caller who was told
//! to come again must not find it used up.

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

/// Refreshes that may wait; the next one is told to come again.
const QUEUED: usize = 4096;

/// Refreshes in one statement. A row binds six values, of which SQLite takes 32,766.
const BATCH: usize = 512;

/// A refresh token that was shown, as far as the store is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// Its `sid`.
    pub session: SessionId,
    /// Its `sub`.
    pub user: UserId,
    /// Its `gen`.
    pub generation: u64,
    /// The generation since which CSRF values count, by its `csrf`.
    pub csrf_epoch: u64,
    /// The key that came with it.
    pub key: Option<KeyHash>,
    /// Who showed it, for the record of a reuse.
    pub ip: Option<IpAddr>,
}

impl Presented {
    /// Returns what deciding looks at.
    pub fn shown(&self) -> Shown {
        Shown {
            generation: self.generation,
            key: self.key,
        }
    }
}

/// By what rules a token is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationRules {
    /// How long a superseded token still answers.
    pub grace: Grace,
    /// How long an access token lives, leeway included: so long must a reuse be remembered.
    pub deny_for: Duration,
}

/// What became of a refresh token that was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It was the current one; here is its successor.
    Rotated(Arc<Current>),
    /// It had a successor already; here is the current one, unchanged.
    Replayed(Arc<Current>),
    /// It was superseded longer than grace ago. The session is revoked, and this is to be denied.
    Reused {
        /// Whose session it was.
        user: UserId,
        /// What to deny.
        denials: Vec<Denial>,
    },
    /// It waited too long to be judged. Nothing was changed.
    Undecided,
    /// Its generation was never made, as after a restored backup. Nothing was changed.
    Unknown,
    /// The session is over.
    Ended(End),
    /// There is no such session of that user.
    NoSuchSession,
}

/// The session and its owner: all that is needed to make both tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// The session, whose [`generation`](crate::server::rotation::SessionState::generation) is the
    /// one to answer.
    pub session: Session,
    /// The user, whose id is in `session`.
    pub owner: Owner,
}

/// Claims of tokens about the user, from one read of the row: old roles always come with an old
/// version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Authority version.
    pub authority_version: u64,
    /// What the user may do, by name.
    pub roles: Vec<String>,
    /// When an administrator disabled the account.
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

/// Returns a session and its user, read as a rotation reads them.
pub(super) async fn read_session(
    connections: &Connections,
    id: &SessionId,
) -> Result<Option<Current>, StoreError> {
    let (entries, _) = statements::read_by(connections, id).await?;
    Ok(entries.into_values().next().map(batch::Entry::into_current))
}

/// A token on its way through the writer.
#[derive(Debug)]
struct Job {
    presented: Presented,
    now: Time,
    rules: RotationRules,
    asked: Instant,
    answer: oneshot::Sender<Result<Rotation, StoreError>>,
}

impl Job {
    /// Returns how much longer this may be written.
    fn time_left(&self) -> Duration {
        LIMIT.saturating_sub(self.asked.elapsed())
    }

    fn answer(self, answer: Result<Rotation, StoreError>) {
        // Whoever asked may have hung up; the rotation stands, and asking again is a replay.
        let _ = self.answer.send(answer);
    }
}

/// Where tokens wait for the writer.
#[derive(Debug)]
pub(super) struct Queue(mpsc::Sender<Job>);

impl Queue {
    /// Starts the writer, which ends when the queue is dropped.
    pub(super) fn start(connections: Connections) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUED);
        #[expect(
            clippy::disallowed_methods,
            reason = "each job carries the channel on which its caller waits; the task ends with the queue"
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
        // In a task of its own, a batch that panics fails its callers, whose channels it drops, and
        // no others.
        #[expect(
            clippy::disallowed_methods,
            reason = "it is waited for in the next line"
        )]
        let settled = tokio::spawn(batch).await;
        kept = settled.unwrap_or_else(|error| {
            tracing::error!(%error, "a batch of rotations was lost");
            None
        });
        // Given back when nobody waits: what has rested may be broken, and the pool finds out.
        kept = kept.filter(|_| !queue.is_empty());
    }
}

impl Store {
    /// Judges a refresh token and, if it is the current one, makes its successor. Once asked, this
    /// happens even when the caller stops waiting.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database or the queue cannot take it; whether the token
    /// was rotated is unknown then, and showing it again finds out.
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
