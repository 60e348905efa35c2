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

use super::pooled::PooledConnection;
use super::postgres::{ConnectionRoute, PostgresConnector, is_exhausted, is_starting};
use super::{ACQUIRE_TIMEOUT, PoolStatus, RETRY_INTERVAL};

/// Most reserved connections: one of every four is for refreshes and the epoch alone, up to this many.
const MAX_RESERVED: usize = 4;

/// Time for which a pool opens no further connections after the server refused one.
const GROWTH_PAUSE: Duration = Duration::from_secs(1);

/// A connection that was idle for longer is tested before use; a busy one costs no extra round trip.
const TEST_AFTER_IDLE: Duration = Duration::from_secs(1);

/// A connection that was idle for longer is closed, so that other clients can use it.
const MAX_IDLE: Duration = Duration::from_mins(1);

/// A connection that is older is closed: the name of the server may resolve to another one by now.
const MAX_AGE: Duration = Duration::from_mins(30);

/// Class of work that waits for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum ConnectionClass {
    /// All other work.
    General,
    /// Refreshes and the epoch of the denylist: late refreshes log users out, and without the epoch every check
    /// queries SQL.
    Reserved,
}

/// The pool. Clones share it.
#[derive(Clone, Debug)]
pub(in crate::store) struct PostgresPool(Arc<PoolShared>);

#[derive(Debug)]
struct PoolShared {
    connector: PostgresConnector,
    state: Mutex<PoolState>,
}

#[derive(Debug)]
struct PoolState {
    /// Most recently used last.
    idle: Vec<IdleConnection>,
    /// Number of connections that are idle, in use or being opened.
    open_count: usize,
    /// Number of those that [`ConnectionClass::General`] uses.
    general_count: usize,
    /// Most connections that may be open.
    max_open: usize,
    /// Time until which no more connections are opened, because the server refused one.
    growth_paused_until: Option<Instant>,
    waiting: [VecDeque<oneshot::Sender<PoolSlot>>; 2],
}

/// An open connection on which no statement is running.
#[derive(Debug)]
pub(super) struct IdleConnection {
    pub(super) connection: PgConnection,
    pub(super) opened: Instant,
    idle_since: Instant,
}

impl IdleConnection {
    pub(super) fn new(connection: PgConnection, opened: Instant) -> Self {
        let idle_since = Instant::now();
        Self {
            connection,
            opened,
            idle_since,
        }
    }
}

/// A slot of the pool, with its connection if one is open. When dropped, it goes to the next waiting request.
#[derive(Debug)]
pub(super) struct PoolSlot {
    pool: PostgresPool,
    class: ConnectionClass,
    content: SlotContent,
}

#[derive(Debug)]
enum SlotContent {
    /// A connection must be opened.
    NotOpened,
    Idle(IdleConnection),
    /// The connection was moved out.
    Taken,
}

impl PostgresPool {
    pub(super) fn new(connector: PostgresConnector, max_open: NonZeroU32) -> Self {
        Self(Arc::new(PoolShared {
            connector,
            state: Mutex::new(PoolState {
                idle: Vec::new(),
                open_count: 0,
                general_count: 0,
                max_open: usize::try_from(max_open.get()).unwrap_or(usize::MAX),
                growth_paused_until: None,
                waiting: [VecDeque::new(), VecDeque::new()],
            }),
        }))
    }

    pub(in crate::store) fn route(&self) -> ConnectionRoute {
        self.0.connector.route()
    }

    /// Returns a connection, or the error for which none was available in time.
    pub(in crate::store) async fn acquire(
        &self,
        class: ConnectionClass,
    ) -> Result<PooledConnection, Error> {
        let deadline = Instant::now() + ACQUIRE_TIMEOUT;
        let mut last_refusal = None;
        loop {
            let attempt = async {
                let slot = self.wait_for_slot(class).await?;
                self.open_or_test(slot).await
            };
            let failure = match tokio::time::timeout_at(deadline, attempt).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => error,
                Err(_) => return Err(last_refusal.unwrap_or(Error::PoolTimedOut)),
            };
            if !is_exhausted(&failure) && !is_starting(&failure) {
                return Err(failure);
            }
            last_refusal = Some(failure);
            // The next attempt may get a connection that is returned; without a pause this would spin.
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }

    async fn wait_for_slot(&self, class: ConnectionClass) -> Result<PoolSlot, Error> {
        let wait = {
            let mut state = self.state();
            if let Some(content) = state.take(class) {
                return Ok(self.new_slot(class, content));
            }
            let (sender, wait) = oneshot::channel();
            state.waiting[queue_index(class)].push_back(sender);
            wait
        };
        // The pool lives longer than this request, which holds a reference to it.
        wait.await.map_err(|_| Error::PoolClosed)
    }

    fn new_slot(&self, class: ConnectionClass, content: SlotContent) -> PoolSlot {
        PoolSlot {
            pool: self.clone(),
            class,
            content,
        }
    }

    async fn open_or_test(&self, mut slot: PoolSlot) -> Result<PooledConnection, Error> {
        use sea_orm::sqlx::Connection;
        if let SlotContent::Idle(mut idle) = slot.take()
            && (idle.idle_since.elapsed() < TEST_AFTER_IDLE || idle.connection.ping().await.is_ok())
        {
            return Ok(PooledConnection::new(slot, idle));
        }
        match self.0.connector.connect().await {
            Ok(connection) => Ok(PooledConnection::new(
                slot,
                IdleConnection::new(connection, Instant::now()),
            )),
            Err(error) => {
                if is_exhausted(&error) {
                    self.pause_growth(&error);
                }
                Err(error)
            }
        }
    }

