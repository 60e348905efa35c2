//! Rotation of the signing keys by an administrator.

use std::sync::Arc;

use super::{Keyring, Rollover};
use crate::error::ApiError;
use crate::security_events::Actor;
use crate::store::StoredSigningKey;
use latchet_guard::clock::Clock;
use latchet_guard::keys::Algorithm;
use latchet_guard::token::Verifier;

/// The signing keys, and the verifier that accepts their tokens.
#[derive(Clone, Debug)]
pub struct SigningKeys {
    /// The keys.
    pub keyring: Keyring,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) clock: Clock,
    /// Algorithm of new keys.
    pub(crate) algorithm: Algorithm,
}

impl SigningKeys {
    /// Creates a signing key that takes over from the active one. This process knows it from now on;
    /// others read it within [`RELOAD_INTERVAL`](super::RELOAD_INTERVAL).
    ///
    /// # Errors
    /// `conflict` while an earlier rotation has not taken effect; `unavailable`.
    pub async fn rotate(
        &self,
        rollover: Rollover,
        by: &Actor,
    ) -> Result<StoredSigningKey, ApiError> {
        let now = self.clock.now();
        let key = self
            .keyring
            .rotate(self.algorithm, rollover, by, now)
            .await?;
        self.verifier.replace_keys(self.keyring.verifying_keys(now));
        tracing::info!(key.id = %key.kid, ?rollover, "signing key created");
        Ok(key)
    }
}
