//! What a verifier insists on.

use std::time::Duration;

use super::{Kind, Typ};

/// Which kind of token a caller takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Access tokens only.
    Access,
    /// Refresh tokens only.
    Refresh,
    /// Both, as for a logout with whatever the client still has.
    Either,
}

impl Expected {
    /// Returns the kinds that are taken, the preferred one first.
    pub(crate) const fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Access => &[Kind::Access],
            Self::Refresh => &[Kind::Refresh],
            Self::Either => &[Kind::Access, Kind::Refresh],
        }
    }

    pub(super) fn admits(self, kind: Kind) -> bool {
        self.kinds().contains(&kind)
    }
}

impl From<Kind> for Expected {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Access => Self::Access,
            Kind::Refresh => Self::Refresh,
        }
    }
}

/// What is done with a token that has no `exp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Endless {
    /// It is malformed. Most tokens without end were made by mistake.
    #[default]
    Refused,
    /// It counts until it is revoked, or until `max_lifetime` is over.
    Admitted,
}

/// What is done with a token that does not say who made it, or for whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unnamed {
    /// It is malformed: it may have been made for another service.
    #[default]
    Refused,
    /// It counts when a key signed it that was allowed to check tokens
    /// [without `kid`](crate::keys::VerifyingKey::for_tokens_without_kid): only an application that holds
    /// this key makes them, so the key says what the claims do not. `iss` and `aud` are checked where
    /// they are there.
    Admitted,
}

/// What a [`Verifier`](super::Verifier) insists on.
#[derive(Clone, Debug)]
pub struct VerifierSettings {
    /// Issuers that are believed, each with every key of the set: list two only when each may speak
    /// for the other, as when an issuer moves to another address.
    pub issuers: Vec<String>,
    /// Names of this service: a token must be for one of them. No name, no token.
    pub audience: Vec<String>,
    /// How far the clocks of issuer and verifier may differ; at most five minutes are granted.
    pub leeway: Duration,
    /// How far the issuer's clock may be ahead, beyond `leeway`: `iat` and `nbf` may lie this far in
    /// the future. Replicas that check each other's tokens the moment they are made need it.
    pub clock_ahead: Duration,
    /// Longest life that is granted from `iat` on, whatever `exp` says; `None` trusts `exp`. A
    /// denylist that forgets after this long then never forgets too early.
    pub max_lifetime: Option<Duration>,
    /// Whether tokens without `exp` are taken.
    pub endless: Endless,
    /// Whether tokens without `iss` or `aud` are taken.
    pub unnamed: Unnamed,
    /// Accepted `typ` headers.
    pub typ: Vec<Typ>,
    /// How many verified tokens are remembered. One takes as much memory as its claims and its header,
    /// about 1 kB as a rule: 8 MB when all of the default are.
    pub cached_tokens: usize,
}

impl VerifierSettings {
    /// Returns the strict settings: no leeway, clocks in step, `at+jwt` only, 8,192 tokens remembered.
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
            endless: Endless::Refused,
            unnamed: Unnamed::Refused,
            typ: vec![Typ::Access],
            cached_tokens: 8192,
        }
    }

    /// Takes tokens as Flask-JWT-Extended makes them, too: `typ: JWT`, without `iss` and `aud`. Its
    /// key must be one [for tokens without `kid`](crate::keys::VerifyingKey::for_tokens_without_kid).
    ///
    /// Nothing else is let go: `exp`, `type`, `jti`, `iat` and a `sub` that is text are required, though
    /// that library takes tokens without them.
    #[must_use]
    pub fn with_flask_jwt_extended(mut self) -> Self {
        self.unnamed = Unnamed::Admitted;
        if !self.typ.contains(&Typ::Plain) {
            self.typ.push(Typ::Plain);
        }
        self
    }
}
