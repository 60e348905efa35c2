//! Keys: generate, load, publish (JWKS) and import. The table of algorithms.
//!
//! A key has exactly one algorithm, fixed when it is created, so that a token cannot choose how it is
//! checked. Weak keys are refused here; no other module checks their strength. No I/O.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

mod key_material;
mod key_set;
mod signing;
mod strength;
#[cfg(test)]
mod vectors;
mod verifying;

pub use key_set::KeySet;
pub use signing::SigningKey;
pub use strength::{MIN_RSA_BITS, MIN_SECRET_BYTES, check_secret};
pub use verifying::VerifyingKey;

/// Signature algorithm; one per key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519: small, fast to sign, no parameters to get wrong.
    #[default]
    EdDsa,
    /// ECDSA on P-256 with SHA-256, for clients without Ed25519.
    Es256,
    /// RSA PKCS#1 v1.5 with SHA-256, for clients that know nothing else.
    Rs256,
    /// HMAC-SHA-256: a party that can verify a token can also issue one.
    Hs256,
}

impl Algorithm {
    /// Every algorithm, the recommended first.
    pub const ALL: [Self; 4] = [Self::EdDsa, Self::Es256, Self::Rs256, Self::Hs256];

    /// Returns the name in `alg` (RFC 7518, section 3.1; RFC 8037).
    pub const fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::Hs256 => "HS256",
        }
    }

    /// Returns whether verification needs only a public key.
    pub const fn is_asymmetric(self) -> bool {
        !matches!(self, Self::Hs256)
    }

    pub(crate) const fn jose(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
        }
    }

    fn from_jose(algorithm: jsonwebtoken::Algorithm) -> Option<Self> {
        Self::ALL.into_iter().find(|ours| ours.jose() == algorithm)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == text)
            .ok_or_else(|| KeyError::UnknownAlgorithm(text.to_owned()))
    }
}

/// Failure to load, generate or use a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Too easy to guess or to break.
    #[error("the key is too weak: {0}")]
    Weak(String),
    /// Not a key, or not in a supported format.
    #[error("the key cannot be read: {0}")]
    Malformed(&'static str),
    /// A key, but of an unsupported type, curve or use.
    #[error("the key is of a kind that is not supported: {0}")]
    Unsupported(&'static str),
    /// No such algorithm.
    #[error("unknown algorithm `{0}`: use EdDSA, ES256, RS256 or HS256")]
    UnknownAlgorithm(String),
    /// `extra` contains a claim that has its own field.
    #[error("the claim `{0}` has its own field and cannot be an extra claim")]
    ReservedClaim(String),
    /// A member of the header that controls the verification cannot be set.
    #[error("the header member `{0}` controls the verification and cannot be set")]
    ReservedHeader(String),
    /// The cryptographic library failed.
    #[error("{0}")]
    Crypto(&'static str),
}

/// Returns 128 random bits in base64url: a unique id that cannot be guessed.
///
/// # Panics
/// When the operating system provides no randomness; no safe fallback exists.
pub fn random_id() -> String {
    let mut bytes = [0; 16];
    #[expect(
        clippy::expect_used,
        reason = "an id that can be guessed would be worse than no response"
    )]
    rand::fill(&mut bytes).expect("the operating system gives random bytes");
    base64url(&bytes)
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
