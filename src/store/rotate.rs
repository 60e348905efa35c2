//! Rotation in batches: many sessions in one statement and one commit.
//!
//! One writer takes the requests of the [queue](super::batch_queue), reads their sessions, calls
//! [`decide`](crate::rotation::decide) for each token in the order of arrival, and writes the
//! changes on condition that no other replica wrote. Responses are sent after the commit.
//!
//! Nothing is written later than [`QUERY_DEADLINE`] after its request, not even by a database that froze while it
//! executed the statement: the grace period counts from the time of the request, and a client that was
//! asked to retry must not find it over.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::batch_queue::{BatchQueue, Reply};
use super::connection::StoreConnections;
use super::{QUERY_DEADLINE, Session, SessionId, Store, StoreError, User, UserId};
use crate::rotation::{Grace, PresentedGeneration, PresentedRetryKey, SessionEnd};
use latchet_guard::clock::Time;
use latchet_guard::denylist::Denial;

mod batch;
mod statements;
#[cfg(test)]
mod tests;

/// Most refreshes in one statement. A row binds six values, and SQLite accepts 32,766.
const MAX_BATCH_SIZE: usize = 512;

/// A presented refresh token, as the store needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentedRefreshToken {
    /// Its `sid`.
    pub session: SessionId,
    /// Its `sub`.
    pub user: UserId,
    /// Its `gen`.
    pub generation: u64,
    /// First generation whose CSRF values are valid: its `csrf`.
    pub csrf_epoch: u64,
    /// The retry key in the request.
    pub retry_key: Option<PresentedRetryKey>,
    /// Address of the client, for the event of a reuse.
    pub ip: Option<IpAddr>,
}

impl PresentedRefreshToken {
    /// Returns the parts that the decision uses.
    pub fn presented_generation(&self) -> PresentedGeneration {
        PresentedGeneration {
            generation: self.generation,
            retry_key: self.retry_key,
        }
    }
}

/// Settings that decide about a presented token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationSettings {
    /// Grace period of superseded tokens.
    pub grace: Grace,
    /// Lifetime of access tokens, leeway included: a session that ends by reuse is denied for so long.
    pub denial_ttl: Duration,
}

/// Result of presenting a refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotationOutcome {
    /// The token was the current one; contains its successor.
    Rotated(Arc<SessionWithOwner>),
    /// The token had a successor; contains the current generation, unchanged.
    Retried(Arc<SessionWithOwner>),
    /// The token was presented after its grace period. The session is revoked and must be denied.
    Reused {
        /// Owner of the session.
        user: UserId,
        /// Denials to publish.
        denials: Vec<Denial>,
    },
    /// The request waited too long for a decision. Nothing was changed.
    Indeterminate,
    /// Its generation does not exist, as after a restored backup. Nothing was changed.
    UnknownGeneration,
    /// The session has ended.
    Ended(SessionEnd),
    /// The user has no such session.
    NoSuchSession,
}

/// A session and its owner: all that is needed to issue both tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionWithOwner {
    /// The session, with the [`generation`](crate::rotation::SessionState::generation) to return.
    pub session: Session,
    /// The user, whose id is in `session`.
    pub owner: SessionOwner,
}

/// Token claims about the user, from one read of the row: old roles always come with an old version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOwner {
    /// User name. It never changes.
    pub username: String,
    /// Authority version.
    pub authority_version: u64,
    /// Names of the user's roles.
    pub roles: Vec<String>,
    /// Time at which an administrator disabled the account.
    pub disabled_at: Option<Time>,
}

impl From<User> for SessionOwner {
    fn from(user: User) -> Self {
        Self {
            username: user.username,
            authority_version: user.authority_version,
            roles: user.roles,
            disabled_at: user.disabled_at,
        }
    }
}

/// Returns a session and its user, by the same query as a rotation.
pub(super) async fn read_session(
    connections: &StoreConnections,
    id: &SessionId,
) -> Result<Option<SessionWithOwner>, StoreError> {
    let (sessions, _) = statements::read_session(connections, id).await?;
    Ok(sessions
        .into_values()
        .next()
        .map(batch::BatchedSession::into_session_with_owner))
}

/// A request in the queue of the writer.
#[derive(Debug)]
pub(super) struct RotationRequest {
    presented: PresentedRefreshToken,
    now: Time,
    settings: RotationSettings,
    received_at: Instant,
    reply: Reply<RotationOutcome>,
}

impl RotationRequest {
    /// Returns the time left for writing.
    fn time_left(&self) -> Duration {
        QUERY_DEADLINE.saturating_sub(self.received_at.elapsed())
    }

    fn respond(self, result: Result<RotationOutcome, StoreError>) {
        // The caller may have disconnected; the rotation remains valid, and presenting the token again is a retry.
        let _ = self.reply.send(result);
    }
}

/// Starts the writer, and returns its queue.
pub(super) fn start_writer(connections: StoreConnections) -> BatchQueue<RotationRequest> {
    BatchQueue::start(MAX_BATCH_SIZE, move |reusable, requests| {
        batch::process_batch(connections.clone(), reusable, requests)
    })
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
        presented: PresentedRefreshToken,
        now: Time,
        settings: RotationSettings,
    ) -> Result<RotationOutcome, StoreError> {
        let rotation = self.0.rotations.run(|reply| RotationRequest {
            presented,
            now,
            settings,
            received_at: Instant::now(),
            reply,
        });
        rotation.await
    }
}
