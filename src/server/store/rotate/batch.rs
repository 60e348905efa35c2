//! Processing of one batch: read, decide, write, respond; then again for requests that met a conflict.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use sea_orm::ConnectionTrait;

use super::super::connection::Connections;
use super::super::events::{self, NewEvent};
use super::super::held::Held;
use super::super::{DenialPeriod, Revocation, Session, SessionId, StoreError, limited, sessions};
use super::statements::{self, DatabaseTime, Step};
use super::{Current, Job, Owner, Rotation};
use crate::server::events::EventKind;
use crate::server::rotation::{Decision, KeyHash, RevokeReason, SessionState, decide};

#[cfg(test)]
mod tests;

/// Most attempts at a request whose session another replica changed between reading and writing. Each
/// conflict means that another request succeeded, so a few attempts are enough.
const ROUNDS: usize = 16;

/// A session of the batch: the state that was read, with the changes of the batch.
pub(super) struct Entry {
    /// Shared by the results of the batch. A result keeps its state when a later request changes the session.
    current: Arc<Current>,
    read_generation: u64,
    reused: Option<Reuse>,
}

/// The first reuse of a session's token.
struct Reuse {
    revocation: Revocation,
    ip: Option<IpAddr>,
}

impl Entry {
    pub(super) fn new(session: Session, owner: Owner) -> Self {
        Self {
            read_generation: session.state.generation,
            current: Arc::new(Current { session, owner }),
            reused: None,
        }
    }

    pub(super) fn into_current(self) -> Current {
        Arc::unwrap_or_clone(self.current)
    }

    pub(super) fn session(&self) -> &Session {
        &self.current.session
    }

    fn state_mut(&mut self) -> &mut SessionState {
        &mut Arc::make_mut(&mut self.current).session.state
    }

    fn rotate(&mut self, job: &Job) -> Rotation {
        // Two replicas that rotate in the same millisecond write the same values. With a grace period both may
        // succeed, since the token is the same, too; without one, only one of them may.
        let is_strict = job.rules.grace.is_strict();
        let key = job
            .presented
            .key
            .or_else(|| is_strict.then(KeyHash::of_no_key));
        let next = self.session().state.rotated(key, job.now);
        *self.state_mut() = next;
        Rotation::Rotated(Arc::clone(&self.current))
    }

    /// Decides about one token and applies the decision to the session.
    fn judge(&mut self, job: &Job) -> Rotation {
        let session = self.session();
        if session.user_id != job.presented.user {
            return Rotation::NoSuchSession;
        }
        let shown = job.presented.shown();
        match decide(&session.state, shown, job.now, job.rules.grace) {
            Decision::Rotate => self.rotate(job),
            Decision::Replay => Rotation::Replayed(Arc::clone(&self.current)),
            Decision::Reuse => self.reuse(job),
            Decision::Undecided => Rotation::Undecided,
            Decision::Unknown => Rotation::Unknown,
            Decision::Ended(end) => Rotation::Ended(end),
        }
    }

    fn reuse(&mut self, job: &Job) -> Rotation {
        self.state_mut().revoked = Some(RevokeReason::Reuse);
        let revocation = Revocation {
            reason: RevokeReason::Reuse,
            period: DenialPeriod {
                now: job.now,
                not_after: job.now + job.rules.deny_for,
            },
        };
        let denial = sessions::denial(&self.session().id, revocation.period.not_after);
        self.reused = Some(Reuse {
            revocation,
            ip: job.presented.ip,
        });
        Rotation::Reused {
            user: self.session().user_id.clone(),
            denials: vec![denial],
        }
    }

    fn is_where_it_led(&self, step: &Step<'_>) -> bool {
        let session = self.session();
        step.has_led_to(&session.state, session.csrf_epoch)
    }

    fn step(&self) -> Option<Step<'_>> {
        let session = self.session();
        let state = &session.state;
        (state.generation != self.read_generation).then_some(Step {
            id: &session.id,
            from: self.read_generation,
            to: state,
            csrf_epoch: session.csrf_epoch,
        })
    }
}

/// The sessions of a batch by id: in order, because replicas that lock the same rows in the same order
/// cannot deadlock.
pub(super) type Entries = BTreeMap<SessionId, Entry>;

/// Reason for which the batch did not write a session.
enum Fate {
    /// Another replica changed the session first, or the deadline had passed.
    Outrun,
    /// The database failed; the session may have been written.
    Failed(StoreError),
}

type Fates = BTreeMap<SessionId, Fate>;

/// Processes every request and sends its result. A request that is dropped without a result fails as
/// unavailable. Uses the connection `kept`, if there is one, and returns the one for the next batch.
pub(super) async fn settle(
    connections: Connections,
    mut kept: Option<Held>,
    mut jobs: Vec<Job>,
) -> Option<Held> {
    for _ in 0..ROUNDS {
        jobs = round(&connections, &mut kept, jobs).await;
        if jobs.is_empty() {
            return kept;
        }
    }
    tracing::warn!(
        jobs = jobs.len(),
        "rotation gave up after {ROUNDS} conflicts"
    );
    kept
}

