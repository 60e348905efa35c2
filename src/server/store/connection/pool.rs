//! Pool of connections to PostgreSQL.
//!
//! A custom pool, because it must keep working when the server refuses further connections: a server may have
//! few connections left for a role, or none for a while. A connection that is returned goes to the request that
//! has waited longest; refreshes and the epoch of the denylist come first.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sea_orm::sqlx::Error;
use sea_orm::sqlx::postgres::PgConnection;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::leased::Leased;
use super::postgres::{Connector, Route, is_exhausted, is_starting};
use super::{ACQUIRE, RETRY_EVERY};

/// Most reserved connections: one of every four is for refreshes and the epoch alone, up to this many.
const MOST_RESERVED: usize = 4;

/// Time for which a pool opens no further connections after the server refused one.
const GROWS_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A connection that was idle for longer is tested before use; a busy one costs no extra round trip.
const TRIED_AFTER: Duration = Duration::from_secs(1);

/// A connection that was idle for longer is closed, so that other clients can use it.
const CLOSED_AFTER: Duration = Duration::from_mins(1);

/// A connection that is older is closed: the name of the server may resolve to another one by now.
const OLDEST: Duration = Duration::from_mins(30);

/// Class of work that waits for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server::store) enum Lane {
    /// All other work.
    General,
    /// Refreshes and the epoch of the denylist: late refreshes log users out, and without the epoch every check
    /// queries SQL.
    Reserved,
}

/// The pool. Clones share it.
#[derive(Clone, Debug)]
pub(in crate::server::store) struct Pool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    connector: Connector,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Most recently used last.
    resting: Vec<Resting>,
    /// Number of connections that are idle, in use or being opened.
    open: usize,
    /// Number of those that [`Lane::General`] uses.
    general: usize,
    /// Most connections that may be open.
    most: usize,
    /// Time until which no more connections are opened, because the server refused one.
    full_until: Option<Instant>,
    waiting: [VecDeque<oneshot::Sender<Slot>>; 2],
}

/// An open connection on which no statement is running.
#[derive(Debug)]
pub(super) struct Resting {
    pub(super) connection: PgConnection,
    pub(super) opened: Instant,
    since: Instant,
}

impl Resting {
    pub(super) fn new(connection: PgConnection, opened: Instant) -> Self {
        let since = Instant::now();
        Self {
            connection,
            opened,
            since,
        }
    }
}

/// A slot of the pool, with its connection if one is open. When dropped, it goes to the next waiting request.
#[derive(Debug)]
pub(super) struct Slot {
    pool: Pool,
    lane: Lane,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// A connection must be opened.
    Vacant,
    Connection(Resting),
    /// The connection was moved out.
    Gone,
}

impl Pool {
    pub(super) fn new(connector: Connector, most: NonZeroU32) -> Self {
        Self(Arc::new(Shared {
            connector,
            state: Mutex::new(State {
                resting: Vec::new(),
                open: 0,
                general: 0,
                most: usize::try_from(most.get()).unwrap_or(usize::MAX),
                full_until: None,
                waiting: [VecDeque::new(), VecDeque::new()],
            }),
        }))
    }

    pub(in crate::server::store) fn route(&self) -> Route {
        self.0.connector.route()
    }

    /// Returns a connection, or the error for which none was available in time.
    pub(in crate::server::store) async fn acquire(&self, lane: Lane) -> Result<Leased, Error> {
        let deadline = Instant::now() + ACQUIRE;
        let mut refusal = None;
        loop {
            let attempt = async {
                let slot = self.slot(lane).await?;
                self.usable(slot).await
            };
            let failure = match tokio::time::timeout_at(deadline, attempt).await {
                Ok(Ok(leased)) => return Ok(leased),
                Ok(Err(error)) => error,
                Err(_) => return Err(refusal.unwrap_or(Error::PoolTimedOut)),
            };
            if !is_exhausted(&failure) && !is_starting(&failure) {
                return Err(failure);
            }
            refusal = Some(failure);
            // The next attempt may get a connection that is returned; without a pause this would spin.
            tokio::time::sleep(RETRY_EVERY).await;
        }
    }

    async fn slot(&self, lane: Lane) -> Result<Slot, Error> {
        let wait = {
            let mut state = self.state();
            if let Some(content) = state.take(lane) {
                return Ok(self.filled(lane, content));
            }
            let (sender, wait) = oneshot::channel();
            state.waiting[queue(lane)].push_back(sender);
            wait
        };
        // The pool lives longer than this request, which holds a reference to it.
        wait.await.map_err(|_| Error::PoolClosed)
    }

    fn filled(&self, lane: Lane, content: Content) -> Slot {
        Slot {
            pool: self.clone(),
            lane,
            content,
        }
    }

