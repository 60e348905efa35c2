//! Lifetimes of access tokens, known to all servers of a database.
//!
//! A denial must be kept until the last token that it concerns has expired, and another server may have
//! issued that token with another setting. So every server announces its lifetime in SQL before it signs,
//! and a revocation lasts as long as the longest lifetime that may be in use. A lifetime that is not
//! announced any more counts until its last token has expired.
//!
//! A revocation may use a longest lifetime that was read just before a server announced a longer one. So
//! a server that starts with a longer lifetime than the shortest one in use issues tokens with the
//! shortest one until all such reads have expired and their transactions are over. It uses the shortest,
//! because other servers may have announced a longer one just before, too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::{Mutex, MutexGuard};

use super::clock_skew::CLOCK_SKEW;
use super::store::{DenialPeriod, QUERY_DEADLINE, Store, StoreError};
use latchet_guard::clock::Time;
use latchet_guard::denylist::demand::Demand;
use latchet_guard::token::MAX_LEEWAY;

/// Validity of an announcement in SQL.
const ANNOUNCEMENT_VALIDITY: Duration = Duration::from_hours(2);
/// Time for which a server relies on its announcement. It is half of the validity, so that the clocks of
/// server and database may run at different rates.
const TRUSTED_VALIDITY: Duration = Duration::from_hours(1);
/// Age at which an announcement is renewed.
const RENEWAL_AGE: Duration = Duration::from_mins(15);
/// Pause after a failed announcement while the earlier one is still valid.
const RETRY_DELAY: Duration = Duration::from_secs(10);
/// Age from which the longest lifetime is read again before it is used.
const MAX_READING_AGE: Duration = Duration::from_secs(5);
/// Pause between two reads of the longest lifetime in the background, while revocations need it.
const READ_INTERVAL: Duration = Duration::from_secs(2);
/// The same while none needs it.
const IDLE_READ_INTERVAL: Duration = Duration::from_mins(1);
/// Time between the announcement of a longer lifetime and the first token with it: by then every earlier
/// read has expired, and the transaction that used it is over.
const PHASE_IN_DELAY: Duration = Duration::from_secs(5 + 2 * QUERY_DEADLINE.as_secs());

/// The announced lifetime of this server, and the longest lifetime of all servers.
#[derive(Clone, Debug)]
pub struct TokenLifetimes(Arc<LifetimeState>);

#[derive(Debug)]
struct LifetimeState {
    store: Store,
    own: Duration,
    announcement: ArcSwapOption<Announcement>,
    longest: ArcSwapOption<LongestLifetimeReading>,
    /// Demand for the longest lifetime: an idle server need not read it.
    demand: Demand,
    /// Held during a query, so that parallel requests query once.
    queries: Mutex<()>,
}

/// An announcement that SQL has confirmed.
#[derive(Clone, Copy, Debug)]
struct Announcement {
    /// Time at which it was sent.
    at: Instant,
    /// Time from which it is to be renewed.
    renew_from: Instant,
    /// A shorter lifetime, and the time until which it is used.
    phase_in: Option<(Instant, Duration)>,
}

#[derive(Clone, Copy, Debug)]
struct LongestLifetimeReading {
    at: Instant,
    longest: Duration,
}

impl TokenLifetimes {
    /// Returns the lifetimes for a server whose tokens have the lifetime `own`. Nothing is announced before
    /// the first token is issued.
    pub fn new(store: Store, own: Duration) -> Self {
        Self(Arc::new(LifetimeState {
            store,
            own,
            announcement: ArcSwapOption::empty(),
            longest: ArcSwapOption::empty(),
            demand: Demand::default(),
            queries: Mutex::new(()),
        }))
    }

    /// Returns the lifetime of a token that is issued now. Announces it unless that was done within the
    /// last quarter of an hour.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when there is no valid announcement.
    pub async fn lifetime_to_issue(&self) -> Result<Duration, StoreError> {
        let now = Instant::now();
        if let Some(announcement) = self.valid_announcement(now)
            && now < announcement.renew_from
        {
            return Ok(announcement.lifetime(self.0.own, now));
        }
        let _guard = self.lock_queries().await?;
        let now = Instant::now();
        let known = self.valid_announcement(now);
        if let Some(announcement) = &known
            && now < announcement.renew_from
        {
            return Ok(announcement.lifetime(self.0.own, now));
        }
        let announcement = match (self.announce(now, known.as_deref()).await, known) {
            (Ok(announcement), _) => announcement,
            (Err(error), Some(known)) => {
                tracing::warn!(%error, "cannot announce the lifetime of access tokens; retrying");
                let renew_from = now + RETRY_DELAY;
                Announcement {
                    renew_from,
                    ..*known
                }
            }
            (Err(error), None) => return Err(error),
        };
        self.0.announcement.store(Some(Arc::new(announcement)));
        Ok(announcement.lifetime(self.0.own, now))
    }

