//! Denylist with a copy in Redis, used while it can be trusted; SQL otherwise.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::trust::{DistrustReason, PROPAGATION_DELAY, SqlAuthority};
use super::{DenylistHealth, unavailable};
use crate::error::error_chain;
use crate::store::{DenylistEpoch, Store, StoreError};
use latchet_guard::clock::{Clock, Time};
use latchet_guard::denylist::redis::{
    EpochRecord, InspectedConnection, LEASE, RedisHandle, RedisUrl, WriteOutcome, new_epoch,
};
use latchet_guard::denylist::{Denial, Denylist, DenylistUnavailable, TokenIds, TokenStatus};

/// A slower read of the epoch is useless: the lease has expired when it completes.
const EPOCH_READ_DEADLINE: Duration = LEASE;

/// Uses Redis while it can be trusted, else SQL.
#[derive(Debug)]
pub(super) struct RedisDenylist {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) handle: RedisHandle<SqlAuthority>,
    /// True if background tasks keep the connection and the epoch record current.
    has_background_tasks: AtomicBool,
    /// Newest known epoch, and the time since which it is known.
    newest_epoch: Mutex<(String, Instant)>,
    /// Held while an epoch is ended, so that a hundred concurrent logouts end one epoch and not a
    /// hundred.
    ending_epoch: tokio::sync::Mutex<()>,
}

impl RedisDenylist {
    pub(super) fn new(target: RedisUrl, store: Store, clock: Clock) -> Self {
        Self {
            store,
            handle: RedisHandle::new(target, clock.clone(), SqlAuthority::default()),
            clock,
            has_background_tasks: AtomicBool::new(false),
            newest_epoch: Mutex::new((String::new(), Instant::now())),
            ending_epoch: tokio::sync::Mutex::new(()),
        }
    }

    pub(super) fn mark_as_server(&self) {
        self.has_background_tasks.store(true, Ordering::Relaxed);
    }

    pub(super) fn epoch_record(&self) -> Option<Arc<EpochRecord>> {
        self.handle.authority().known()
    }

    pub(super) fn health(&self) -> DenylistHealth {
        let now = self.handle.now();
        match self.handle.distrust() {
            None => DenylistHealth::Healthy,
            Some(_)
                if !self
                    .epoch_record()
                    .is_some_and(|epoch_record| epoch_record.is_current(now)) =>
            {
                DenylistHealth::Unavailable
            }
            Some(distrust) => DenylistHealth::UsingSql(DistrustReason(&distrust).to_string()),
        }
    }

    /// Reads from SQL which backfill may be trusted.
    pub(super) async fn read_epoch_record(&self) -> Result<Arc<EpochRecord>, StoreError> {
        let requested_at = self.handle.now();
        let row = tokio::time::timeout(EPOCH_READ_DEADLINE, self.store.epoch())
            .await
            .unwrap_or(Err(StoreError::Unavailable(None)))?;
        self.note_epoch(&row.epoch);
        let epoch_record = Arc::new(EpochRecord {
            epoch: row.epoch,
            backfilled_server: row.run_id,
            requested_at,
        });
        self.handle.authority().keep_newer(&epoch_record);
        Ok(epoch_record)
    }

    /// Begins an epoch for which only the server `backfilled_server` can be backfilled; no process trusts an
    /// earlier epoch after [`PROPAGATION_DELAY`].
    pub(super) async fn begin_epoch(&self, backfilled_server: &str) -> Result<String, StoreError> {
        let epoch = new_epoch(backfilled_server);
        self.store
            .begin_epoch(&DenylistEpoch {
                epoch: epoch.clone(),
                run_id: backfilled_server.to_owned(),
                changed_at: self.clock.now(),
            })
            .await?;
        self.note_epoch(&epoch);
        Ok(epoch)
    }

    fn note_epoch(&self, epoch: &str) {
        let mut newest_epoch = self
            .newest_epoch
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if newest_epoch.0 != epoch {
            *newest_epoch = (epoch.to_owned(), Instant::now());
        }
    }