/// Makes one attempt at each request and returns those that met a conflict.
async fn round(connections: &Connections, kept: &mut Option<Held>, mut jobs: Vec<Job>) -> Vec<Job> {
    jobs.retain(|job| !job.time_left().is_zero());
    let ids = jobs.iter().map(|job| &job.presented.session).collect();
    let held = kept.take();
    let read = limited(async {
        let mut connection = match held {
            Some(connection) => connection,
            None => connections.hold().await?,
        };
        let (entries, read_at) = statements::read(&mut connection, ids).await?;
        Ok((connection, entries, read_at))
    });
    let (connection, mut entries, read_at) = match read.await {
        Ok(read) => read,
        Err(error) => {
            for job in jobs {
                job.answer(Err(error.clone()));
            }
            return Vec::new();
        }
    };
    let time_left = jobs.iter().map(Job::time_left).min().unwrap_or_default();
    let judged: Vec<(Job, Rotation)> = jobs
        .into_iter()
        .map(|job| {
            let entry = entries.get_mut(&job.presented.session);
            let rotation = entry.map_or(Rotation::NoSuchSession, |entry| entry.judge(&job));
            (job, rotation)
        })
        .collect();
    let mut fates = Fates::new();
    *kept = rotate(connection, &entries, read_at + time_left, &mut fates).await;
    if entries.values().any(|entry| entry.reused.is_some()) {
        // Recording the reuse needs a connection, and there may be no other one.
        *kept = None;
    }
    revoke(connections, &entries, &mut fates).await;
    answer(judged, &fates)
}

/// Writes the rotations of the batch, unless `deadline` has passed. Returns the connection if nothing failed
/// and the next batch may use it.
async fn rotate(
    mut connection: Held,
    entries: &Entries,
    deadline: DatabaseTime,
    fates: &mut Fates,
) -> Option<Held> {
    let steps: Vec<Step> = entries.values().filter_map(Entry::step).collect();
    if steps.is_empty() {
        return connection.kept();
    }
    let moved = match limited(statements::advance(&mut connection, &steps, deadline)).await {
        Ok(count) if usize::try_from(count).is_ok_and(|count| count == steps.len()) => {
            return connection.kept();
        }
        Ok(_) => limited(statements::read(&mut connection, ids(&steps))).await,
        Err(error) => Err(error),
    };
    for step in steps {
        let fate = match &moved {
            Ok((now, _)) => match now.get(step.id) {
                Some(entry) if entry.is_where_it_led(&step) => continue,
                _ => Fate::Outrun,
            },
            Err(error) => Fate::Failed(error.clone()),
        };
        fates.insert(step.id.clone(), fate);
    }
    moved.ok().and_then(|_| connection.kept())
}

fn ids<'a>(steps: &[Step<'a>]) -> BTreeSet<&'a SessionId> {
    steps.iter().map(|step| step.id).collect()
}

/// Revokes the sessions with a reused token and records the events, in one transaction.
async fn revoke(connections: &Connections, entries: &Entries, fates: &mut Fates) {
    let reused: Vec<(&Entry, &Reuse)> = entries
        .iter()
        .filter(|(id, _)| !fates.contains_key(*id))
        .filter_map(|(_, entry)| Some((entry, entry.reused.as_ref()?)))
        .collect();
    if reused.is_empty() {
        return;
    }
    let revoked = limited(async {
        let transaction = connections.begin_reserved().await?;
        for (entry, reuse) in &reused {
            record(&transaction, entry.session(), reuse).await?;
        }
        transaction.commit().await?;
        Ok(())
    })
    .await;
    if let Err(error) = revoked {
        for (entry, _) in reused {
            fates.insert(entry.session().id.clone(), Fate::Failed(error.clone()));
        }
    }
}

/// Revokes one session and records the reuse. Of two replicas that detect it at once, only the one that ends
/// the session records it.
async fn record<C: ConnectionTrait>(
    db: &C,
    session: &Session,
    reuse: &Reuse,
) -> Result<(), StoreError> {
    let revocation = &reuse.revocation;
    if sessions::revoke(db, std::slice::from_ref(&session.id), revocation).await? == 0 {
        return Ok(());
    }
    let event = NewEvent {
        at: revocation.period.now,
        kind: EventKind::RefreshReused,
        user: Some(&session.user_id),
        session: Some(&session.id),
        by: None,
        ip: reuse.ip,
    };
    events::insert(db, event).await
}

/// Sends the results of the requests whose session was written, and returns the requests to be repeated.
fn answer(judged: Vec<(Job, Rotation)>, fates: &Fates) -> Vec<Job> {
    let mut again = Vec::new();
    for (job, rotation) in judged {
        match fates.get(&job.presented.session) {
            None => job.answer(Ok(rotation)),
            Some(Fate::Outrun) => again.push(job),
            Some(Fate::Failed(error)) => job.answer(Err(error.clone())),
        }
    }
    again
}
