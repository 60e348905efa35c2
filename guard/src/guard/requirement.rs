//! Requirement of a guard: a token, or an optional token.

use std::marker::PhantomData;

use super::builtin::Required;
use super::policy::TokenPolicy;
use crate::error::AuthError;

/// Admits a request without any token, and one whose token satisfies `P`.
///
/// A token that is forged, expired, revoked or of the wrong kind is refused as on any other route. It is
/// not a [`TokenPolicy`], so it cannot be part of a tuple; it can contain one:
///
/// ```
/// # use latchet_guard::{Fresh, Jwt, Optional, HasRole, RoleName};
/// # struct Admin;
/// # impl RoleName for Admin {
/// #     const NAME: &'static str = "admin";
/// # }
/// async fn greet(jwt: Jwt<Optional<(Fresh, HasRole<Admin>)>>) {}
/// ```
///
/// ```compile_fail,E0277
/// # use latchet_guard::{Fresh, Jwt, Optional};
/// async fn greet(jwt: Jwt<(Optional, Fresh)>) {}
/// ```
#[derive(Debug)]
pub struct Optional<P = Required>(PhantomData<fn() -> P>);

/// Requirement of a guard for requests with and without a token: every [`TokenPolicy`], and [`Optional`]
/// around one.
///
/// It is sealed: only this module decides whether a request without a token is accepted.
pub trait Requirement: sealed::Sealed + Send + Sync + 'static {
    /// Policy that a presented token must satisfy.
    type Policy: TokenPolicy;

    /// Type in which the handler receives a value of the token: the value itself, or an `Option` behind
    /// [`Optional`].
    type Output<T: Send + Sync + 'static>: Send + Sync + 'static;

    /// Returns a value of a token that passed every check; `None` if there is no token.
    ///
    /// # Errors
    /// [`AuthError::MissingToken`] where one is required.
    fn apply<T: Send + Sync + 'static>(presented: Option<T>) -> Result<Self::Output<T>, AuthError>;
}

impl<P: TokenPolicy> Requirement for P {
    type Policy = P;
    type Output<T: Send + Sync + 'static> = T;

    fn apply<T: Send + Sync + 'static>(presented: Option<T>) -> Result<T, AuthError> {
        presented.ok_or(AuthError::MissingToken)
    }
}

impl<P: TokenPolicy> Requirement for Optional<P> {
    type Policy = P;
    type Output<T: Send + Sync + 'static> = Option<T>;

    fn apply<T: Send + Sync + 'static>(presented: Option<T>) -> Result<Option<T>, AuthError> {
        Ok(presented)
    }
}

mod sealed {
    use super::{Optional, TokenPolicy};

    pub trait Sealed {}
    impl<P: TokenPolicy> Sealed for P {}
    impl<P: TokenPolicy> Sealed for Optional<P> {}
}
