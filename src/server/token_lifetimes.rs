//! Lifetimes of access tokens, known to all servers of a database.
//!
//! A denial must be remembered until the last token that it concerns has expired, and another server
//! may have issued that token with another setting. So every server announces its lifetime in SQL
//! before it signs, and a revocation lasts as long as the longest lifetime that may be alive. A lifetime
//! that is no longer announced counts until its last token has expired.
//!
//! A revocation may use a longest lifetime that was read a moment before a server announced a longer
//! one. So a server that starts with a longer lifetime than the shortest one that may be alive issues
//! tokens of that one until all such reads are forgotten and their transactions are over. The shortest,
//! because others may have announced a longer one a moment before, too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::{Mutex, MutexGuard};

use super::store::{LIMIT, Store, StoreError};

/// Period for which a server announces its lifetime.
const ANNOUNCED_FOR: Duration = Duration::from_hours(2);
/// Period after which it relies on an announcement no longer. Half of the above, so that the clocks of
/// server and database may run at different rates.
const RELIED_ON_FOR: Duration = Duration::from_hours(1);
/// Age at which it announces again.
const RENEWED_AFTER: Duration = Duration::from_mins(15);
/// Pause after an announcement that failed while the one before is relied on.
const RETRIED_AFTER: Duration = Duration::from_secs(10);
/// Age from which the longest lifetime is not used any more.
const READ_AFTER: Duration = Duration::from_secs(5);
/// Pause between two reads of it in the background.
const READ_EVERY: Duration = Duration::from_secs(2);
/// Period after a longer lifetime was announced in which tokens of it are not issued yet: by then every
/// earlier read is forgotten, and the transaction that used it is over.
const PHASED_IN_AFTER: Duration = Duration::from_secs(5 + 2 * LIMIT.as_secs());

/// The announcement of this server, and the reads of what all servers announced.
#[derive(Clone, Debug)]
pub struct TokenLifetimes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    own: Duration,
    announcement: ArcSwapOption<Announcement>,
    longest: ArcSwapOption<Reading>,
    /// Held while SQL is asked, so that requests at the same time ask once.
    asking: Mutex<()>,
}

/// An announcement that SQL has confirmed.
#[derive(Clone, Copy, Debug)]
struct Announcement {
    /// Time at which it was sent.
    at: Instant,
    /// Time from which it is to be renewed.
    renew_from: Instant,
    /// A shorter lifetime that is used until then.
    phase_in: Option<(Instant, Duration)>,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Instant,
    longest: Duration,
}

impl TokenLifetimes {
    /// Returns the lifetimes for a server that issues tokens of `own`. Nothing is announced before the
    /// first token is issued.
    pub fn new(store: Store, own: Duration) -> Self {
        Self(Arc::new(Inner {
            store,
            own,
            announcement: ArcSwapOption::empty(),
            longest: ArcSwapOption::empty(),
            asking: Mutex::new(()),
        }))
    }

    /// Returns the lifetime of a token that is issued now. Announces it where that was not done within
    /// the last quarter of an hour.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no announcement can be relied on.
    pub async fn to_issue(&self) -> Result<Duration, StoreError> {
        let now = Instant::now();
        if let Some(announcement) = self.relied_on(now)
            && now < announcement.renew_from
        {
            return Ok(announcement.lifetime(self.0.own, now));
        }
        let _one_at_a_time = self.ask().await?;
        let now = Instant::now();
        let known = self.relied_on(now);
        if let Some(announcement) = &known
            && now < announcement.renew_from
        {
            return Ok(announcement.lifetime(self.0.own, now));
        }
        let announcement = match (self.announce(now, known.as_deref()).await, known) {
            (Ok(announcement), _) => announcement,
            (Err(error), Some(known)) => {
                tracing::warn!(%error, "the lifetime of access tokens was not announced; retrying");
                let renew_from = now + RETRIED_AFTER;
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

    /// Returns the longest lifetime of an access token that may be alive, at least that of this server.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it cannot be read.
    pub async fn longest(&self) -> Result<Duration, StoreError> {
        let fresh = |reading: &Reading| reading.at.elapsed() < READ_AFTER;
        if let Some(reading) = self
            .0
            .longest
            .load()
            .as_deref()
            .filter(|reading| fresh(reading))
        {
            return Ok(reading.longest);
        }
        let _one_at_a_time = self.ask().await?;
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

    /// Keeps the lifetime announced and the longest one known until the task is dropped, so that requests
    /// rarely wait for either. A server that issues nothing announces its lifetime too: it accepts tokens
    /// of other issuers that live as long.
    pub async fn keep_known(&self) {
        loop {
            // What fails here fails again, and is reported, where it is needed.
            let _announced = self.to_issue().await;
            let _read = self.read_longest().await;
            tokio::time::sleep(READ_EVERY).await;
        }
    }

    async fn read_longest(&self) -> Result<Duration, StoreError> {
        let at = Instant::now();
        let longest = self.0.store.longest_lifetime().await?;
        let longest = longest.unwrap_or_default().max(self.0.own);
        self.0
            .longest
            .store(Some(Arc::new(Reading { at, longest })));
        Ok(longest)
    }

    /// Waits for those who ask SQL, no longer than a statement may take: while SQL does not answer, each
    /// caller fails after that, and not one after the other.
    async fn ask(&self) -> Result<MutexGuard<'_, ()>, StoreError> {
        let turn = tokio::time::timeout(LIMIT, self.0.asking.lock()).await;
        turn.map_err(|_| StoreError::Unavailable(None))
    }

    fn relied_on(&self, now: Instant) -> Option<Arc<Announcement>> {
        let announcement = self.0.announcement.load_full();
        announcement.filter(|announcement| now < announcement.at + RELIED_ON_FOR)
    }

    async fn announce(
        &self,
        now: Instant,
        known: Option<&Announcement>,
    ) -> Result<Announcement, StoreError> {
        let own = self.0.own;
        let earlier = self.0.store.announce_lifetime(own, ANNOUNCED_FOR).await?;
        let shorter = earlier.filter(|&earlier| known.is_none() && earlier < own);
        // Counted from the end of the announcement: reads before its commit did not see it.
        let phase_in = shorter.map(|shorter| (Instant::now() + PHASED_IN_AFTER, shorter));
        Ok(Announcement {
            at: now,
            renew_from: now + RENEWED_AFTER,
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
