//! Processing of one batch: read, decide, write, respond; then again for requests that met a conflict.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use sea_orm::ConnectionTrait;

use super::super::batch_connection::BatchConnection;
use super::super::connection::StoreConnections;
use super::super::security_events::{self, NewSecurityEvent};
use super::super::{
    DenialPeriod, Revocation, Session, SessionId, StoreError, sessions, with_deadline,
};
use super::statements::{self, DatabaseTime, GenerationUpdate};
use super::{RotationOutcome, RotationRequest, SessionOwner, SessionWithOwner};
use crate::rotation::{RetryKeyHash, RevokeReason, RotationDecision, SessionState, decide};
use crate::security_events::EventKind;

#[cfg(test)]
mod tests;

/// Most attempts at a request whose session another replica changed between reading and writing. Each
/// conflict means that another request succeeded, so a few attempts are enough.
const MAX_ATTEMPTS: usize = 16;

/// A session of the batch: the state that was read, with the changes of the batch.
pub(super) struct BatchedSession {
    /// Shared by the results of the batch. A result keeps its state when a later request changes the session.
    current: Arc<SessionWithOwner>,
    read_generation: u64,
    detected_reuse: Option<DetectedReuse>,
}

/// The first reuse of a session's token.
struct DetectedReuse {
    revocation: Revocation,
    ip: Option<IpAddr>,
}

impl BatchedSession {
    pub(super) fn new(session: Session, owner: SessionOwner) -> Self {
        Self {
            read_generation: session.state.generation,
            current: Arc::new(SessionWithOwner { session, owner }),
            detected_reuse: None,
        }
    }

    pub(super) fn into_session_with_owner(self) -> SessionWithOwner {
        Arc::unwrap_or_clone(self.current)
    }

    pub(super) fn session(&self) -> &Session {
        &self.current.session
    }

    fn state_mut(&mut self) -> &mut SessionState {
        &mut Arc::make_mut(&mut self.current).session.state
    }

    fn rotate(&mut self, request: &RotationRequest) -> RotationOutcome {
        // Two replicas that rotate in the same millisecond write the same values. With a grace period both may
        // succeed, since the token is the same, too; without one, only one of them may.
        let is_strict = request.settings.grace.is_strict();
        let retry_key = request
            .presented
            .retry_key
            .map(|key| key.hash)
            .or_else(|| is_strict.then(RetryKeyHash::random));
        let next = self.session().state.rotated(retry_key, request.now);
        *self.state_mut() = next;
        RotationOutcome::Rotated(Arc::clone(&self.current))
    }

    /// Decides about one token and applies the decision to the session.
    fn evaluate(&mut self, request: &RotationRequest) -> RotationOutcome {
        let session = self.session();
        if session.user_id != request.presented.user {
            return RotationOutcome::NoSuchSession;
        }
        let presented = request.presented.presented_generation();
        match decide(
            &session.state,
            presented,
            request.now,
            request.settings.grace,
        ) {
            RotationDecision::Rotate => self.rotate(request),
            RotationDecision::Retry => RotationOutcome::Retried(Arc::clone(&self.current)),
            RotationDecision::Reuse => self.end_by_reuse(request),
            RotationDecision::Indeterminate => RotationOutcome::Indeterminate,
            RotationDecision::UnknownGeneration => RotationOutcome::UnknownGeneration,
            RotationDecision::Ended(end) => RotationOutcome::Ended(end),
        }
    }

    fn end_by_reuse(&mut self, request: &RotationRequest) -> RotationOutcome {
        self.state_mut().revoked = Some(RevokeReason::Reuse);
        let revocation = Revocation {
            reason: RevokeReason::Reuse,
            period: DenialPeriod {
                now: request.now,
                not_after: request.now + request.settings.denial_ttl,
            },
        };
        let denial = sessions::session_denial(&self.session().id, revocation.period.not_after);
        self.detected_reuse = Some(DetectedReuse {
            revocation,
            ip: request.presented.ip,
        });
        RotationOutcome::Reused {
            user: self.session().user_id.clone(),
            denials: vec![denial],
        }
    }

