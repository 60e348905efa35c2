//! The server's own signing keys: rows in SQL, private parts sealed by the root secret.
//!
//! A key's state follows from the time alone: next until `active_from`, active until its successor
//! takes over, retiring while tokens that it signed may be valid, then gone. A new key is published
//! before it signs, for as long as verifiers may cache an older JWKS.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::clock_skew::CLOCK_SKEW;
use super::derived_keys::DerivedKeys;
use super::error::ApiError;
use super::security_events::Actor;
use super::store::{Store, StoreError, StoredSigningKey};
use super::token_lifetimes::TokenLifetimes;
use latchet_guard::clock::{Clock, Time};
use latchet_guard::keys::{Algorithm, KeyError, KeySet, SigningKey, VerifyingKey};
use latchet_guard::token::{Issuer, MAX_LEEWAY, Verifier};

/// Time for which verifiers may cache our JWKS (`Cache-Control: max-age`).
pub const JWKS_MAX_AGE: Duration = Duration::from_mins(5);
/// Interval at which each replica reads the key set.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(5);

/// State of a key in its life cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Published, but does not sign yet.
    Next,
    /// Signs.
    Active,
    /// Does not sign any more; tokens that it signed are still accepted.
    Retiring,
    /// Not accepted any more.
    Gone,
}

impl KeyState {
    /// Returns the state's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Gone => "gone",
        }
    }
}

impl KeyState {
    /// Returns the state of a key at `now`.
    pub fn of(key: &StoredSigningKey, now: Time) -> Self {
        let past = |time: Option<Time>| time.is_some_and(|time| time <= now);
        if past(key.gone_from) {
            Self::Gone
        } else if past(key.retiring_from) {
            Self::Retiring
        } else if key.active_from <= now {
            Self::Active
        } else {
            Self::Next
        }
    }
}

/// Mode of a key rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollover {
    /// The new key is published first, and signs once every cached JWKS has expired.
    Gradual,
    /// The old key leaked: it is refused from now on, and so is every token that it signed.
    AtOnce,
}

/// Failure to open or change the signing keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The database failed.
    #[error("cannot read or write the signing keys")]
    Store(#[from] StoreError),
    /// A key was sealed under another root secret.
    #[error(
        "the signing key {kid} was sealed under another root secret: use the one with which this database was created, or, after a rotation, set LATCHET_ROOT_SECRET_PREVIOUS to the one before"
    )]
    WrongRootSecret {
        /// Id of the key.
        kid: String,
    },
    /// Every key is gone.
    #[error("no signing key in the database is in use: create one with `latchet key rotate --now`")]
    NoneInUse,
    /// An earlier rotation has not taken effect yet.
    #[error(
        "the previous rotation is not complete: its key does not sign yet; after a leak, rotate at once (`latchet key rotate --now`)"
    )]
    AlreadyWaiting,
    /// A key could not be created or read.
    #[error("a signing key is not usable")]
    Key(#[from] KeyError),
}

impl From<KeyringError> for ApiError {
    fn from(error: KeyringError) -> Self {
        match error {
            KeyringError::Store(error) => error.into(),
            KeyringError::AlreadyWaiting => Self::Conflict(
                "the previous rotation is not complete: its key does not sign yet; after a leak, rotate at once (`latchet key rotate --now`)",
            ),
            other => Self::internal(other),
        }
    }
}

struct SigningIssuer {
    active_from: Time,
    issuer: Arc<Issuer>,
}

struct LoadedKeys {
    rows: Vec<StoredSigningKey>,
    /// Newest `active_from` first, without the oldest.
    signers: Vec<SigningIssuer>,
    /// Signs if no key is active yet, as may happen when the clock was set back.
    oldest: SigningIssuer,
    jwks: serde_json::Value,
}

/// The signing keys, as this replica read them most recently. Clones share them.
#[derive(Clone)]
pub struct Keyring {
    store: Store,
    derived: Arc<DerivedKeys>,
    /// Keys of other issuers whose tokens are accepted too.
    foreign: Arc<Vec<VerifyingKey>>,
    loaded: Arc<ArcSwap<LoadedKeys>>,
    /// Determine how long tokens of a retiring key may be valid.
    token_lifetimes: TokenLifetimes,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring")
            .field("keys", &self.loaded.load().rows.len())
            .finish_non_exhaustive()
    }
}

/// Settings with which a [`Keyring`] is opened.
pub struct KeyringSettings {
    /// Algorithm of the first key.
    pub algorithm: Algorithm,
    /// Keys of other issuers whose tokens are accepted too.
    pub foreign: Vec<VerifyingKey>,
    /// Lifetimes of access tokens.
    pub token_lifetimes: TokenLifetimes,
}

