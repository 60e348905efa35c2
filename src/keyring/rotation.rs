//! Rotation of the signing keys by an administrator.

use super::Rollover;
use crate::App;
use crate::error::ApiError;
use crate::security_events::Actor;
use crate::store::StoredSigningKey;

impl App {
    /// Creates a signing key that takes over from the active one. This process knows it from now on;
    /// others read it within [`RELOAD_INTERVAL`](super::RELOAD_INTERVAL).
    ///
    /// # Errors
    /// `conflict` while an earlier rotation has not taken effect; `unavailable`.
    pub async fn rotate_keys(
        &self,
        rollover: Rollover,
        by: &Actor,
    ) -> Result<StoredSigningKey, ApiError> {
        let now = self.clock.now();
        let key = self
            .keyring
            .rotate(self.config.algorithm, rollover, by, now)
            .await?;
        self.verifier.replace_keys(self.keyring.verifying_keys(now));
        tracing::info!(key.id = %key.kid, ?rollover, "signing key created");
        Ok(key)
    }
}
