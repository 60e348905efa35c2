//! End of all sessions, access tokens, links and signing keys, after a restore or a leak of the root secret.

use std::sync::Arc;
use std::time::Duration;

use super::OpenError;
use super::clock_skew::CLOCK_SKEW;
use super::denylist::epoch_without_copy;
use super::derived_keys::DerivedKeys;
use super::keyring::KeyReplacement;
use super::store::{DenialPeriod, EndCause, EndOfEverything, Store};
use latchet_guard::clock::Time;
use latchet_guard::keys::Algorithm;
use latchet_guard::token::MAX_LEEWAY;

/// Longest lifetime of an access token that the settings allow: servers may have announced a longer one than
/// the database knows.
const LONGEST_ACCESS_TTL: Duration = Duration::from_hours(24);

/// New signing keys and their seal.
pub(super) struct KeySource<'a> {
    /// Keys that seal the new signing key.
    pub(super) derived: &'a Arc<DerivedKeys>,
    /// Algorithm of the new signing key if the database has none.
    pub(super) algorithm: Algorithm,
}

/// Ends every session, access token and link of every user, and replaces the signing keys. Returns the number
/// of users.
///
/// # Errors
/// When the database does not respond, or no key can be created.
pub(super) async fn end_everything(
    store: &Store,
    keys: KeySource<'_>,
    cause: EndCause,
    now: Time,
) -> Result<u64, OpenError> {
    let not_after = now + LONGEST_ACCESS_TTL + MAX_LEEWAY + CLOCK_SKEW;
    let end = EndOfEverything {
        cause,
        period: DenialPeriod { now, not_after },
        epoch: epoch_without_copy(now),
    };
    let present = store.keys().await?;
    let replacement = KeyReplacement::generate(&present, keys.algorithm, keys.derived, now)?;
    let revise = move |present: &[_]| replacement.revise(present);
    Ok(store.end_everything(&end, revise).await?)
}