impl Keyring {
    /// Reads the keys; an empty database gets its first one, however many replicas start at once.
    ///
    /// # Errors
    /// When the database does not respond, or the keys were sealed under another root secret.
    pub async fn open(
        store: Store,
        derived: Arc<DerivedKeys>,
        settings: KeyringSettings,
        now: Time,
    ) -> Result<Self, KeyringError> {
        let mut rows = store.keys().await?;
        if rows.is_empty() {
            let first = generate_key(&derived, settings.algorithm, now, now)?;
            rows = store
                .revise_keys(|present| {
                    if present.is_empty() {
                        vec![first]
                    } else {
                        Vec::new()
                    }
                })
                .await?;
        }
        let loaded = load_keys(rows, &derived, now)?;
        Ok(Self {
            store,
            derived,
            foreign: Arc::new(settings.foreign),
            loaded: Arc::new(ArcSwap::from_pointee(loaded)),
            token_lifetimes: settings.token_lifetimes,
        })
    }

    /// Checks that the root secret opens these sealed keys.
    ///
    /// # Errors
    /// [`KeyringError::WrongRootSecret`] when they were sealed under another one.
    pub fn check_root_secret(
        rows: Vec<StoredSigningKey>,
        derived: &DerivedKeys,
        now: Time,
    ) -> Result<(), KeyringError> {
        load_keys(rows, derived, now).map(|_| ())
    }

    /// Returns the issuer whose key is active at `now`.
    pub fn signer(&self, now: Time) -> Arc<Issuer> {
        let loaded = self.loaded.load();
        let signer = loaded
            .signers
            .iter()
            .find(|signer| signer.active_from <= now);
        Arc::clone(&signer.unwrap_or(&loaded.oldest).issuer)
    }

    /// Returns every key that verifies at `now`: our own and those of other issuers.
    pub fn verifying_keys(&self, now: Time) -> KeySet {
        let loaded = self.loaded.load();
        let own = loaded
            .rows
            .iter()
            .filter(|row| KeyState::of(row, now) != KeyState::Gone);
        let own = own
            .filter_map(|row| open_key(row, &self.derived).ok())
            .map(|key| key.verifying_key());
        KeySet::new(own.chain(self.foreign.iter().cloned()))
    }

    /// Returns the public keys as a JWK Set (RFC 7517).
    pub fn jwks(&self) -> serde_json::Value {
        self.loaded.load().jwks.clone()
    }

    /// Returns every key that was ever created, newest first.
    pub fn stored_keys(&self) -> Vec<StoredSigningKey> {
        self.loaded.load().rows.clone()
    }

    /// Creates a key that will take over from the active one.
    ///
    /// # Errors
    /// `conflict` while an earlier rotation has not taken effect; `unavailable`.
    pub async fn rotate(
        &self,
        algorithm: Algorithm,
        rollover: Rollover,
        by: &Actor,
        now: Time,
    ) -> Result<StoredSigningKey, KeyringError> {
        let longest = self.token_lifetimes.longest_in_use().await? + MAX_LEEWAY;
        let (active_from, gone_from) = takeover_times(rollover, now, longest);
        let next = generate_key(&self.derived, algorithm, now, active_from)?;
        let revised = next.clone();
        let revise = move |present: &[StoredSigningKey]| {
            plan_takeover(present, revised, rollover, gone_from)
        };
        let rows = self.store.rotate_keys(revise, by, now).await?;
        if !rows.iter().any(|row| row.kid == next.kid) {
            return Err(KeyringError::AlreadyWaiting);
        }
        self.loaded
            .store(Arc::new(load_keys(rows, &self.derived, now)?));
        Ok(next)
    }

    /// Reads the keys again, and returns true when they have changed.
    ///
    /// # Errors
    /// When the database does not respond; the keys that were read before stay in use.
    pub async fn reload(&self, now: Time) -> Result<bool, KeyringError> {
        let loaded = load_keys(self.store.keys().await?, &self.derived, now)?;
        // Both are in the order of `load_keys`, which is not that of the database.
        let is_changed = loaded.rows != self.loaded.load().rows;
        if is_changed {
            tracing::info!(keys = loaded.rows.len(), "the key set changed");
        }
        self.loaded.store(Arc::new(loaded));
        Ok(is_changed)
    }

