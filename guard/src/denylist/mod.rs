//! Denylists: the revocations that every check looks up.

use std::fmt;

use async_trait::async_trait;

use crate::clock::Time;
use crate::token::Claims;

pub mod conformance;
pub mod demand;
#[cfg(feature = "remote")]
pub mod introspection;
pub mod memory;
#[cfg(feature = "redis")]
pub mod redis;

/// A session, a token, or a part of the tokens of a user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DenialTarget {
    /// All tokens that carry this `sid`.
    Session(String),
    /// The token with this `jti`.
    Token(String),
    /// The tokens of a user that were issued before the user's permissions changed.
    User {
        /// Their `sub`.
        id: String,
        /// Tokens with a lower `authority_version` are denied, and those without one.
        below: u64,
    },
}

/// One entry of a denylist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Subject of the denial.
    pub denied: DenialTarget,
    /// After this time no affected token can be valid, and the entry may be removed.
    pub not_after: Time,
}

/// The denylist could not be read or written. Retryable; never a reason to accept or refuse a token.
#[derive(Debug, thiserror::Error)]
#[error("the denylist is unavailable")]
pub struct DenylistUnavailable(#[source] pub Option<Box<dyn std::error::Error + Send + Sync>>);

/// The claims of a token by which it can be denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenIds<'a> {
    /// Its session; absent in tokens of other issuers.
    pub sid: Option<&'a str>,
    /// Its own id.
    pub jti: &'a str,
    /// Its user.
    pub sub: &'a str,
    /// The authority version of its user when it was issued; 0 in tokens that carry none.
    pub authority_version: u64,
}

impl<'a> From<&'a Claims> for TokenIds<'a> {
    fn from(claims: &'a Claims) -> Self {
        Self {
            sid: claims.sid.as_deref(),
            jti: &claims.jti,
            sub: &claims.sub,
            authority_version: claims.authority_version,
        }
    }
}

/// Result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenStatus {
    /// Nothing denies the token.
    NotDenied,
    /// The token or its session was revoked.
    Revoked,
    /// It was issued before the permissions of its user changed. A refresh yields a current one, unless
    /// the session has ended.
    Outdated,
}

/// List of denied sessions and tokens, kept as long as an affected token can be valid.
#[async_trait]
pub trait Denylist: fmt::Debug + Send + Sync {
    /// Returns the status of a token by its ids.
    ///
    /// # Errors
    /// [`DenylistUnavailable`] when the status cannot be determined now.
    async fn check(&self, ids: TokenIds<'_>, now: Time)
    -> Result<TokenStatus, DenylistUnavailable>;

    /// Returns the status of a token whose signature was verified. Guards call this.
    ///
    /// A list with entries by id needs no more than [`check`](Self::check); a list that calls the
    /// token's issuer needs the token.
    ///
    /// # Errors
    /// [`DenylistUnavailable`] when the status cannot be determined now.
    async fn check_token(
        &self,
        token: &str,
        claims: &Claims,
        now: Time,
    ) -> Result<TokenStatus, DenylistUnavailable> {
        let _ = token;
        self.check(claims.into(), now).await
    }

    /// Denies; once this returns `Ok`, every check that starts later sees it, on every replica.
    ///
    /// # Errors
    /// [`DenylistUnavailable`] when that cannot be guaranteed.
    async fn deny(&self, denials: &[Denial], now: Time) -> Result<(), DenylistUnavailable>;
}
