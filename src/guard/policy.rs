//! Conditions on tokens, as types, so that a route declares them in its signature.

use super::location::Place;
use crate::error::AuthError;
use crate::token::{Claims, Expected};

/// Conditions that a presented token must satisfy. A tuple of two to four policies is a policy too: all
/// of them apply.
///
/// A custom rule takes three lines:
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
/// A tuple whose members require different kinds does not compile:
///
/// ```compile_fail,E0080
/// use latchet::guard::{Fresh, Policy, Refresh};
///
/// const KIND: Option<latchet::token::Expected> = <(Fresh, Refresh)>::KIND;
/// ```
///
/// A type alias names a combination that many handlers use: `type PayingUser = Jwt<(Fresh, Paying)>`
/// above.
pub trait Policy: Send + Sync + 'static {
    /// Required kind of token. If no member of a tuple requires one, it is access.
    const KIND: Option<Expected> = None;

    /// Required freshness of the password entry.
    const FRESHNESS: Freshness = Freshness::Any;

    /// Check for revoked tokens.
    const REVOCATION: Revocation = Revocation::Checked;

    /// The only locations that may contain the token; `None` means all locations of
    /// [`Guards`](super::Guards). At most one member of a tuple may set this.
    const PLACES: Option<&'static [Place]> = None;

    /// Checks the claims of a token that is valid, of the right kind and not revoked.
    ///
    /// # Errors
    /// [`AuthError::InsufficientScope`] when the token is valid but not sufficient here;
    /// [`AuthError::ClaimsRejected`] when another token of the same user would be accepted.
    fn check(claims: &Claims) -> Result<(), AuthError> {
        let _ = claims;
        Ok(())
    }
}

/// Freshness that a policy requires of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Any valid token is accepted.
    Any,
    /// `fresh` must be true now.
    Fresh,
}

/// Use of the denylist by a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// The denylist is queried for every request.
    Checked,
    /// The denylist is not queried: a token is accepted until it expires, even after a logout.
    Ignored,
}

/// Two members that require different kinds could never be satisfied: a compile error, instead of a
/// route that refuses every request.
const fn agreed(a: Option<Expected>, b: Option<Expected>) -> Option<Expected> {
    match (a, b) {
        (None, one) | (one, None) => one,
        (Some(Expected::Access), Some(Expected::Access))
        | (Some(Expected::Refresh), Some(Expected::Refresh))
        | (Some(Expected::Either), Some(Expected::Either)) => a,
        _ => panic!("these policies require different kinds of token"),
    }
}

const fn stricter(a: Freshness, b: Freshness) -> Freshness {
    match (a, b) {
        (Freshness::Any, Freshness::Any) => Freshness::Any,
        _ => Freshness::Fresh,
    }
}

const fn laxer(a: Revocation, b: Revocation) -> Revocation {
    match (a, b) {
        (Revocation::Checked, Revocation::Checked) => Revocation::Checked,
        _ => Revocation::Ignored,
    }
}

/// Two lists of locations would be ambiguous: they could mean all or either.
const fn only_one<T: Copy>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (None, one) | (one, None) => one,
        _ => panic!("two of these policies restrict the location of the token"),
    }
}

impl<A: Policy, B: Policy> Policy for (A, B) {
    const KIND: Option<Expected> = agreed(A::KIND, B::KIND);
    const FRESHNESS: Freshness = stricter(A::FRESHNESS, B::FRESHNESS);
    const REVOCATION: Revocation = laxer(A::REVOCATION, B::REVOCATION);
    const PLACES: Option<&'static [Place]> = only_one(A::PLACES, B::PLACES);

    fn check(claims: &Claims) -> Result<(), AuthError> {
        A::check(claims)?;
        B::check(claims)
    }
}

/// A longer tuple is a pair of shorter ones.
macro_rules! tuple_is_pair {
    (($($member:ident),+) is $pair:ty) => {
        impl<$($member: Policy),+> Policy for ($($member,)+) {
            const KIND: Option<Expected> = <$pair>::KIND;
            const FRESHNESS: Freshness = <$pair>::FRESHNESS;
            const REVOCATION: Revocation = <$pair>::REVOCATION;
            const PLACES: Option<&'static [Place]> = <$pair>::PLACES;

            fn check(claims: &Claims) -> Result<(), AuthError> {
                <$pair>::check(claims)
            }
        }
    };
}

tuple_is_pair!((A, B, C) is ((A, B), C));
tuple_is_pair!((A, B, C, D) is ((A, B), (C, D)));