    fn is_updated_by(&self, update: &GenerationUpdate<'_>) -> bool {
        let session = self.session();
        update.leads_to(&session.state, session.csrf_epoch)
    }

    fn generation_update(&self) -> Option<GenerationUpdate<'_>> {
        let session = self.session();
        let state = &session.state;
        (state.generation != self.read_generation).then_some(GenerationUpdate {
            id: &session.id,
            read_generation: self.read_generation,
            next_state: state,
            csrf_epoch: session.csrf_epoch,
        })
    }
}

/// The sessions of a batch by id: in order, because replicas that lock the same rows in the same order
/// cannot deadlock.
pub(super) type BatchedSessions = BTreeMap<SessionId, BatchedSession>;

/// Reason for which the batch did not write a session.
enum WriteFailure {
    /// Another replica changed the session first, or the deadline had passed.
    Conflict,
    /// The database failed; the session may have been written.
    DatabaseFailed(StoreError),
}

type WriteFailures = BTreeMap<SessionId, WriteFailure>;

/// Processes every request and sends its result. A request that is dropped without a result fails as
/// unavailable. Uses the connection `reusable`, if there is one, and returns the one for the next batch.
pub(super) async fn process_batch(
    connections: StoreConnections,
    mut reusable: Option<BatchConnection>,
    mut requests: Vec<RotationRequest>,
) -> Option<BatchConnection> {
    for _ in 0..MAX_ATTEMPTS {
        requests = attempt(&connections, &mut reusable, requests).await;
        if requests.is_empty() {
            return reusable;
        }
    }
    tracing::warn!(
        requests = requests.len(),
        "rotation gave up after {MAX_ATTEMPTS} conflicts"
    );
    reusable
}

/// Makes one attempt at each request and returns those that met a conflict.
async fn attempt(
    connections: &StoreConnections,
    reusable: &mut Option<BatchConnection>,
    mut requests: Vec<RotationRequest>,
) -> Vec<RotationRequest> {
    requests.retain(|request| !request.time_left().is_zero());
    let ids = requests
        .iter()
        .map(|request| &request.presented.session)
        .collect();
    let reused_connection = reusable.take();
    let read = with_deadline(async {
        let mut connection = match reused_connection {
            Some(connection) => connection,
            None => connections.acquire_batch_connection().await?,
        };
        let (sessions, read_at) = statements::read_sessions(&mut connection, ids).await?;
        Ok((connection, sessions, read_at))
    });
    let (connection, mut sessions, read_at) = match read.await {
        Ok(read) => read,
        Err(error) => {
            for request in requests {
                request.respond(Err(error.clone()));
            }
            return Vec::new();
        }
    };
    let time_left = requests
        .iter()
        .map(RotationRequest::time_left)
        .min()
        .unwrap_or_default();
    let evaluated: Vec<(RotationRequest, RotationOutcome)> = requests
        .into_iter()
        .map(|request| {
            let batched_session = sessions.get_mut(&request.presented.session);
            let outcome = batched_session
                .map_or(RotationOutcome::NoSuchSession, |batched_session| {
                    batched_session.evaluate(&request)
                });
            (request, outcome)
        })
        .collect();
    let mut failures = WriteFailures::new();
    *reusable = write_rotations(connection, &sessions, read_at + time_left, &mut failures).await;
    if sessions
        .values()
        .any(|batched_session| batched_session.detected_reuse.is_some())
    {
        // Recording the reuse needs a connection, and there may be no other one.
        *reusable = None;
    }
    revoke_reused_sessions(connections, &sessions, &mut failures).await;
    send_results(evaluated, &failures)
}

