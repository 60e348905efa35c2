//! A copy in the memory of the process, for the single server on a SQLite file. It follows SQL, so that
//! revocations by the command line take effect too.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::revocation_feed::RevocationFeed;
use super::trust::PROPAGATION_DELAY;
use super::{DenylistHealth, unavailable};
use crate::error::error_chain;
use crate::store::{Store, StoreError};
use latchet_guard::clock::{Clock, Time};
use latchet_guard::denylist::demand::Demand;
use latchet_guard::denylist::memory::MemoryDenylist;
use latchet_guard::denylist::redis::LEASE;
use latchet_guard::denylist::{Denial, Denylist, DenylistUnavailable, TokenIds, TokenStatus};

/// Interval of reads from SQL.
const READ_EVERY: Duration = Duration::from_millis(100);
/// The same while no check asks for the copy, which is not used then: it is kept from falling far behind.
const READ_EVERY_WHEN_IDLE: Duration = Duration::from_secs(5);

/// Uses the copy in memory while it has followed SQL within one lease, else SQL.
#[derive(Debug)]
pub(super) struct ReplicatedMemoryDenylist {
    store: Store,
    clock: Clock,
    copy: MemoryDenylist,
    feed: Mutex<RevocationFeed>,
    started: Instant,
    /// Time up to which the copy follows SQL, in milliseconds since `started`; [`NEVER`] before the first
    /// read.
    replicated_until: AtomicU64,
    demand: Demand,
    /// True if this process serves the checks, instead of another process that follows SQL.
    is_server: AtomicBool,
}

const NEVER: u64 = u64::MAX;

impl ReplicatedMemoryDenylist {
    pub(super) fn new(store: Store, clock: Clock) -> Self {
        Self {
            store,
            clock,
            copy: MemoryDenylist::new(),
            feed: Mutex::new(RevocationFeed::for_sqlite()),
            started: Instant::now(),
            replicated_until: AtomicU64::new(NEVER),
            demand: Demand::default(),
            is_server: AtomicBool::new(false),
        }
    }

    pub(super) fn mark_as_server(&self) {
        self.is_server.store(true, Ordering::Relaxed);
    }

    /// Follows SQL without end.
    pub(super) async fn keep_replicating(&self) {
        let mut is_failing = false;
        loop {
            match self.replicate().await {
                Err(error) if !is_failing => {
                    is_failing = true;
                    tracing::warn!(
                        error = error_chain(&error).join(": "),
                        "the denylist cannot follow the database; checks use the database directly"
                    );
                }
                Ok(()) if is_failing => {
                    is_failing = false;
                    tracing::info!("the denylist follows the database again");
                }
                Ok(()) | Err(_) => {}
            }
            self.demand.wait(READ_EVERY, READ_EVERY_WHEN_IDLE).await;
        }
    }

    async fn replicate(&self) -> Result<(), StoreError> {
        let mut feed = self.feed.lock().await;
        loop {
            let now = self.clock.now();
            let page = feed.next_page(&self.store, now).await?;
            for denial in &page.denials {
                self.copy.insert(denial, now);
            }
            if let Some(began) = feed.acknowledge(page) {
                let until_millis = began.saturating_duration_since(self.started).as_millis();
                self.replicated_until.store(
                    u64::try_from(until_millis).unwrap_or(u64::MAX),
                    Ordering::Release,
                );
                return Ok(());
            }
        }
    }

    fn is_current(&self) -> bool {
        self.was_read_within(LEASE)
    }

    fn was_read_within(&self, limit: Duration) -> bool {
        let until_millis = self.replicated_until.load(Ordering::Acquire);
        until_millis != NEVER
            && self
                .started
                .elapsed()
                .saturating_sub(Duration::from_millis(until_millis))
                <= limit
    }

    pub(super) fn health(&self) -> DenylistHealth {
        // An idle copy is read less often: the next check reads the database, and wakes it.
        let limit = if self.demand.is_idle() {
            READ_EVERY_WHEN_IDLE + LEASE
        } else {
            LEASE
        };
        if self.was_read_within(limit) {
            DenylistHealth::Healthy
        } else {
            DenylistHealth::UsingSql("the copy in memory does not follow the database".to_owned())
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
impl Denylist for ReplicatedMemoryDenylist {
    async fn check(
        &self,
        ids: TokenIds<'_>,
        now: Time,
    ) -> Result<TokenStatus, DenylistUnavailable> {
        self.demand.record();
        match status_in_copy(|| self.is_current(), || self.copy.status(ids, now)) {
            Some(status) => Ok(status),
            None => self.store.token_status(ids).await.map_err(unavailable),
        }
    }

    async fn deny(&self, denials: &[Denial], now: Time) -> Result<(), DenylistUnavailable> {
        self.copy.deny(denials, now).await?;
        if !self.is_server.load(Ordering::Relaxed) {
            tokio::time::sleep(PROPAGATION_DELAY).await;
        }
        Ok(())
    }
}