    /// Closes the idle connections, so that other clients can use them.
    pub(in crate::store) async fn close_idle(&self) {
        use sea_orm::sqlx::Connection;
        let idle = {
            let mut state = self.state();
            state.open_count -= state.idle.len();
            std::mem::take(&mut state.idle)
        };
        for idle in idle {
            // An error on closing is of no interest.
            let _ = idle.connection.close().await;
        }
    }

    /// Returns the use of the pool at this moment. A connection that is being opened is in use.
    pub(super) fn status(&self) -> PoolStatus {
        let state = self.state();
        let waiting = state.waiting.iter().flatten();
        PoolStatus {
            pool: "shared",
            in_use: state.open_count - state.idle.len(),
            idle: state.idle.len(),
            max: state.max_open,
            waiting: Some(waiting.filter(|request| !request.is_closed()).count()),
        }
    }

    /// Returns whether no connection is in use.
    #[cfg(test)]
    pub(in crate::store) fn is_idle(&self) -> bool {
        let state = self.state();
        state.open_count == state.idle.len()
    }

    fn pause_growth(&self, error: &Error) {
        let mut state = self.state();
        let now = Instant::now();
        let is_first_refusal = state
            .growth_paused_until
            .is_none_or(|until| until + GROWTH_PAUSE < now);
        state.growth_paused_until = Some(now + GROWTH_PAUSE);
        let open_count = state.open_count.saturating_sub(1);
        drop(state);
        if is_first_refusal {
            tracing::warn!(
                %error,
                open = open_count,
                "database refused a new connection; requests share the open ones"
            );
        }
    }

    fn state(&self) -> MutexGuard<'_, PoolState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives free slots to waiting requests.
    fn assign_free_slots(&self, mut state: MutexGuard<'_, PoolState>) {
        let mut granted = Vec::new();
        for class in [ConnectionClass::Reserved, ConnectionClass::General] {
            while state.has_waiting(class) {
                let Some(content) = state.take(class) else {
                    break;
                };
                if let Some(sender) = state.waiting[queue_index(class)].pop_front() {
                    granted.push((sender, self.new_slot(class, content)));
                }
            }
        }
        drop(state);
        for (sender, slot) in granted {
            // If the request gave up meanwhile, the slot is dropped and returned to the pool.
            let _ = sender.send(slot);
        }
    }

    fn release(&self, class: ConnectionClass, content: SlotContent) {
        let mut state = self.state();
        if class == ConnectionClass::General {
            state.general_count -= 1;
        }
        let now = Instant::now();
        match content {
            SlotContent::Idle(idle) if now - idle.opened < MAX_AGE => {
                state.idle.push(idle);
            }
            _ => state.open_count -= 1,
        }
        // The longest unused is first.
        let is_idle_too_long = state
            .idle
            .first()
            .is_some_and(|idle| now - idle.idle_since > MAX_IDLE);
        let closed = (is_idle_too_long && state.idle.len() > 1).then(|| state.idle.remove(0));
        state.open_count -= usize::from(closed.is_some());
        self.assign_free_slots(state);
        drop(closed);
    }
}

impl PoolState {
    /// Takes an idle connection or the right to open one.
    fn take(&mut self, class: ConnectionClass) -> Option<SlotContent> {
        if class == ConnectionClass::General && self.general_count >= self.general_limit() {
            return None;
        }
        let content = match self.idle.pop() {
            Some(idle) => SlotContent::Idle(idle),
            None if self.may_open_more() => {
                self.open_count += 1;
                SlotContent::NotOpened
            }
            None => return None,
        };
        self.general_count += usize::from(class == ConnectionClass::General);
        Some(content)
    }

    fn may_open_more(&self) -> bool {
        let is_growth_paused = self
            .growth_paused_until
            .is_some_and(|until| Instant::now() < until);
        // With no open connection, none would ever be returned.
        self.open_count < self.max_open && (!is_growth_paused || self.open_count == 0)
    }

    /// Returns the number of connections that [`ConnectionClass::General`] may use.
    fn general_limit(&self) -> usize {
        let is_growth_paused = self
            .growth_paused_until
            .is_some_and(|until| Instant::now() < until);
        let available = if is_growth_paused {
            self.open_count.max(1)
        } else {
            self.max_open
        };
        available - (available / 4).min(MAX_RESERVED)
    }

    fn has_waiting(&mut self, class: ConnectionClass) -> bool {
        let waiting = &mut self.waiting[queue_index(class)];
        while waiting.front().is_some_and(oneshot::Sender::is_closed) {
            waiting.pop_front();
        }
        !waiting.is_empty()
    }
}

fn queue_index(class: ConnectionClass) -> usize {
    match class {
        ConnectionClass::General => 0,
        ConnectionClass::Reserved => 1,
    }
}

impl PoolSlot {
    fn take(&mut self) -> SlotContent {
        std::mem::replace(&mut self.content, SlotContent::Taken)
    }

    pub(super) fn route(&self) -> ConnectionRoute {
        self.pool.route()
    }

    /// Returns an idle connection to the pool.
    pub(super) fn release_connection(mut self, connection: IdleConnection) {
        self.content = SlotContent::Idle(connection);
    }
}

impl Drop for PoolSlot {
    fn drop(&mut self) {
        let content = self.take();
        self.pool.release(self.class, content);
    }
}
