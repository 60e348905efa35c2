//! Conditions on tokens, as types, so that a route declares them in its signature.

use super::location::LocationKind;
use crate::error::AuthError;
use crate::token::{Claims, ExpectedKind};

/// Conditions that a presented token must satisfy. A tuple of two to four policies is a policy too: all
/// of them apply.
///
/// A custom rule takes three lines:
///
/// ```
/// use latchet_guard::error::AuthError;
/// use latchet_guard::{Fresh, Jwt, TokenPolicy};
/// use latchet_guard::token::Claims;
///
/// struct Paying;
/// impl TokenPolicy for Paying {
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
/// use latchet_guard::{Fresh, TokenPolicy, Refresh};
///
/// const KIND: Option<latchet_guard::token::ExpectedKind> = <(Fresh, Refresh)>::KIND;
/// ```
///
/// A type alias names a combination that many handlers use: `type PayingUser = Jwt<(Fresh, Paying)>`
/// above.
pub trait TokenPolicy: Send + Sync + 'static {
    /// Required kind of token. If no member of a tuple requires one, it is access.
    const KIND: Option<ExpectedKind> = None;

    /// Required freshness of the password entry.
    const FRESHNESS: Freshness = Freshness::Any;

    /// Check for revoked tokens.
    const REVOCATION_CHECK: RevocationCheck = RevocationCheck::Required;

    /// The only locations that may contain the token; `None` means all locations of
    /// [`Guards`](super::Guards). At most one member of a tuple may set this.
    const LOCATIONS: Option<&'static [LocationKind]> = None;

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
pub enum RevocationCheck {
    /// The denylist is queried for every request.
    Required,
    /// The denylist is not queried: a token is accepted until it expires, even after a logout.
    Skipped,
}

/// Two members that require different kinds could never be satisfied: a compile error, instead of a
/// route that refuses every request.
const fn common_kind(a: Option<ExpectedKind>, b: Option<ExpectedKind>) -> Option<ExpectedKind> {
    match (a, b) {
        (None, one) | (one, None) => one,
        (Some(ExpectedKind::Access), Some(ExpectedKind::Access))
        | (Some(ExpectedKind::Refresh), Some(ExpectedKind::Refresh))
        | (Some(ExpectedKind::Either), Some(ExpectedKind::Either)) => a,
        _ => panic!("these policies require different kinds of token"),
    }
}

const fn stricter_freshness(a: Freshness, b: Freshness) -> Freshness {
    match (a, b) {
        (Freshness::Any, Freshness::Any) => Freshness::Any,
        _ => Freshness::Fresh,
    }
}

const fn laxer_revocation_check(a: RevocationCheck, b: RevocationCheck) -> RevocationCheck {
    match (a, b) {
        (RevocationCheck::Required, RevocationCheck::Required) => RevocationCheck::Required,
        _ => RevocationCheck::Skipped,
    }
}

/// Two lists of locations would be ambiguous: they could mean all or either.
const fn at_most_one<T: Copy>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (None, one) | (one, None) => one,
        _ => panic!("two of these policies restrict the location of the token"),
    }
}

impl<A: TokenPolicy, B: TokenPolicy> TokenPolicy for (A, B) {
    const KIND: Option<ExpectedKind> = common_kind(A::KIND, B::KIND);
    const FRESHNESS: Freshness = stricter_freshness(A::FRESHNESS, B::FRESHNESS);
    const REVOCATION_CHECK: RevocationCheck =
        laxer_revocation_check(A::REVOCATION_CHECK, B::REVOCATION_CHECK);
    const LOCATIONS: Option<&'static [LocationKind]> = at_most_one(A::LOCATIONS, B::LOCATIONS);

    fn check(claims: &Claims) -> Result<(), AuthError> {
        A::check(claims)?;
        B::check(claims)
    }
}

/// A longer tuple is a pair of shorter ones.
macro_rules! tuple_is_pair {
    (($($member:ident),+) is $pair:ty) => {
        impl<$($member: TokenPolicy),+> TokenPolicy for ($($member,)+) {
            const KIND: Option<ExpectedKind> = <$pair>::KIND;
            const FRESHNESS: Freshness = <$pair>::FRESHNESS;
            const REVOCATION_CHECK: RevocationCheck = <$pair>::REVOCATION_CHECK;
            const LOCATIONS: Option<&'static [LocationKind]> = <$pair>::LOCATIONS;

            fn check(claims: &Claims) -> Result<(), AuthError> {
                <$pair>::check(claims)
            }
        }
    };
}

tuple_is_pair!((A, B, C) is ((A, B), C));
tuple_is_pair!((A, B, C, D) is ((A, B), (C, D)));