    /// Waits until every process knows `epoch` or a later one. Returns immediately for an epoch that has
    /// been known here for long enough.
    async fn wait_for_propagation(&self, epoch: &str) {
        let since = {
            let newest_epoch = self
                .newest_epoch
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if newest_epoch.0 == epoch {
                newest_epoch.1
            } else {
                Instant::now()
            }
        };
        tokio::time::sleep(PROPAGATION_DELAY.saturating_sub(since.elapsed())).await;
    }

    /// Returns a connection to a server that may accept denials, if there is one. A process without
    /// background tasks connects here.
    async fn connection_for_denials(&self) -> Option<Arc<InspectedConnection>> {
        let inspected = match self.handle.current() {
            Some(inspected) if inspected.server_status.is_current(self.handle.now()) => {
                Some(inspected)
            }
            Some(inspected) => self.handle.reinspect(&inspected).await.ok(),
            None if !self.has_background_tasks.load(Ordering::Relaxed) => {
                self.handle.connect().await.ok()
            }
            None => None,
        };
        inspected.filter(|inspected| inspected.server_status.fault().is_none())
    }

    /// Writes the denials into the copy. Returns whether every check sees them then.
    async fn deny_in_copy(&self, denials: &[Denial], epoch_record: &EpochRecord) -> bool {
        let Some(inspected) = self.connection_for_denials().await else {
            return false;
        };
        if !epoch_record.names_server(&inspected.server_status) {
            return false;
        }
        match inspected
            .connection
            .write_denials(denials, &epoch_record.epoch)
            .await
        {
            Ok(WriteOutcome::InEpoch) => true,
            // The backfill of this epoch has not begun: it will read the denials from SQL. It remains to
            // wait until no process trusts the previous epoch.
            Ok(WriteOutcome::OutsideEpoch) => {
                self.wait_for_propagation(&epoch_record.epoch).await;
                true
            }
            Err(error) => {
                tracing::warn!(
                    error = error_chain(&error).join(": "),
                    "Redis did not accept a denial; it is not trusted until it is backfilled again"
                );
                self.handle.drop_connection(&inspected);
                false
            }
        }
    }

    /// Makes every process use SQL, where the denials are committed, until Redis is backfilled again.
    async fn deny_by_distrust(&self) -> Result<(), StoreError> {
        let epoch = self.end_epoch().await?;
        self.wait_for_propagation(&epoch).await;
        Ok(())
    }

    /// Returns an epoch for which no copy is or will be complete.
    async fn end_epoch(&self) -> Result<String, StoreError> {
        let _one_at_a_time = self.ending_epoch.lock().await;
        let epoch_record = self.read_epoch_record().await?;
        if epoch_record.backfilled_server.is_empty() {
            // No copy is backfilled or being backfilled: a later backfill will read the denials from
            // SQL.
            return Ok(epoch_record.epoch.clone());
        }
        self.begin_epoch("").await
    }
}

#[async_trait]
impl Denylist for RedisDenylist {
    async fn check(
        &self,
        ids: TokenIds<'_>,
        now: Time,
    ) -> Result<TokenStatus, DenylistUnavailable> {
        if let Ok(status) = self.handle.status(ids, now).await {
            return Ok(status);
        }
        self.store.token_status(ids).await.map_err(unavailable)
    }

    async fn deny(&self, denials: &[Denial], _now: Time) -> Result<(), DenylistUnavailable> {
        if denials.is_empty() {
            return Ok(());
        }
        let epoch_record = match self.epoch_record() {
            Some(epoch_record) if epoch_record.is_current(self.handle.now()) => epoch_record,
            _ => self.read_epoch_record().await.map_err(unavailable)?,
        };
        if self.deny_in_copy(denials, &epoch_record).await {
            return Ok(());
        }
        self.deny_by_distrust().await.map_err(unavailable)
    }
}
