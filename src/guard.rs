//! Guards: the handler argument that protects a route.
//!
//! Put [`Guards`] on the routes once and name the guard in each handler's signature; there is no
//! middleware scope that a route could be mounted outside of. Every guard, of whatever policy, runs
//! [`Guards::authenticate`], in this order: find the one token → CSRF where a cookie carried it →
//! size, header, signature, claims, time, kind ([`Verifier`]) → freshness → denylist → roles, scopes
//! and policies of your own → the current user. The first failure answers.
//!
//! | to … | write |
//! |---|---|
//! | protect a handler | an argument [`JwtRequired`], [`JwtFresh`], [`JwtRefresh`], [`JwtOptional`], `Jwt<EitherKind>` |
//! | ask for a role or scope | `Jwt<Role<Admin>>`, `Jwt<Scope<ReadMail>>`; several as a tuple, `Jwt<(Fresh, Role<Admin>)>` |
//! | ask for something of your own | a [`Policy`] of three lines |
//! | admit the owner of a thing, or an administrator | [`Jwt::owner_or`] in the handler's body |
//! | know the user, not only the claims | `Jwt<Required, Account>`, with [`CurrentUser`] for `Account` |
//! | protect a plain poem handler | [`Jwt::authenticate`] or [`authenticate`] in its first line |
//! | read tokens from elsewhere | [`Guards::with_locations`]; for some handlers alone, [`In`] |
//! | go without the denylist | [`SkipRevocation`] |
//! | answer refusals in your own words | [`Guards::with_refusals`] |
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

use poem::{Body, Request, Response};

use crate::clock::{Clock, Time};
use crate::denylist::{Denylist, Unavailable};
use crate::error::AuthError;
use crate::token::{Claims, Expected, Verified, Verifier};

mod admission;
mod body;
mod csrf;
mod extractor;
mod flask;
mod location;
mod policy;
mod ready;
mod refusal;
#[cfg(test)]
mod tests;
mod user;

pub use admission::{Admission, Optional};
pub use csrf::{Csrf, CsrfMethods};
pub use extractor::{Jwt, JwtFresh, JwtOptional, JwtRefresh, JwtRequired, SECURITY_SCHEME};
pub use flask::flask_jwt_extended_errors;
pub use location::{Location, Place};
pub use policy::{Freshness, Policy, Revocation};
pub use ready::{
    EitherKind, Fresh, In, Places, Refresh, Required, Role, RoleName, Scope, ScopeName,
    SkipRevocation,
};
pub use refusal::Refusal;
pub use user::CurrentUser;

use body::BodySlot;
use location::Shown;
use refusal::{Asked, Wording};

/// What guards ask: which tokens are genuine, which were revoked, and where tokens are sent.
///
/// Clones share everything; `.data(guards)` on the outermost route hands it to every guard. Another
/// `.data(other_guards)` further in counts for the routes inside it.
#[derive(Clone, Debug)]
pub struct Guards(Arc<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    verifier: Arc<Verifier>,
    denylist: Arc<dyn Denylist>,
    clock: Clock,
    locations: Vec<Location>,
    /// Looked at by guards that name places alone.
    named_locations: Vec<Location>,
    wording: Wording,
}

