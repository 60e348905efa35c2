//! What a token must be and carry to be admitted: types, so that a route says it in its signature.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::error::AuthError;
use crate::token::{Claims, Expected};

/// What a token that was shown must satisfy. Tuples of two to four policies are a policy: all hold.
///
/// A rule of your own is three lines:
///
/// ```
/// use latchet::error::AuthError;
/// use latchet::guard::{Fresh, Jwt, Policy};
/// use latchet::token::Claims;
///
/// struct Paying;
/// impl Policy for Paying {
///     fn check(claims: &Claims) -> Result<(), AuthError> {
///         let plan = claims.extra.get("plan").and_then(|plan| plan.as_str());
///         plan.filter(|&plan| plan != "free").map(|_| ()).ok_or(AuthError::InsufficientScope)
///     }
/// }
///
/// type PayingUser = Jwt<(Fresh, Paying)>;
/// ```
///
/// Members that insist on different kinds do not build:
///
/// ```compile_fail,E0080
/// use latchet::guard::{Fresh, Policy, Refresh};
///
/// const KIND: Option<latchet::token::Expected> = <(Fresh, Refresh)>::KIND;
/// ```
pub trait Policy: Send + Sync + 'static {
    /// The kind this policy insists on. Where no member of a tuple does, it is access.
    const KIND: Option<Expected> = None;

    /// How recent the proof of the password must be.
    const FRESHNESS: Freshness = Freshness::Any;

    /// Looks at the claims of a token that is valid, of the right kind and not revoked.
    ///
    /// # Errors
    /// [`AuthError::InsufficientScope`] as a rule: the token is good, and not good enough here.
    fn check(claims: &Claims) -> Result<(), AuthError> {
        let _ = claims;
        Ok(())
    }
}

/// Whether a policy asks for a password proved lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Any valid token will do.
    Any,
    /// `fresh` must hold now.
    Fresh,
}

/// Admits any valid access token.
#[derive(Debug)]
pub struct Required;

impl Policy for Required {
    const KIND: Option<Expected> = Some(Expected::Access);
}

/// Admits an access token whose `fresh` claim holds now.
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

/// Admits an access token or a refresh token: for a logout that takes whichever the client has.
#[derive(Debug)]
pub struct EitherKind;

impl Policy for EitherKind {
    const KIND: Option<Expected> = Some(Expected::Either);
}

/// Names a role, so that it can stand in a type.
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

/// Names a scope, so that it can stand in a type.
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

/// Two members that insist on different kinds could never be satisfied: a build error, not a route
/// that refuses everybody.
const fn agreed(a: Option<Expected>, b: Option<Expected>) -> Option<Expected> {
    match (a, b) {
        (None, one) | (one, None) => one,
        (Some(Expected::Access), Some(Expected::Access))
        | (Some(Expected::Refresh), Some(Expected::Refresh))
        | (Some(Expected::Either), Some(Expected::Either)) => a,
        _ => panic!("these policies ask for different kinds of token"),
    }
}

const fn stricter(a: Freshness, b: Freshness) -> Freshness {
    match (a, b) {
        (Freshness::Any, Freshness::Any) => Freshness::Any,
        _ => Freshness::Fresh,
    }
}

impl<A: Policy, B: Policy> Policy for (A, B) {
    const KIND: Option<Expected> = agreed(A::KIND, B::KIND);
    const FRESHNESS: Freshness = stricter(A::FRESHNESS, B::FRESHNESS);

    fn check(claims: &Claims) -> Result<(), AuthError> {
        A::check(claims)?;
        B::check(claims)
    }
}

impl<A: Policy, B: Policy, C: Policy> Policy for (A, B, C) {
    const KIND: Option<Expected> = <((A, B), C)>::KIND;
    const FRESHNESS: Freshness = <((A, B), C)>::FRESHNESS;

    fn check(claims: &Claims) -> Result<(), AuthError> {
        <((A, B), C)>::check(claims)
    }
}

impl<A: Policy, B: Policy, C: Policy, D: Policy> Policy for (A, B, C, D) {
    const KIND: Option<Expected> = <((A, B), (C, D))>::KIND;
    const FRESHNESS: Freshness = <((A, B), (C, D))>::FRESHNESS;

    fn check(claims: &Claims) -> Result<(), AuthError> {
        <((A, B), (C, D))>::check(claims)
    }
}

/// Admits a request without any token, and one whose token satisfies `P`.
///
/// A token that is forged, expired, revoked or of the wrong kind is refused as on any other route.
/// It is not a [`Policy`], so it cannot stand in a tuple; a tuple stands in it:
///
/// ```
/// # use latchet::guard::{Fresh, Jwt, Optional, Role, RoleName};
/// # struct Admin;
/// # impl RoleName for Admin {
/// #     const NAME: &'static str = "admin";
/// # }
/// async fn greet(jwt: Jwt<Optional<(Fresh, Role<Admin>)>>) {}
/// ```
///
/// ```compile_fail,E0277
/// # use latchet::guard::{Fresh, Jwt, Optional};
/// async fn greet(jwt: Jwt<(Optional, Fresh)>) {}
/// ```
#[derive(Debug)]
pub struct Optional<P = Required>(PhantomData<fn() -> P>);

/// What a guard does with a token and without one: every [`Policy`], and [`Optional`] around one.
///
/// It cannot be implemented elsewhere: who is let in without a token is decided here alone.
pub trait Admission: sealed::Sealed + Send + Sync + 'static {
    /// What a token that was shown must satisfy.
    type Policy: Policy;

    /// What the handler gets.
    type Claims: Clone + std::fmt::Debug + Send + Sync + 'static;

    /// Hands over the claims of a token that passed every check.
    fn present(claims: Arc<Claims>) -> Self::Claims;

    /// Answers a request that carries no token.
    ///
    /// # Errors
    /// [`AuthError::MissingToken`] where a token is required.
    fn absent() -> Result<Self::Claims, AuthError>;
}

impl<P: Policy> Admission for P {
    type Policy = P;
    type Claims = Arc<Claims>;

    fn present(claims: Arc<Claims>) -> Arc<Claims> {
        claims
    }

    fn absent() -> Result<Arc<Claims>, AuthError> {
        Err(AuthError::MissingToken)
    }
}

impl<P: Policy> Admission for Optional<P> {
    type Policy = P;
    type Claims = Option<Arc<Claims>>;

    fn present(claims: Arc<Claims>) -> Option<Arc<Claims>> {
        Some(claims)
    }

    fn absent() -> Result<Option<Arc<Claims>>, AuthError> {
        Ok(None)
    }
}

mod sealed {
    use super::{Optional, Policy};

    pub trait Sealed {}
    impl<P: Policy> Sealed for P {}
    impl<P: Policy> Sealed for Optional<P> {}
}
