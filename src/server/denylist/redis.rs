//! Denylist with a copy in Redis, used while it can be trusted; SQL otherwise.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;

use super::trust::{self, Doubt, NOTICED, Witness};
use super::{Health, unavailable};
use crate::clock::{Clock, Time};
use crate::denylist::redis::{Answer, LEASE, Line, Link, Moment, Target, Written, new_epoch};
use crate::denylist::{Denial, Denylist, TokenIds, TokenStatus, Unavailable};
use crate::server::error::causes;
use crate::server::store::{Epoch, Store, StoreError};

/// A slower read of the epoch is useless: the lease has expired when it completes.
const WITNESS_DEADLINE: Duration = LEASE;

/// Uses Redis while it can be trusted, else SQL.
#[derive(Debug)]
pub(super) struct RedisDenylist {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) line: Line,
    /// True if background tasks keep the connection and the epoch record current.
    serves: AtomicBool,
    witness: ArcSwapOption<Witness>,
    /// Newest known epoch, and the time since which it is known.
    seen: Mutex<(String, Instant)>,
    /// Held while an epoch is ended, so that a hundred concurrent logouts end one epoch and not a
    /// hundred.
    ending: tokio::sync::Mutex<()>,
}

impl RedisDenylist {
    pub(super) fn new(target: Target, store: Store, clock: Clock) -> Self {
        Self {
            store,
            line: Line::new(target, clock.clone()),
            clock,
            serves: AtomicBool::new(false),
            witness: ArcSwapOption::empty(),
            seen: Mutex::new((String::new(), Instant::now())),
            ending: tokio::sync::Mutex::new(()),
        }
    }

    pub(super) fn serve(&self) {
        self.serves.store(true, Ordering::Relaxed);
    }

    pub(super) fn witness(&self) -> Option<Arc<Witness>> {
        self.witness.load_full()
    }

    pub(super) fn doubt(&self) -> Option<Doubt> {
        let (link, witness) = (self.line.link(), self.witness());
        let standing = link.as_deref().map(|link| &link.standing);
        trust::doubt(witness.as_deref(), standing, self.line.moment())
    }

    pub(super) fn health(&self) -> Health {
        let now = self.line.moment();
        match self.doubt() {
            None => Health::Good,
            Some(_)
                if !self
                    .witness()
                    .is_some_and(|witness| witness.is_current(now)) =>
            {
                Health::Down
            }
            Some(doubt) => Health::AskingSql(doubt.to_string()),
        }
    }

    /// Reads from SQL which backfill may be trusted.
    pub(super) async fn read_witness(&self) -> Result<Arc<Witness>, StoreError> {
        let asked = self.line.moment();
        let row = tokio::time::timeout(WITNESS_DEADLINE, self.store.epoch())
            .await
            .unwrap_or(Err(StoreError::Unavailable(None)))?;
        self.note_epoch(&row.epoch);
        let witness = Arc::new(Witness {
            epoch: row.epoch,
            filled: row.run_id,
            asked,
        });
        self.take_witness(&witness);
        Ok(witness)
    }

    /// Of two concurrent reads, the result of the later one is newer.
    pub(super) fn take_witness(&self, witness: &Arc<Witness>) {
        self.witness.rcu(|known| match known {
            Some(known) if known.asked.instant > witness.asked.instant => Some(Arc::clone(known)),
            _ => Some(Arc::clone(witness)),
        });
    }

    /// Begins an epoch for which only the server `filled` can be backfilled; no process trusts an
    /// earlier epoch after [`NOTICED`].
    pub(super) async fn begin_epoch(&self, filled: &str) -> Result<String, StoreError> {
        let epoch = new_epoch(filled);
        self.store
            .begin_epoch(&Epoch {
                epoch: epoch.clone(),
                run_id: filled.to_owned(),
                changed_at: self.clock.now(),
            })
            .await?;
        self.note_epoch(&epoch);
        Ok(epoch)
    }

