//! Settings of a verifier.

use std::time::Duration;

use super::{TokenKind, Typ};

/// Kind of token that a caller accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedKind {
    /// Access tokens only.
    Access,
    /// Refresh tokens only.
    Refresh,
    /// Both, for example for a logout with the token that the client still has.
    Either,
}

impl ExpectedKind {
    /// Returns the accepted kinds, the preferred one first.
    pub(crate) const fn kinds(self) -> &'static [TokenKind] {
        match self {
            Self::Access => &[TokenKind::Access],
            Self::Refresh => &[TokenKind::Refresh],
            Self::Either => &[TokenKind::Access, TokenKind::Refresh],
        }
    }

    pub(super) fn admits(self, kind: TokenKind) -> bool {
        self.kinds().contains(&kind)
    }
}

impl From<TokenKind> for ExpectedKind {
    fn from(kind: TokenKind) -> Self {
        match kind {
            TokenKind::Access => Self::Access,
            TokenKind::Refresh => Self::Refresh,
        }
    }
}

/// Treatment of a token without `exp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingExp {
    /// It is malformed. Most tokens without an end were issued by mistake.
    #[default]
    Refused,
    /// It is valid until it is revoked, or until `max_lifetime` has passed.
    Accepted,
}

/// Treatment of a token without `iss` or `aud`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingIssuer {
    /// It is malformed: it may have been issued for another service.
    #[default]
    Refused,
    /// It is valid if it was signed with a key that may check tokens [without
    /// `kid`](crate::keys::VerifyingKey::for_tokens_without_kid): only an application with this key
    /// issues them, so the key identifies the issuer. `iss` and `aud` are checked if they are present.
    Accepted,
}

/// Settings of a [`Verifier`](super::Verifier).
#[derive(Clone, Debug)]
pub struct VerifierSettings {
    /// Trusted issuers, each with every key of the set: list two only if each may act for the other, for
    /// example when an issuer moves to another URL.
    pub issuers: Vec<String>,
    /// Names of this service: a token must be for one of them. Without a name no token is accepted.
    pub audience: Vec<String>,
    /// Allowed difference between the clocks of issuer and verifier; at most five minutes.
    pub leeway: Duration,
    /// Allowed lead of the issuer's clock, beyond `leeway`: `iat` and `nbf` may be this far in the
    /// future. Replicas that check each other's tokens immediately after they are issued need it.
    pub clock_ahead: Duration,
    /// Longest lifetime from `iat`, even if `exp` is later; `None` uses `exp` alone. A denylist that
    /// keeps entries for this long then never removes one too early.
    pub max_lifetime: Option<Duration>,
    /// Treatment of tokens without `exp`.
    pub missing_exp: MissingExp,
    /// Treatment of tokens without `iss` or `aud`.
    pub missing_issuer: MissingIssuer,
    /// Accepted `typ` headers.
    pub typ: Vec<Typ>,
    /// Number of cached verified tokens. One takes as much memory as its claims and its header,
    /// typically about 1 kB: 8 MB with the default.
    pub cached_tokens: usize,
}

impl VerifierSettings {
    /// Returns the strict settings: no leeway, synchronized clocks, `at+jwt` only, 8,192 cached tokens.
    pub fn new(
        issuer: impl Into<String>,
        audience: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            issuers: vec![issuer.into()],
            audience: audience.into_iter().map(Into::into).collect(),
            leeway: Duration::ZERO,
            clock_ahead: Duration::ZERO,
            max_lifetime: None,
            missing_exp: MissingExp::Refused,
            missing_issuer: MissingIssuer::Refused,
            typ: vec![Typ::Access],
            cached_tokens: 8192,
        }
    }

    /// Also accepts tokens as Flask-JWT-Extended issues them: `typ: JWT`, without `iss` and `aud`. Its
    /// key must be one [for tokens without `kid`](crate::keys::VerifyingKey::for_tokens_without_kid).
    ///
    /// All other checks remain: `exp`, `type`, `jti`, `iat` and a textual `sub` are required, though
    /// that library accepts tokens without them.
    #[must_use]
    pub fn with_flask_jwt_extended(mut self) -> Self {
        self.missing_issuer = MissingIssuer::Accepted;
        if !self.typ.contains(&Typ::Plain) {
            self.typ.push(Typ::Plain);
        }
        self
    }
}
