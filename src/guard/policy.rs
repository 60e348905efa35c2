//! What a token must be and carry to be admitted: types, so that a route says it in its signature.

use super::location::Place;
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
///
/// What holds for many handlers is given a name: `type PayingUser = Jwt<(Fresh, Paying)>` above.
pub trait Policy: Send + Sync + 'static {
    /// The kind this policy insists on. Where no member of a tuple does, it is access.
    const KIND: Option<Expected> = None;

    /// How recent the proof of the password must be.
    const FRESHNESS: Freshness = Freshness::Any;

    /// Whether revoked tokens are found out.
    const REVOCATION: Revocation = Revocation::Checked;

    /// Where alone the token may stand; `None` is wherever [`Guards`](super::Guards) look. At most one
    /// member of a tuple may say so.
    const PLACES: Option<&'static [Place]> = None;

    /// Looks at the claims of a token that is valid, of the right kind and not revoked.
    ///
    /// # Errors
    /// [`AuthError::InsufficientScope`] when the token is good, and not good enough here;
    /// [`AuthError::ClaimsRejected`] when another token of the same user would do.
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

/// Whether the denylist is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// Every time.
    Checked,
    /// Never: a token counts until it expires, even after a logout.
    Ignored,
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

const fn laxer(a: Revocation, b: Revocation) -> Revocation {
    match (a, b) {
        (Revocation::Checked, Revocation::Checked) => Revocation::Checked,
        _ => Revocation::Ignored,
    }
}

/// What two lists of places would mean together, all or either, nobody could tell from the type.
const fn only_one<T: Copy>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (None, one) | (one, None) => one,
        _ => panic!("two of these policies say where the token may stand"),
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
