//! Invalidation of all that a restored backup would make valid again.

use std::time::Duration;

use crate::clock_skew::CLOCK_SKEW;
use crate::denylist::epoch_without_copy;
use crate::installation::{Installation, OpenError};
use crate::keyring::KeyReplacement;
use crate::store::{DenialPeriod, RestoredState};
use latchet_guard::token::MAX_LEEWAY;

/// Longest lifetime of an access token that the settings allow: servers may have announced a longer one after
/// the backup than before it.
const LONGEST_ACCESS_TTL: Duration = Duration::from_hours(24);

impl Installation {
    /// Ends what a backup would make valid again: sessions, access tokens, links and signing keys. Returns the
    /// number of users.
    ///
    /// # Errors
    /// When the database does not respond, or no key can be created.
    pub(crate) async fn mark_restored(&self) -> Result<u64, OpenError> {
        let now = self.clock.now();
        let not_after = now + LONGEST_ACCESS_TTL + MAX_LEEWAY + CLOCK_SKEW;
        let state = RestoredState {
            period: DenialPeriod { now, not_after },
            epoch: epoch_without_copy(now),
        };
        let present = self.store.keys().await?;
        let algorithm = self.config.algorithm;
        let replacement = KeyReplacement::generate(&present, algorithm, &self.derived, now)?;
        let revise = move |present: &[_]| replacement.revise(present);
        Ok(self.store.mark_restored(&state, revise).await?)
    }
}
