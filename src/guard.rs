//! Guards: the handler argument that protects a route.
//!
//! Put [`Guards`] on the routes once and name the guard in each handler's signature; there is no
//! middleware scope that a route could be mounted outside of. Every guard, of whatever policy, runs
//! [`Guards::authenticate`], in this order: find the one token → CSRF where a cookie carried it →
//! size, header, signature, claims, time, kind ([`Verifier`]) → freshness → denylist → roles, scopes
//! and policies of your own. The first failure answers.
//!
//! ```
//! use latchet::guard::{Fresh, Jwt, JwtRequired, Role, RoleName};
//! use poem_openapi::{OpenApi, payload::PlainText};
//!
//! struct Admin;
//! impl RoleName for Admin {
//!     const NAME: &'static str = "admin";
//! }
//!
//! struct Api;
//! #[OpenApi]
//! impl Api {
//!     #[oai(path = "/me", method = "get")]
//!     async fn me(&self, jwt: JwtRequired) -> PlainText<String> {
//!         PlainText(jwt.claims.sub.clone())
//!     }
//!
//!     #[oai(path = "/purge", method = "post")]
//!     async fn purge(&self, _jwt: Jwt<(Fresh, Role<Admin>)>) {}
//! }
//! ```
//!
//! # Coming from Flask-JWT-Extended
//!
//! | request | Flask-JWT-Extended | here |
//! |---|---|---|
//! | `bearer …` in lower case | as if no token | accepted (RFC 9110: schemes ignore case) |
//! | `Bearer` alone, `Bearer a b` | 422 | 401 `malformed_token` |
//! | `Basic …` and the like | 401; anonymous where optional | the same, `missing_token` |
//! | `Basic …, Bearer <token>` | accepted | accepted |
//! | `Bearer a, Bearer b`, or a token in two places | 401, or the first counts | 400 `validation_failed` |
//! | `Authorization: " , , "` | 500 | 401 `missing_token` |
//! | bad signature, garbage, wrong `aud`, missing claim | 422 | 401 `invalid_token`, `malformed_token` |
//! | a refresh token where access is needed, or the reverse | 422 | 401 `wrong_token_type` |
//! | a claim `type` other than the two, or none | an access token | 401 |
//! | CSRF value missing or wrong | 401 | 403 `csrf_failed` (a new token would not help) |
//! | CSRF header that is not ASCII | 500 | 403 `csrf_failed` |
//! | `OPTIONS` | never checked | checked like any other method |
//! | denylist out of order | whatever the callback raises, 500 | 503 with `Retry-After` |
//!
//! `OPTIONS` is not exempt because a handler that runs has claims in its hand, and there are none to
//! give. CORS preflights lose nothing: poem's `Cors` middleware answers them before any handler.

use std::sync::Arc;

use poem::Request;

use crate::clock::{Clock, Time};
use crate::denylist::{Denylist, Unavailable};
use crate::error::AuthError;
use crate::token::{Claims, Expected, Verifier};

mod csrf;
mod extractor;
mod location;
mod policy;
#[cfg(test)]
mod tests;

pub use csrf::Csrf;
pub use extractor::{Jwt, JwtFresh, JwtOptional, JwtRefresh, JwtRequired, SECURITY_SCHEME};
pub use location::{Cookies, Location};
pub use policy::{
    Admission, EitherKind, Fresh, Freshness, Optional, Policy, Refresh, Required, Role, RoleName,
    Scope, ScopeName,
};

/// What guards ask: which tokens are genuine, which were revoked, and where tokens are sent.
///
/// Clones share everything; `.data(guards)` on the outermost route hands it to every guard.
#[derive(Clone, Debug)]
pub struct Guards(Arc<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    verifier: Arc<Verifier>,
    denylist: Arc<dyn Denylist>,
    clock: Clock,
    locations: Vec<Location>,
}

impl Guards {
    /// Returns guards that look for tokens in the `Authorization` header alone.
    pub fn new(verifier: Arc<Verifier>, denylist: Arc<dyn Denylist>, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            verifier,
            denylist,
            clock,
            locations: vec![Location::Header],
        }))
    }

    /// Looks for tokens in these places instead. A request with a token in two of them is refused.
    #[must_use]
    pub fn with_locations(self, locations: impl IntoIterator<Item = Location>) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.0);
        inner.locations = locations.into_iter().collect();
        Self(Arc::new(inner))
    }

    /// Returns the claims of the token that `request` carries, after every check.
    ///
    /// # Errors
    /// Why the request is refused; [`AuthError::Unavailable`] when the denylist gave no answer.
    pub async fn authenticate<A: Admission>(
        &self,
        request: &Request,
    ) -> Result<A::Claims, AuthError> {
        let Inner {
            verifier,
            denylist,
            clock,
            locations,
        } = &*self.0;
        let expected = const { expected::<A::Policy>() };
        let Some(shown) = location::find(locations, request, expected)? else {
            return A::absent();
        };
        let proof = csrf::proof(shown.csrf, request)?;

        let now = clock.now();
        let claims = verifier.verify(shown.token, expected, now)?;
        proof.check(&claims)?;
        check_freshness::<A::Policy>(&claims, now)?;
        check_denylist(&**denylist, shown.token, &claims, now).await?;
        A::Policy::check(&claims)?;
        Ok(A::present(claims))
    }
}

/// Returns the claims of the token that `request` carries, after every check of the guard `A`: for
/// plain poem handlers, where [`Jwt`] cannot be an argument.
///
/// Take the body as [`poem::Body`] and parse it after this call, so that a stranger with a broken
/// body is told `401`.
///
/// ```
/// use latchet::guard::{Required, authenticate};
/// use poem::{Request, Result, handler};
///
/// #[handler]
/// async fn hello(request: &Request) -> Result<String> {
///     let claims = authenticate::<Required>(request).await?;
///     Ok(format!("hello {}", claims.sub))
/// }
/// ```
///
/// # Errors
/// Why the request is refused; [`AuthError::Unavailable`] when the denylist gave no answer, or when
/// the route has no [`Guards`], which is a mistake in the program.
pub async fn authenticate<A: Admission>(request: &Request) -> Result<A::Claims, AuthError> {
    let Some(guards) = request.data::<Guards>() else {
        tracing::error!(
            "a guarded route has no `Guards`: add `.data(guards)` to the outermost route"
        );
        return Err(AuthError::Unavailable);
    };
    guards.authenticate::<A>(request).await
}

const fn expected<P: Policy>() -> Expected {
    match P::KIND {
        Some(expected) => expected,
        None => Expected::Access,
    }
}

fn check_freshness<P: Policy>(claims: &Claims, now: Time) -> Result<(), AuthError> {
    match P::FRESHNESS {
        Freshness::Fresh if !claims.fresh.is_fresh(now) => Err(AuthError::FreshTokenRequired),
        Freshness::Any | Freshness::Fresh => Ok(()),
    }
}

async fn check_denylist(
    denylist: &dyn Denylist,
    token: &str,
    claims: &Claims,
    now: Time,
) -> Result<(), AuthError> {
    match denylist.is_token_denied(token, claims, now).await {
        Ok(false) => Ok(()),
        Ok(true) => Err(AuthError::TokenRevoked),
        Err(Unavailable(cause)) => {
            tracing::warn!(
                cause = cause.map(tracing::field::display),
                "the denylist gave no answer"
            );
            Err(AuthError::Unavailable)
        }
    }
}
