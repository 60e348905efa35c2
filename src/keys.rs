//! Keys: generate, load, publish (JWKS) and take in. The one table of algorithms.
//!
//! A key has exactly one algorithm, fixed when it is made, so that a token cannot choose how it is
//! checked. Weak keys are refused here, at the door; nothing further in asks again. No I/O.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

mod parsed;
mod set;
mod signing;
mod strength;
#[cfg(test)]
mod tests;
mod verifying;

pub use set::KeySet;
pub use signing::SigningKey;
pub use strength::{MIN_RSA_BITS, MIN_SECRET_BYTES, check_secret};
pub use verifying::VerifyingKey;

/// How a token is signed; one per key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519: small, fast to sign, no parameters to get wrong.
    #[default]
    EdDsa,
    /// ECDSA on P-256 with SHA-256, for clients without Ed25519.
    Es256,
    /// RSA PKCS#1 v1.5 with SHA-256, for clients that know nothing else.
    Rs256,
    /// HMAC-SHA-256: whoever can check a token can also make one.
    Hs256,
}

impl Algorithm {
    /// Every algorithm, the recommended first.
    pub const ALL: [Self; 4] = [Self::EdDsa, Self::Es256, Self::Rs256, Self::Hs256];

    /// Returns the name that stands in `alg` (RFC 7518, section 3.1; RFC 8037).
    pub const fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::Hs256 => "HS256",
        }
    }

    /// Returns whether checking needs a public key only.
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

    fn of_jose(algorithm: jsonwebtoken::Algorithm) -> Option<Self> {
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

/// Why a key was not taken, made or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Too easy to guess or to break.
    #[error("the key is too weak: {0}")]
    Weak(String),
    /// Not a key, or not in a form that is read here.
    #[error("the key cannot be read: {0}")]
    Malformed(&'static str),
    /// A key, but of a type, curve or use that is not signed with here.
    #[error("the key is of a kind that is not supported: {0}")]
    Unsupported(&'static str),
    /// No such algorithm.
    #[error("unknown algorithm `{0}`; known are EdDSA, ES256, RS256 and HS256")]
    UnknownAlgorithm(String),
    /// `extra` holds a claim that has a field of its own.
    #[error("the claim `{0}` has a meaning of its own and cannot be an extra claim")]
    ReservedClaim(String),
    /// A member of the header that says how a token is checked cannot be set by hand.
    #[error("the header `{0}` says how the token is checked and cannot be set")]
    ReservedHeader(String),
    /// The cryptographic library failed at its work.
    #[error("{0}")]
    Crypto(&'static str),
}

/// Returns 128 random bits in base64url: an id that nobody can guess and nobody else has.
///
/// # Panics
/// When the operating system has no randomness to give; nothing safe can be done then.
pub fn random_id() -> String {
    let mut bytes = [0; 16];
    #[expect(
        clippy::expect_used,
        reason = "an id that can be guessed would be worse than no answer"
    )]
    rand::fill(&mut bytes).expect("the operating system gives random bytes");
    base64url(&bytes)
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