    async fn usable(&self, mut slot: Slot) -> Result<Leased, Error> {
        use sea_orm::sqlx::Connection;
        if let Content::Connection(mut resting) = slot.take()
            && (resting.since.elapsed() < TRIED_AFTER || resting.connection.ping().await.is_ok())
        {
            return Ok(Leased::new(slot, resting));
        }
        match self.0.connector.connect().await {
            Ok(connection) => Ok(Leased::new(slot, Resting::new(connection, Instant::now()))),
            Err(error) => {
                if is_exhausted(&error) {
                    self.note_full(&error);
                }
                Err(error)
            }
        }
    }

    /// Closes the idle connections, so that other clients can use them.
    pub(super) async fn close_resting(&self) {
        use sea_orm::sqlx::Connection;
        let resting = {
            let mut state = self.state();
            state.open -= state.resting.len();
            std::mem::take(&mut state.resting)
        };
        for resting in resting {
            // An error on closing is of no interest.
            let _ = resting.connection.close().await;
        }
    }

    /// Returns whether no connection is in use.
    #[cfg(test)]
    pub(in crate::server::store) fn is_at_rest(&self) -> bool {
        let state = self.state();
        state.open == state.resting.len()
    }

    fn note_full(&self, error: &Error) {
        let mut state = self.state();
        let now = Instant::now();
        let is_news = state
            .full_until
            .is_none_or(|until| until + GROWS_AGAIN_AFTER < now);
        state.full_until = Some(now + GROWS_AGAIN_AFTER);
        let open = state.open.saturating_sub(1);
        drop(state);
        if is_news {
            tracing::warn!(
                %error,
                open,
                "database refused a new connection; requests share the open ones"
            );
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives free slots to waiting requests.
    fn serve_waiting(&self, mut state: MutexGuard<'_, State>) {
        let mut granted = Vec::new();
        for lane in [Lane::Reserved, Lane::General] {
            while state.has_waiting(lane) {
                let Some(content) = state.take(lane) else {
                    break;
                };
                if let Some(sender) = state.waiting[queue(lane)].pop_front() {
                    granted.push((sender, self.filled(lane, content)));
                }
            }
        }
        drop(state);
        for (sender, slot) in granted {
            // If the request gave up meanwhile, the slot is dropped and returned to the pool.
            let _ = sender.send(slot);
        }
    }

    fn give_back(&self, lane: Lane, content: Content) {
        let mut state = self.state();
        if lane == Lane::General {
            state.general -= 1;
        }
        let now = Instant::now();
        match content {
            Content::Connection(resting) if now - resting.opened < OLDEST => {
                state.resting.push(resting);
            }
            _ => state.open -= 1,
        }
        // The longest unused is first.
        let old = state
            .resting
            .first()
            .is_some_and(|resting| now - resting.since > CLOSED_AFTER);
        let closed = (old && state.resting.len() > 1).then(|| state.resting.remove(0));
        state.open -= usize::from(closed.is_some());
        self.serve_waiting(state);
        drop(closed);
    }
}

impl State {
    /// Takes an idle connection or the right to open one.
    fn take(&mut self, lane: Lane) -> Option<Content> {
        if lane == Lane::General && self.general >= self.general_limit() {
            return None;
        }
        let content = match self.resting.pop() {
            Some(resting) => Content::Connection(resting),
            None if self.may_grow() => {
                self.open += 1;
                Content::Vacant
            }
            None => return None,
        };
        self.general += usize::from(lane == Lane::General);
        Some(content)
    }

    fn may_grow(&self) -> bool {
        let is_full = self.full_until.is_some_and(|until| Instant::now() < until);
        // With no open connection, none would ever be returned.
        self.open < self.most && (!is_full || self.open == 0)
    }

    /// Returns the number of connections that [`Lane::General`] may use.
    fn general_limit(&self) -> usize {
        let is_full = self.full_until.is_some_and(|until| Instant::now() < until);
        let available = if is_full { self.open.max(1) } else { self.most };
        available - (available / 4).min(MOST_RESERVED)
    }

    fn has_waiting(&mut self, lane: Lane) -> bool {
        let waiting = &mut self.waiting[queue(lane)];
        while waiting.front().is_some_and(oneshot::Sender::is_closed) {
            waiting.pop_front();
        }
        !waiting.is_empty()
    }
}

fn queue(lane: Lane) -> usize {
    match lane {
        Lane::General => 0,
        Lane::Reserved => 1,
    }
}

impl Slot {
    fn take(&mut self) -> Content {
        std::mem::replace(&mut self.content, Content::Gone)
    }

    pub(super) fn route(&self) -> Route {
        self.pool.route()
    }

    /// Returns an idle connection to the pool.
    pub(super) fn fill(mut self, connection: Resting) {
        self.content = Content::Connection(connection);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let content = self.take();
        self.pool.give_back(self.lane, content);
    }
}