    fn note_epoch(&self, epoch: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.0 != epoch {
            *seen = (epoch.to_owned(), Instant::now());
        }
    }

    /// Waits until every process knows `epoch` or a later one. Returns immediately for an epoch that has
    /// been known here for long enough.
    async fn until_noticed(&self, epoch: &str) {
        let since = {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.0 == epoch {
                seen.1
            } else {
                Instant::now()
            }
        };
        tokio::time::sleep(NOTICED.saturating_sub(since.elapsed())).await;
    }

    /// Returns a connection to a server that may accept denials, if there is one. A process without
    /// background tasks connects here.
    async fn link_for_denials(&self) -> Option<Arc<Link>> {
        let link = match self.line.link() {
            Some(link) if link.standing.is_current(self.line.moment()) => Some(link),
            Some(link) => self.line.inspect_again(&link).await.ok(),
            None if !self.serves.load(Ordering::Relaxed) => self.line.connect().await.ok(),
            None => None,
        };
        link.filter(|link| link.standing.fault().is_none())
    }

    /// Writes the denials into the copy. Returns whether every check sees them then.
    async fn deny_in_copy(&self, denials: &[Denial], witness: &Witness) -> bool {
        let Some(link) = self.link_for_denials().await else {
            return false;
        };
        if !witness.names(&link.standing) {
            return false;
        }
        match link.connection.write(denials, &witness.epoch).await {
            Ok(Written::InEpoch) => true,
            // The backfill of this epoch has not begun: it will read the denials from SQL. It remains to
            // wait until no process trusts the previous epoch.
            Ok(Written::OutsideEpoch) => {
                self.until_noticed(&witness.epoch).await;
                true
            }
            Err(error) => {
                tracing::warn!(
                    error = causes(&error).join(": "),
                    "Redis did not accept a denial; it is not trusted until it is backfilled again"
                );
                self.line.drop_link(&link);
                false
            }
        }
    }

    /// Makes every process use SQL, where the denials are committed, until Redis is backfilled again.
    async fn deny_by_distrust(&self) -> Result<(), StoreError> {
        let epoch = self.end_epoch().await?;
        self.until_noticed(&epoch).await;
        Ok(())
    }

    /// Returns an epoch for which no copy is or will be complete.
    async fn end_epoch(&self) -> Result<String, StoreError> {
        let _one_at_a_time = self.ending.lock().await;
        let witness = self.read_witness().await?;
        if witness.filled.is_empty() {
            // No copy is backfilled or being backfilled: a later backfill will read the denials from
            // SQL.
            return Ok(witness.epoch.clone());
        }
        self.begin_epoch("").await
    }
}

#[async_trait]
impl Denylist for RedisDenylist {
    async fn check(&self, ids: TokenIds<'_>, now: Time) -> Result<TokenStatus, Unavailable> {
        let began = Moment {
            instant: Instant::now(),
            time: now,
        };
        if let (Some(link), Some(witness)) = (self.line.link(), self.witness())
            && trust::believable(Some(&witness), Some(&link.standing), began).is_ok()
        {
            match link.connection.ask(ids, &witness.epoch).await {
                Ok(Answer::Revoked) => return Ok(TokenStatus::Revoked),
                Ok(Answer::Outdated) => return Ok(TokenStatus::Outdated),
                Ok(Answer::Clear) => return Ok(TokenStatus::NotDenied),
                Ok(Answer::Doubtful) => {}
                Err(_) => self.line.drop_link(&link),
            }
        }
        self.store.token_status(ids).await.map_err(unavailable)
    }

    async fn deny(&self, denials: &[Denial], _now: Time) -> Result<(), Unavailable> {
        if denials.is_empty() {
            return Ok(());
        }
        let witness = match self.witness() {
            Some(witness) if witness.is_current(self.line.moment()) => witness,
            _ => self.read_witness().await.map_err(unavailable)?,
        };
        if self.deny_in_copy(denials, &witness).await {
            return Ok(());
        }
        self.deny_by_distrust().await.map_err(unavailable)
    }
}
