//! Denylist without a copy: every check is one indexed read from SQL.
//!
//! Other processes on the database may have a copy in Redis, which this one cannot reach: this one may
//! be the command line without `REDIS_URL`, or a replica with other settings.

use std::time::Duration;

use async_trait::async_trait;

use super::trust::PROPAGATION_DELAY;
use super::{epoch_without_copy, unavailable};
use crate::store::{Store, StoreError};
use latchet_guard::clock::{Clock, Time};
use latchet_guard::denylist::{Denial, Denylist, DenylistUnavailable, TokenIds, TokenStatus};

/// An epoch that ended longer ago is known to every process, even with clock differences.
const KNOWN_EVERYWHERE: Duration = Duration::from_mins(2);

/// Uses SQL for every check.
#[derive(Debug)]
pub(super) struct SqlDenylist {
    store: Store,
    clock: Clock,
}

impl SqlDenylist {
    pub(super) fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// Ends the trust of other processes in a copy in Redis, and waits until it takes effect. Returns
    /// immediately if no process has such a copy.
    async fn distrust_copies(&self) -> Result<(), StoreError> {
        let current = self.store.epoch().await?;
        let now = self.clock.now();
        if current.run_id.is_empty() {
            let ago = now
                .since(current.changed_at)
                .max(current.changed_at.since(now));
            if !current.epoch.is_empty() && ago < KNOWN_EVERYWHERE {
                tokio::time::sleep(PROPAGATION_DELAY).await;
            }
            return Ok(());
        }
        self.store.begin_epoch(&epoch_without_copy(now)).await?;
        tokio::time::sleep(PROPAGATION_DELAY).await;
        Ok(())
    }
}

#[async_trait]
impl Denylist for SqlDenylist {
    async fn check(
        &self,
        ids: TokenIds<'_>,
        _now: Time,
    ) -> Result<TokenStatus, DenylistUnavailable> {
        self.store.token_status(ids).await.map_err(unavailable)
    }

    /// The caller has committed the revocation, and every check here reads it.
    async fn deny(&self, denials: &[Denial], _now: Time) -> Result<(), DenylistUnavailable> {
        if denials.is_empty() {
            return Ok(());
        }
        self.distrust_copies().await.map_err(unavailable)
    }
}