impl Guards {
    /// Returns guards that look for tokens in the `Authorization` header alone.
    pub fn new(verifier: Arc<Verifier>, denylist: Arc<dyn Denylist>, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            verifier,
            denylist,
            clock,
            locations: vec![Location::header()],
            named_locations: Vec::new(),
            wording: Wording::default(),
        }))
    }

    /// Looks for tokens in these places instead. A request with a token in two of them is refused,
    /// so their order is of no importance.
    #[must_use]
    pub fn with_locations(self, locations: impl IntoIterator<Item = Location>) -> Self {
        self.with(|inner| inner.locations = locations.into_iter().collect())
    }

    /// Knows these places too, but only guards that name them with [`In`] look there.
    #[must_use]
    pub fn with_named_locations(self, locations: impl IntoIterator<Item = Location>) -> Self {
        self.with(|inner| inner.named_locations = locations.into_iter().collect())
    }

    /// Words every refusal by this function, whatever handler it comes from: status, body and headers
    /// are its own. [`flask_jwt_extended_errors`] makes such a function.
    ///
    /// ```
    /// # use latchet::guard::{Guards, Refusal};
    /// # use poem::Response;
    /// # fn example(guards: Guards) -> Guards {
    /// guards.with_refusals(|refusal: &Refusal<'_>| {
    ///     let problem = refusal.error().problem();
    ///     Response::builder()
    ///         .status(problem.status)
    ///         .content_type("application/json")
    ///         .body(format!(r#"{{"error": "{}"}}"#, problem.code))
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn with_refusals(
        self,
        answer: impl Fn(&Refusal<'_>) -> Response + Send + Sync + 'static,
    ) -> Self {
        self.with(|inner| inner.wording = Wording::by(answer))
    }

    fn with(self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.0);
        change(&mut inner);
        Self(Arc::new(inner))
    }

    /// Returns the claims of the token that `request` carries, after every check, or the bare reason
    /// why not. The body is not looked into.
    ///
    /// # Errors
    /// Why the request is refused; [`AuthError::Unavailable`] when the denylist gave no answer.
    pub async fn authenticate<A: Admission>(
        &self,
        request: &Request,
    ) -> Result<A::Of<Arc<Claims>>, AuthError> {
        let shown = self
            .check::<A::Policy>(request, &mut BodySlot::Closed)
            .await
            .map_err(|refused| refused.error)?;
        A::admit(shown.map(|admitted| admitted.verified.claims))
    }

    /// The one choke point: every guard of every policy comes through here.
    async fn check<P: Policy>(
        &self,
        request: &Request,
        body: &mut BodySlot<'_>,
    ) -> Result<Option<Admitted>, Refused> {
        let expected = const { expected::<P>() };
        let locations = self.locations::<P>()?;
        let Some(shown) = location::find(locations, request, body, expected).await? else {
            return Ok(None);
        };
        let proof = csrf::proof(&shown, request, body).await?;

        let now = self.0.clock.now();
        let verified = self.verify(&shown, expected, now)?;
        let claims = &verified.claims;
        let refused = |error| Refused {
            error,
            claims: Some(Arc::clone(claims)),
        };
        proof.check(claims).map_err(refused)?;
        check_freshness::<P>(claims, now).map_err(refused)?;
        if matches!(P::REVOCATION, Revocation::Checked) {
            check_denylist(&*self.0.denylist, claims, now)
                .await
                .map_err(refused)?;
        }
        P::check(claims).map_err(refused)?;
        Ok(Some(Admitted {
            place: shown.place,
            verified,
        }))
    }

    fn locations<P: Policy>(&self) -> Result<impl Iterator<Item = &Location> + Clone, AuthError> {
        let named = match P::PLACES {
            Some(_) => &self.0.named_locations[..],
            None => &[],
        };
        let meant = |location: &&Location| {
            P::PLACES.is_none_or(|places| places.contains(&location.place()))
        };
        let locations = self.0.locations.iter().chain(named).filter(meant);
        if P::PLACES.is_some() && locations.clone().next().is_none() {
            tracing::error!(
                places = ?P::PLACES,
                "a guard names places that its `Guards` do not know: add `.with_named_locations(..)`"
            );
            return Err(AuthError::Unavailable);
        }
        Ok(locations)
    }

    fn verify(
        &self,
        shown: &Shown<'_>,
        expected: Expected,
        now: Time,
    ) -> Result<Verified, Refused> {
        let Inner {
            verifier, wording, ..
        } = &*self.0;
        let answer = verifier.verify_with_header(&shown.token, expected, now);
        answer.map_err(|error| {
            let tells_whose = error == AuthError::TokenExpired && wording.is_custom();
            let ended = tells_whose
                .then(|| {
                    verifier
                        .verify_even_expired(&shown.token, expected, now)
                        .ok()
                })
                .flatten();
            Refused {
                error,
                claims: ended.map(|ended| ended.claims),
            }
        })
    }

    fn refuse<P: Policy>(&self, request: &Request, refused: &Refused) -> poem::Error {
        let locations: Vec<_> = self.locations::<P>().into_iter().flatten().collect();
        self.0.wording.say(&Refusal {
            error: &refused.error,
            claims: refused.claims.as_deref(),
            asked: Some(Asked {
                request,
                locations: &locations,
                expected: expected::<P>(),
            }),
        })
    }
}

/// A token that passed every check, and where it stood.
struct Admitted {
    verified: Verified,
    place: Place,
}

/// Why a request is refused, and whose token it carried as far as that is certain.
struct Refused {
    error: AuthError,
    claims: Option<Arc<Claims>>,
}

impl From<AuthError> for Refused {
    fn from(error: AuthError) -> Self {
        Self {
            error,
            claims: None,
        }
    }
}

/// Returns the claims of the token that `request` carries, after every check of the guard `A`: for
/// plain poem handlers, where [`Jwt`] cannot be an argument. [`Jwt::authenticate`] does the same and
/// returns the whole guard.
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
/// The refusal, in the words of the [`Guards`] on the route. Without `Guards` nobody is let in: 503,
/// and an error in the log, because it is a mistake in the program.
pub async fn authenticate<A: Admission>(request: &Request) -> poem::Result<A::Of<Arc<Claims>>> {
    Ok(Jwt::<A>::authenticate(request).await?.claims)
}

/// Returns the guard of a request whose token may stand in the body; see [`Jwt::authenticate_with_body`].
///
/// # Errors
/// As [`authenticate`].
pub async fn authenticate_with_body<A: Admission>(
    request: &Request,
    body: &mut Body,
) -> poem::Result<A::Of<Arc<Claims>>> {
    Ok(Jwt::<A>::authenticate_with_body(request, body)
        .await?
        .claims)
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
    claims: &Claims,
    now: Time,
) -> Result<(), AuthError> {
    match denylist
        .is_denied(claims.sid.as_deref(), &claims.jti, now)
        .await
    {
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
