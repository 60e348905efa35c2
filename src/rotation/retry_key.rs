//! Stored form of the retry key (`Idempotency-Key`), by which a client identifies one refresh and its retries.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::MalformedColumn;

/// Keyed hash of a session, a generation and the retry key of the request. The key itself is not stored.
/// Written in the database as base64url.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RetryKeyHash([u8; 32]);

impl RetryKeyHash {
    /// Period in which a lost response is repeated: a night and a working day.
    pub const RETRY_WINDOW: Duration = Duration::from_hours(24);

    /// Returns the hash of these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns a random hash that no key has. It distinguishes rotations in the same millisecond.
    pub(crate) fn random() -> Self {
        let mut bytes = [0; 32];
        // It needs no secrecy: an attacker who guesses the hash still has to find a key for it.
        fastrand::fill(&mut bytes);
        Self(bytes)
    }

    /// Returns whether both are hashes of the same key. Compares in constant time.
    fn matches(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

/// Hashes of the retry key in a request: under the root secret, which are stored, and under the previous one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresentedRetryKey {
    /// Hash under the root secret.
    pub hash: RetryKeyHash,
    /// Hash under the previous root secret, while there is one.
    pub previous_hash: Option<RetryKeyHash>,
}

impl PresentedRetryKey {
    /// Returns whether `stored` is a hash of the same key. Compares in constant time.
    pub(crate) fn matches(&self, stored: &RetryKeyHash) -> bool {
        let is_current = stored.matches(&self.hash);
        is_current || self.previous_hash.is_some_and(|hash| stored.matches(&hash))
    }
}

impl From<RetryKeyHash> for PresentedRetryKey {
    fn from(hash: RetryKeyHash) -> Self {
        Self {
            hash,
            previous_hash: None,
        }
    }
}

impl fmt::Display for RetryKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl FromStr for RetryKeyHash {
    type Err = MalformedColumn;

    fn from_str(text: &str) -> Result<Self, MalformedColumn> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| MalformedColumn {
            text: text.to_owned(),
            expected: "the hash of a retry key",
        })
    }
}