    /// Keeps this keyring and a verifier up to date until the task is dropped.
    pub async fn reload_periodically(self, verifier: Arc<Verifier>, clock: Clock) {
        let mut seen = self.live_key_ids(clock.now());
        loop {
            tokio::time::sleep(RELOAD_INTERVAL).await;
            let now = clock.now();
            if let Err(error) = self.reload(now).await {
                tracing::warn!(%error, "cannot reload the signing keys; the ones in memory stay in use");
            }
            let live_key_ids = self.live_key_ids(now);
            if live_key_ids != seen {
                verifier.replace_keys(self.verifying_keys(now));
                seen = live_key_ids;
            }
        }
    }

    /// Returns the ids of the keys that verify at `now`.
    fn live_key_ids(&self, now: Time) -> Vec<String> {
        let loaded = self.loaded.load();
        let live = loaded
            .rows
            .iter()
            .filter(|row| KeyState::of(row, now) != KeyState::Gone);
        live.map(|row| row.kid.clone()).collect()
    }
}

/// Returns the time from which the next key signs, and the time from which earlier keys are refused.
fn takeover_times(rollover: Rollover, now: Time, longest_token: Duration) -> (Time, Time) {
    match rollover {
        Rollover::Gradual => {
            let from = now + JWKS_MAX_AGE + RELOAD_INTERVAL;
            (from, from + longest_token + RELOAD_INTERVAL)
        }
        Rollover::AtOnce => {
            // Each replica uses its own clock: one whose clock is behind must refuse the leaked key too.
            let from = now - CLOCK_SKEW;
            (from, from)
        }
    }
}

fn generate_key(
    derived: &DerivedKeys,
    algorithm: Algorithm,
    now: Time,
    active_from: Time,
) -> Result<StoredSigningKey, KeyringError> {
    let key = SigningKey::generate(algorithm)?;
    Ok(StoredSigningKey {
        kid: key.kid().to_owned(),
        algorithm: algorithm.to_string(),
        public_jwk: key
            .verifying_key()
            .jwk()
            .map(|jwk| jwk.to_string())
            .unwrap_or_default(),
        sealed_private: derived.seal(key.kid(), key.private_bytes()),
        created_at: now,
        active_from,
        retiring_from: None,
        gone_from: None,
    })
}

/// Returns the keys to write so that `next` takes over; none while another key waits to become active.
fn plan_takeover(
    present: &[StoredSigningKey],
    next: StoredSigningKey,
    rollover: Rollover,
    gone_from: Time,
) -> Vec<StoredSigningKey> {
    let waiting = |key: &StoredSigningKey| KeyState::of(key, next.created_at) == KeyState::Next;
    if rollover == Rollover::Gradual && present.iter().any(waiting) {
        return Vec::new();
    }
    let live = |key: &&StoredSigningKey| KeyState::of(key, next.created_at) != KeyState::Gone;
    let retired = present.iter().filter(live).map(|key| StoredSigningKey {
        retiring_from: Some(
            key.retiring_from
                .unwrap_or(next.active_from)
                .min(next.active_from),
        ),
        gone_from: Some(key.gone_from.unwrap_or(gone_from).min(gone_from)),
        ..key.clone()
    });
    let mut revised: Vec<StoredSigningKey> = retired.collect();
    revised.push(next);
    revised
}

fn open_key(row: &StoredSigningKey, derived: &DerivedKeys) -> Result<SigningKey, KeyringError> {
    let algorithm: Algorithm = row.algorithm.parse()?;
    let private =
        derived
            .open(&row.kid, &row.sealed_private)
            .map_err(|_| KeyringError::WrongRootSecret {
                kid: row.kid.clone(),
            })?;
    Ok(SigningKey::from_private_bytes(algorithm, &private)?)
}

fn load_keys(
    mut rows: Vec<StoredSigningKey>,
    derived: &DerivedKeys,
    now: Time,
) -> Result<LoadedKeys, KeyringError> {
    rows.sort_by(|a, b| (b.active_from, &b.kid).cmp(&(a.active_from, &a.kid)));
    let mut signers = Vec::new();
    let mut jwks = Vec::new();
    for row in rows
        .iter()
        .filter(|row| KeyState::of(row, now) != KeyState::Gone)
    {
        let key = open_key(row, derived)?;
        jwks.extend(key.verifying_key().jwk());
        signers.push(SigningIssuer {
            active_from: row.active_from,
            issuer: Arc::new(Issuer::new(key)),
        });
    }
    let oldest = signers.pop().ok_or(KeyringError::NoneInUse)?;
    Ok(LoadedKeys {
        rows,
        signers,
        oldest,
        jwks: serde_json::json!({ "keys": jwks }),
    })
}

mod replacement;
mod rotation;
#[cfg(test)]
mod tests;

pub(crate) use replacement::KeyReplacement;
pub use rotation::SigningKeys;
