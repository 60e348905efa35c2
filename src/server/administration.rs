//! Rotation of the signing keys by an administrator.

use super::App;
use super::error::ApiError;
use super::events::Actor;
use super::keyring::Rollover;
use super::store::StoredKey;

impl App {
    /// Creates a signing key that takes over from the active one. This process knows it from now on;
    /// others read it within [`RELOAD`](super::keyring::RELOAD).
    ///
    /// # Errors
    /// `conflict` while an earlier rotation has not taken effect; `unavailable`.
    pub async fn rotate_keys(&self, rollover: Rollover, by: &Actor) -> Result<StoredKey, ApiError> {
        let now = self.clock.now();
        let key = self
            .keyring
            .rotate(self.config.algorithm, rollover, by, now)
            .await?;
        self.verifier.replace_keys(self.keyring.verifying(now));
        tracing::info!(key.id = %key.kid, ?rollover, "signing key created");
        Ok(key)
    }
}
