//! A copy in the memory of the process, for the single server on a SQLite file. It follows SQL, so that
//! revocations by the command line take effect too.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::tail::Tail;
use super::trust::NOTICED;
use super::{Health, unavailable};
use crate::clock::{Clock, Time};
use crate::denylist::memory::MemoryDenylist;
use crate::denylist::redis::LEASE;
use crate::denylist::{Denial, Denylist, TokenIds, TokenStatus, Unavailable};
use crate::server::error::causes;
use crate::server::store::{Store, StoreError};

/// Interval of reads from SQL.
const EVERY: Duration = Duration::from_millis(100);

/// Uses the copy in memory while it has followed SQL within one lease, else SQL.
#[derive(Debug)]
pub(super) struct FollowingDenylist {
    store: Store,
    clock: Clock,
    copy: MemoryDenylist,
    tail: Mutex<Tail>,
    born: Instant,
    /// Time up to which the copy follows SQL, in milliseconds since `born`; [`NEVER`] before the first
    /// read.
    followed_until: AtomicU64,
    /// True if this process serves the checks, instead of another process that follows SQL.
    serves: AtomicBool,
}

const NEVER: u64 = u64::MAX;

impl FollowingDenylist {
    pub(super) fn new(store: Store, clock: Clock) -> Self {
        Self {
            store,
            clock,
            copy: MemoryDenylist::new(),
            tail: Mutex::new(Tail::of_sqlite()),
            born: Instant::now(),
            followed_until: AtomicU64::new(NEVER),
            serves: AtomicBool::new(false),
        }
    }

    pub(super) fn serve(&self) {
        self.serves.store(true, Ordering::Relaxed);
    }

    /// Follows SQL without end.
    pub(super) async fn keep_following(&self) {
        let mut failed = false;
        loop {
            match self.follow().await {
                Err(error) if !failed => {
                    failed = true;
                    tracing::warn!(
                        error = causes(&error).join(": "),
                        "the denylist cannot follow the database; checks use the database directly"
                    );
                }
                Ok(()) if failed => {
                    failed = false;
                    tracing::info!("the denylist follows the database again");
                }
                Ok(()) | Err(_) => {}
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn follow(&self) -> Result<(), StoreError> {
        let mut tail = self.tail.lock().await;
        loop {
            let now = self.clock.now();
            let unread = tail.read(&self.store, now).await?;
            for denial in &unread.denials {
                self.copy.insert(denial, now);
            }
            if let Some(began) = tail.take(unread) {
                let until = began.saturating_duration_since(self.born).as_millis();
                self.followed_until
                    .store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Release);
                return Ok(());
            }
        }
    }

    fn is_current(&self) -> bool {
        let until = self.followed_until.load(Ordering::Acquire);
        until != NEVER
            && self
                .born
                .elapsed()
                .saturating_sub(Duration::from_millis(until))
                <= LEASE
    }

    pub(super) fn health(&self) -> Health {
        if self.is_current() {
            Health::Good
        } else {
            Health::AskingSql("the copy in memory does not follow the database".to_owned())
        }
    }
}

/// Returns the status of a token in the copy; `None` where SQL has to say. In this order: a copy that becomes
/// current after it was read says nothing about what was read.
pub(super) fn status_in_copy(
    is_current: impl FnOnce() -> bool,
    read: impl FnOnce() -> TokenStatus,
) -> Option<TokenStatus> {
    let is_current = is_current();
    let status = read();
    (status != TokenStatus::NotDenied || is_current).then_some(status)
}

#[async_trait]
impl Denylist for FollowingDenylist {
    async fn check(&self, ids: TokenIds<'_>, now: Time) -> Result<TokenStatus, Unavailable> {
        match status_in_copy(|| self.is_current(), || self.copy.status(ids, now)) {
            Some(status) => Ok(status),
            None => self.store.token_status(ids).await.map_err(unavailable),
        }
    }

    async fn deny(&self, denials: &[Denial], now: Time) -> Result<(), Unavailable> {
        self.copy.deny(denials, now).await?;
        if !self.serves.load(Ordering::Relaxed) {
            tokio::time::sleep(NOTICED).await;
        }
        Ok(())
    }
}
