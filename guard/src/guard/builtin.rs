//! Built-in policies: kinds, freshness, roles, scopes, locations.

use std::marker::PhantomData;

use super::location::LocationKind;
use super::policy::{Freshness, RevocationCheck, TokenPolicy};
use crate::error::AuthError;
use crate::token::{Claims, ExpectedKind};

/// Admits any valid access token.
#[derive(Debug)]
pub struct Required;

impl TokenPolicy for Required {
    const KIND: Option<ExpectedKind> = Some(ExpectedKind::Access);
}

/// Admits an access token whose `fresh` claim is true now.
#[derive(Debug)]
pub struct Fresh;

impl TokenPolicy for Fresh {
    const KIND: Option<ExpectedKind> = Some(ExpectedKind::Access);
    const FRESHNESS: Freshness = Freshness::Fresh;
}

/// Admits a refresh token.
#[derive(Debug)]
pub struct Refresh;

impl TokenPolicy for Refresh {
    const KIND: Option<ExpectedKind> = Some(ExpectedKind::Refresh);
}

/// Admits an access token or a refresh token: for a logout that accepts either.
#[derive(Debug)]
pub struct EitherKind;

impl TokenPolicy for EitherKind {
    const KIND: Option<ExpectedKind> = Some(ExpectedKind::Either);
}

/// Skips the denylist: for requests that must work on every page view and do no harm for a few minutes
/// after a logout. Combine it with others, as in `(Required, SkipRevocation)`.
#[derive(Debug)]
pub struct SkipRevocation;

impl TokenPolicy for SkipRevocation {
    const REVOCATION_CHECK: RevocationCheck = RevocationCheck::Skipped;
}

/// Names locations, so that they can be part of a type.
pub trait Locations: Send + Sync + 'static {
    /// Kinds of location that a guard searches.
    const LOCATIONS: &'static [LocationKind];
}

/// Accepts the token only in these locations, independent of other guards. The names of headers, cookies
/// and parameters come from [`Guards`](super::Guards): [`with_locations`](super::Guards::with_locations)
/// or [`with_named_locations`](super::Guards::with_named_locations).
///
/// ```
/// use latchet_guard::{OnlyIn, Jwt, LocationKind, Locations, Required};
///
/// struct Link;
/// impl Locations for Link {
///     const LOCATIONS: &'static [LocationKind] = &[LocationKind::Query];
/// }
///
/// async fn download(jwt: Jwt<(Required, OnlyIn<Link>)>) {}
/// ```
#[derive(Debug)]
pub struct OnlyIn<L>(PhantomData<fn() -> L>);

impl<L: Locations> TokenPolicy for OnlyIn<L> {
    const LOCATIONS: Option<&'static [LocationKind]> = Some(L::LOCATIONS);
}

/// Names a role, so that it can be part of a type.
pub trait RoleName: Send + Sync + 'static {
    /// The text in the claim `roles`.
    const NAME: &'static str;
}

/// Admits a token whose `roles` contain the name exactly, and which is not limited to some scopes
/// ([`Claims::has_role`]).
#[derive(Debug)]
pub struct HasRole<R>(PhantomData<fn() -> R>);

impl<R: RoleName> TokenPolicy for HasRole<R> {
    fn check(claims: &Claims) -> Result<(), AuthError> {
        if claims.has_role(R::NAME) {
            return Ok(());
        }
        Err(AuthError::InsufficientScope)
    }
}

/// Names a scope, so that it can be part of a type.
pub trait ScopeName: Send + Sync + 'static {
    /// One word of the claim `scope`.
    const NAME: &'static str;
}

/// Admits a token whose `scope`, words separated by spaces (RFC 8693), contains the name exactly.
#[derive(Debug)]
pub struct HasScope<S>(PhantomData<fn() -> S>);

impl<S: ScopeName> TokenPolicy for HasScope<S> {
    fn check(claims: &Claims) -> Result<(), AuthError> {
        if claims.has_scope(S::NAME) {
            return Ok(());
        }
        Err(AuthError::InsufficientScope)
    }
}
