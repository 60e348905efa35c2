//! Requirement of a guard: a token, or an optional token.

use std::marker::PhantomData;

use super::policy::Policy;
use super::ready::Required;
use crate::error::AuthError;

/// Admits a request without any token, and one whose token satisfies `P`.
///
/// A token that is forged, expired, revoked or of the wrong kind is refused as on any other route. It is
/// not a [`Policy`], so it cannot be part of a tuple; it can contain one:
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

/// Requirement of a guard for requests with and without a token: every [`Policy`], and [`Optional`]
/// around one.
///
/// It is sealed: only this module decides whether a request without a token is accepted.
pub trait Admission: sealed::Sealed + Send + Sync + 'static {
    /// Policy that a presented token must satisfy.
    type Policy: Policy;

    /// Type in which the handler receives a value of the token: the value itself, or an `Option` behind
    /// [`Optional`].
    type Of<T: Send + Sync + 'static>: Send + Sync + 'static;

    /// Returns a value of a token that passed every check; `None` if there is no token.
    ///
    /// # Errors
    /// [`AuthError::MissingToken`] where one is required.
    fn admit<T: Send + Sync + 'static>(shown: Option<T>) -> Result<Self::Of<T>, AuthError>;
}

impl<P: Policy> Admission for P {
    type Policy = P;
    type Of<T: Send + Sync + 'static> = T;

    fn admit<T: Send + Sync + 'static>(shown: Option<T>) -> Result<T, AuthError> {
        shown.ok_or(AuthError::MissingToken)
    }
}

impl<P: Policy> Admission for Optional<P> {
    type Policy = P;
    type Of<T: Send + Sync + 'static> = Option<T>;

    fn admit<T: Send + Sync + 'static>(shown: Option<T>) -> Result<Option<T>, AuthError> {
        Ok(shown)
    }
}

mod sealed {
    use super::{Optional, Policy};

    pub trait Sealed {}
    impl<P: Policy> Sealed for P {}
    impl<P: Policy> Sealed for Optional<P> {}
}
