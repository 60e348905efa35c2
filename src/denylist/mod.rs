//! Where a revocation is felt: the copy that every check asks.

use std::fmt;

use async_trait::async_trait;

use crate::clock::Time;
use crate::token::Claims;

pub mod conformance;
#[cfg(feature = "remote")]
pub mod introspection;
pub mod memory;
#[cfg(feature = "redis")]
pub mod redis;

/// What is denied: every token of a session, or one token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Denied {
    /// All tokens that carry this `sid`.
    Session(String),
    /// The token with this `jti`.
    Token(String),
}

/// One entry of a denylist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What is denied.
    pub denied: Denied,
    /// Past this time no token concerned can be alive, and the entry may go.
    pub not_after: Time,
}

/// The denylist could not be asked or told. Retryable; never a reason to accept or refuse a token.
#[derive(Debug, thiserror::Error)]
#[error("the denylist is unavailable")]
pub struct Unavailable(#[source] pub Option<Box<dyn std::error::Error + Send + Sync>>);

/// Remembers what was denied until it could no longer matter.
#[async_trait]
pub trait Denylist: fmt::Debug + Send + Sync {
    /// Returns whether the session or the token is denied. `sid` is absent in tokens of other issuers.
    ///
    /// # Errors
    /// [`Unavailable`] when the answer cannot be known now.
    async fn is_denied(&self, sid: Option<&str>, jti: &str, now: Time)
    -> Result<bool, Unavailable>;

    /// Returns whether a token is denied whose claims were found genuine: what guards ask.
    ///
    /// A list that knows its entries by id need not say more than [`is_denied`](Self::is_denied); one
    /// that asks the token's issuer needs the token.
    ///
    /// # Errors
    /// [`Unavailable`] when the answer cannot be known now.
    async fn is_token_denied(
        &self,
        token: &str,
        claims: &Claims,
        now: Time,
    ) -> Result<bool, Unavailable> {
        let _ = token;
        self.is_denied(claims.sid.as_deref(), &claims.jti, now)
            .await
    }

    /// Denies; once this returns `Ok`, every check that starts later sees it, on every replica.
    ///
    /// # Errors
    /// [`Unavailable`] when that cannot be promised.
    async fn deny(&self, denials: &[Denial], now: Time) -> Result<(), Unavailable>;
}