    /// Returns the longest lifetime of an access token that may be in use, at least that of this server.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it cannot be read.
    pub async fn longest_in_use(&self) -> Result<Duration, StoreError> {
        self.0.demand.record();
        let fresh = |reading: &LongestLifetimeReading| reading.at.elapsed() < MAX_READING_AGE;
        if let Some(reading) = self
            .0
            .longest
            .load()
            .as_deref()
            .filter(|reading| fresh(reading))
        {
            return Ok(reading.longest);
        }
        let _guard = self.lock_queries().await?;
        if let Some(reading) = self
            .0
            .longest
            .load()
            .as_deref()
            .filter(|reading| fresh(reading))
        {
            return Ok(reading.longest);
        }
        self.read_longest().await
    }

    /// Returns the time for which a denial must be kept: no access token that any server has issued is
    /// accepted by any guard for longer.
    ///
    /// # Errors
    /// As [`TokenLifetimes::longest_in_use`].
    pub async fn denial_ttl(&self) -> Result<Duration, StoreError> {
        Ok(self.longest_in_use().await? + MAX_LEEWAY + CLOCK_SKEW)
    }

    /// Returns the period of a denial that begins now.
    ///
    /// # Errors
    /// As [`TokenLifetimes::longest_in_use`].
    pub async fn denial_period(&self, now: Time) -> Result<DenialPeriod, StoreError> {
        let not_after = now + self.denial_ttl().await?;
        Ok(DenialPeriod { now, not_after })
    }

    /// Renews the announcement and the longest lifetime until the task is dropped, so that requests rarely
    /// wait for either. A server that issues no tokens announces its lifetime too: it accepts tokens of
    /// other issuers with up to that lifetime.
    pub async fn renew_periodically(&self) {
        loop {
            // A failure here is reported by the request that needs the value.
            let _announced = self.lifetime_to_issue().await;
            let _read = self.read_longest().await;
            let demand = &self.0.demand;
            demand.wait(READ_INTERVAL, IDLE_READ_INTERVAL).await;
        }
    }

    async fn read_longest(&self) -> Result<Duration, StoreError> {
        let at = Instant::now();
        let longest = self.0.store.longest_lifetime().await?;
        let longest = longest.unwrap_or_default().max(self.0.own);
        self.0
            .longest
            .store(Some(Arc::new(LongestLifetimeReading { at, longest })));
        Ok(longest)
    }

    /// Waits for the query of another request, no longer than a statement may take. So all callers fail after
    /// that time if SQL does not respond, and not one after the other.
    async fn lock_queries(&self) -> Result<MutexGuard<'_, ()>, StoreError> {
        let turn = tokio::time::timeout(QUERY_DEADLINE, self.0.queries.lock()).await;
        turn.map_err(|_| StoreError::Unavailable(None))
    }

    fn valid_announcement(&self, now: Instant) -> Option<Arc<Announcement>> {
        let announcement = self.0.announcement.load_full();
        announcement.filter(|announcement| now < announcement.at + TRUSTED_VALIDITY)
    }

    async fn announce(
        &self,
        now: Instant,
        known: Option<&Announcement>,
    ) -> Result<Announcement, StoreError> {
        let own = self.0.own;
        let earlier = self
            .0
            .store
            .announce_lifetime(own, ANNOUNCEMENT_VALIDITY)
            .await?;
        let shorter = earlier.filter(|&earlier| known.is_none() && earlier < own);
        // Measured from the end of the announcement: reads before its commit did not see it.
        let phase_in = shorter.map(|shorter| (Instant::now() + PHASE_IN_DELAY, shorter));
        Ok(Announcement {
            at: now,
            renew_from: now + RENEWAL_AGE,
            phase_in: phase_in.or(known.and_then(|known| known.phase_in)),
        })
    }
}

impl Announcement {
    fn lifetime(&self, own: Duration, now: Instant) -> Duration {
        match self.phase_in {
            Some((until, shorter)) if now < until => shorter,
            _ => own,
        }
    }
}

#[cfg(test)]
mod tests;
