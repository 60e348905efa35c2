//! Replacement of all signing keys, after a leak of the root secret or a restore: a key that leaked, and was
//! rotated after the backup, is active in the backup.

use std::sync::Arc;

use super::{KeyState, KeyringError, Rollover, generate_key, plan_takeover, takeover_times};
use crate::derived_keys::DerivedKeys;
use crate::store::StoredSigningKey;
use latchet_guard::clock::Time;
use latchet_guard::keys::Algorithm;

/// A new signing key in place of all others.
pub(crate) struct KeyReplacement {
    next: StoredSigningKey,
    gone_from: Time,
}

impl KeyReplacement {
    /// Generates a key of the algorithm of the active one, or of `default` if there is none.
    ///
    /// # Errors
    /// When a stored algorithm is unknown, or the system provides no random bytes.
    pub(crate) fn generate(
        present: &[StoredSigningKey],
        default: Algorithm,
        derived: &Arc<DerivedKeys>,
        now: Time,
    ) -> Result<Self, KeyringError> {
        let is_active = |key: &&StoredSigningKey| KeyState::of(key, now) == KeyState::Active;
        let active = present
            .iter()
            .filter(is_active)
            .max_by_key(|key| key.active_from);
        let algorithm = match active {
            Some(key) => key.algorithm.parse()?,
            None => default,
        };
        let (active_from, gone_from) =
            takeover_times(Rollover::AtOnce, now, std::time::Duration::ZERO);
        Ok(Self {
            next: generate_key(derived, algorithm, now, active_from)?,
            gone_from,
        })
    }

    /// Returns the keys to write: every live one is refused from now on.
    pub(crate) fn revise(self, present: &[StoredSigningKey]) -> Vec<StoredSigningKey> {
        plan_takeover(present, self.next, Rollover::AtOnce, self.gone_from)
    }
}