/// Writes the rotations of the batch, unless `deadline` has passed. Returns the connection if nothing failed
/// and the next batch may use it.
async fn write_rotations(
    mut connection: BatchConnection,
    sessions: &BatchedSessions,
    deadline: DatabaseTime,
    failures: &mut WriteFailures,
) -> Option<BatchConnection> {
    let updates: Vec<GenerationUpdate> = sessions
        .values()
        .filter_map(BatchedSession::generation_update)
        .collect();
    if updates.is_empty() {
        return connection.into_reusable();
    }
    let reread = match with_deadline(statements::update_generations(
        &mut connection,
        &updates,
        deadline,
    ))
    .await
    {
        Ok(count) if usize::try_from(count).is_ok_and(|count| count == updates.len()) => {
            return connection.into_reusable();
        }
        Ok(_) => with_deadline(statements::read_sessions(&mut connection, ids(&updates))).await,
        Err(error) => Err(error),
    };
    for update in updates {
        let failure = match &reread {
            Ok((now, _)) => match now.get(update.id) {
                Some(batched_session) if batched_session.is_updated_by(&update) => continue,
                _ => WriteFailure::Conflict,
            },
            Err(error) => WriteFailure::DatabaseFailed(error.clone()),
        };
        failures.insert(update.id.clone(), failure);
    }
    reread.ok().and_then(|_| connection.into_reusable())
}

fn ids<'a>(updates: &[GenerationUpdate<'a>]) -> BTreeSet<&'a SessionId> {
    updates.iter().map(|update| update.id).collect()
}

/// Revokes the sessions with a reused token and records the events, in one transaction.
async fn revoke_reused_sessions(
    connections: &StoreConnections,
    sessions: &BatchedSessions,
    failures: &mut WriteFailures,
) {
    let reused: Vec<(&BatchedSession, &DetectedReuse)> = sessions
        .iter()
        .filter(|(id, _)| !failures.contains_key(*id))
        .filter_map(|(_, batched_session)| {
            Some((batched_session, batched_session.detected_reuse.as_ref()?))
        })
        .collect();
    if reused.is_empty() {
        return;
    }
    let revoked = with_deadline(async {
        let transaction = connections.begin_reserved().await?;
        for (batched_session, reuse) in &reused {
            revoke_and_record(&transaction, batched_session.session(), reuse).await?;
        }
        transaction.commit().await?;
        Ok(())
    })
    .await;
    if let Err(error) = revoked {
        for (batched_session, _) in reused {
            failures.insert(
                batched_session.session().id.clone(),
                WriteFailure::DatabaseFailed(error.clone()),
            );
        }
    }
}

/// Revokes one session and records the reuse. Of two replicas that detect it at once, only the one that ends
/// the session records it.
async fn revoke_and_record<C: ConnectionTrait>(
    db: &C,
    session: &Session,
    reuse: &DetectedReuse,
) -> Result<(), StoreError> {
    let revocation = &reuse.revocation;
    if sessions::revoke_live(db, std::slice::from_ref(&session.id), revocation).await? == 0 {
        return Ok(());
    }
    let event = NewSecurityEvent {
        at: revocation.period.now,
        kind: EventKind::RefreshReused,
        user: Some(&session.user_id),
        session: Some(&session.id),
        actor: None,
        ip: reuse.ip,
    };
    security_events::insert(db, event).await
}

/// Sends the results of the requests whose session was written, and returns the requests to be repeated.
fn send_results(
    evaluated: Vec<(RotationRequest, RotationOutcome)>,
    failures: &WriteFailures,
) -> Vec<RotationRequest> {
    let mut conflicting = Vec::new();
    for (request, outcome) in evaluated {
        match failures.get(&request.presented.session) {
            None => request.respond(Ok(outcome)),
            Some(WriteFailure::Conflict) => conflicting.push(request),
            Some(WriteFailure::DatabaseFailed(error)) => request.respond(Err(error.clone())),
        }
    }
    conflicting
}
