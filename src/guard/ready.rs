//! Built-in policies: kinds, freshness, roles, scopes, locations.

use std::marker::PhantomData;

use super::location::Place;
use super::policy::{Freshness, Policy, Revocation};
use crate::error::AuthError;
use crate::token::{Claims, Expected};

/// Admits any valid access token.
#[derive(Debug)]
pub struct Required;

impl Policy for Required {
    const KIND: Option<Expected> = Some(Expected::Access);
}

/// Admits an access token whose `fresh` claim is true now.
#[derive(Debug)]
pub struct Fresh;

impl Policy for Fresh {
    const KIND: Option<Expected> = Some(Expected::Access);
    const FRESHNESS: Freshness = Freshness::Fresh;
}

/// Admits a refresh token.
#[derive(Debug)]
pub struct Refresh;

impl Policy for Refresh {
    const KIND: Option<Expected> = Some(Expected::Refresh);
}

/// Admits an access token or a refresh token: for a logout that accepts either.
#[derive(Debug)]
pub struct EitherKind;

impl Policy for EitherKind {
    const KIND: Option<Expected> = Some(Expected::Either);
}

/// Skips the denylist: for requests that must work on every page view and do no harm for a few minutes
/// after a logout. Combine it with others, as in `(Required, SkipRevocation)`.
#[derive(Debug)]
pub struct SkipRevocation;

impl Policy for SkipRevocation {
    const REVOCATION: Revocation = Revocation::Ignored;
}

/// Names locations, so that they can be part of a type.
pub trait Places: Send + Sync + 'static {
    /// Kinds of location that a guard searches.
    const PLACES: &'static [Place];
}

/// Accepts the token only in these locations, independent of other guards. The names of headers, cookies
/// and parameters come from [`Guards`](super::Guards): [`with_locations`](super::Guards::with_locations)
/// or [`with_named_locations`](super::Guards::with_named_locations).
///
/// ```
/// use latchet::guard::{In, Jwt, Place, Places, Required};
///
/// struct Link;
/// impl Places for Link {
///     const PLACES: &'static [Place] = &[Place::Query];
/// }
///
/// async fn download(jwt: Jwt<(Required, In<Link>)>) {}
/// ```
#[derive(Debug)]
pub struct In<L>(PhantomData<fn() -> L>);

impl<L: Places> Policy for In<L> {
    const PLACES: Option<&'static [Place]> = Some(L::PLACES);
}

/// Names a role, so that it can be part of a type.
pub trait RoleName: Send + Sync + 'static {
    /// The text in the claim `roles`.
    const NAME: &'static str;
}

/// Admits a token whose `roles` contain the name exactly.
#[derive(Debug)]
pub struct Role<R>(PhantomData<fn() -> R>);

impl<R: RoleName> Policy for Role<R> {
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
pub struct Scope<S>(PhantomData<fn() -> S>);

impl<S: ScopeName> Policy for Scope<S> {
    fn check(claims: &Claims) -> Result<(), AuthError> {
        if claims.has_scope(S::NAME) {
            return Ok(());
        }
        Err(AuthError::InsufficientScope)
    }
}
