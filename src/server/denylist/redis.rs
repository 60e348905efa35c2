//! The copy in Redis, asked as long as it may be believed; SQL otherwise.

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

/// A read of the epoch that takes longer is of no use: the lease is over when it arrives.
const WITNESS_DEADLINE: Duration = LEASE;

/// Asks Redis as far as it can be believed, else SQL.
#[derive(Debug)]
pub(super) struct RedisDenylist {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) line: Line,
    /// Whether there is background work that keeps the connection and the witness current.
    serves: AtomicBool,
    witness: ArcSwapOption<Witness>,
    /// The newest epoch known, and since when.
    seen: Mutex<(String, Instant)>,
    /// Held while an epoch is ended, so that a hundred logouts at once end one and not a hundred.
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

    /// Asks SQL which filling may be believed.
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

    /// Of two reads at once the one that began later knows more.
    pub(super) fn take_witness(&self, witness: &Arc<Witness>) {
        self.witness.rcu(|known| match known {
            Some(known) if known.asked.instant > witness.asked.instant => Some(Arc::clone(known)),
            _ => Some(Arc::clone(witness)),
        });
    }

    /// Begins an epoch that only `filled` can be filled for; nobody believes an earlier one when
    /// [`NOTICED`] has passed.
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

    /// Waits until every process knows `epoch` or a later one. Takes no time for an epoch that has
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

    /// Returns a connection to a server that may take denials, if there is one. A process that runs
    /// no background work looks for it here.
    async fn link_for_denials(&self) -> Option<Arc<Link>> {
        let link = match self.line.link() {
            Some(link) if link.standing.is_current(self.line.moment()) => Some(link),
            Some(link) => self.line.inspect_again(&link).await.ok(),
            None if !self.serves.load(Ordering::Relaxed) => self.line.connect().await.ok(),
            None => None,
        };
        link.filter(|link| link.standing.fault().is_none())
    }

    /// Writes the denials into the copy. Returns whether that is enough for every check to see them.
    async fn deny_in_copy(&self, denials: &[Denial], witness: &Witness) -> bool {
        let Some(link) = self.link_for_denials().await else {
            return false;
        };
        if !witness.names(&link.standing) {
            return false;
        }
        match link.connection.write(denials, &witness.epoch).await {
            Ok(Written::InEpoch) => true,
            // The filling of this epoch has not begun: it will read the denials from SQL. What is
            // left is that nobody believes the epoch before.
            Ok(Written::OutsideEpoch) => {
                self.until_noticed(&witness.epoch).await;
                true
            }
            Err(error) => {
                tracing::warn!(
                    error = causes(&error).join(": "),
                    "Redis did not take a denial; it will not be believed until it is filled again"
                );
                self.line.drop_link(&link);
                false
            }
        }
    }

    /// Makes every process ask SQL, where the denials are committed, until Redis is filled again.
    async fn deny_by_distrust(&self) -> Result<(), StoreError> {
        let epoch = self.end_epoch().await?;
        self.until_noticed(&epoch).await;
        Ok(())
    }

    /// Returns an epoch that no copy is or will be complete for.
    async fn end_epoch(&self) -> Result<String, StoreError> {
        let _one_at_a_time = self.ending.lock().await;
        let witness = self.read_witness().await?;
        if witness.filled.is_empty() {
            // Nothing is filled or being filled: whoever begins will read the denials from SQL.
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
