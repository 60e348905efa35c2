//! Guards: the handler argument that protects a route.
//!
//! Put [`Guards`] on the routes once and name the guard in each handler's signature; there is no
//! middleware scope that a route could be mounted outside of. Every guard runs the same checks, in this
//! order: find the one token → CSRF where a cookie carried it → size, header, signature, claims, time,
//! kind ([`Verifier`](crate::token::Verifier)) → freshness → denylist → roles, scopes and custom
//! policies → the current user. The first failure decides the response.
//!
//! | task | code |
//! |---|---|
//! | protect a handler | an argument [`JwtRequired`], [`JwtFresh`], [`JwtRefresh`], [`JwtOptional`], `Jwt<EitherKind>` |
//! | require a role or scope | `Jwt<HasRole<Admin>>`, `Jwt<HasScope<ReadMail>>`; several as a tuple, `Jwt<(Fresh, HasRole<Admin>)>` |
//! | apply a custom rule | a [`TokenPolicy`] of three lines |
//! | admit the owner of a resource, or an administrator | [`Jwt::owner_or`] in the handler's body |
//! | load the user, not only the claims | `Jwt<Required, Account>`, with [`CurrentUser`] for `Account` |
//! | protect a plain poem handler | [`Jwt::authenticate`] or [`authenticate`] in its first line |
//! | read tokens from other locations | [`Guards::with_locations`]; for some handlers only, [`OnlyIn`] |
//! | skip the denylist | [`SkipRevocation`] |
//! | log out | [`Guards::deny_session`] |
//! | document refusals in OpenAPI | [`document_refusals`] |
//! | customize the responses to refusals | [`Guards::with_refusals`] |
//!
//! ```
//! use latchet::guard::{Fresh, Jwt, JwtRequired, HasRole, RoleName};
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
//!     async fn purge(&self, _jwt: Jwt<(Fresh, HasRole<Admin>)>) {}
//! }
//! ```
//!
//! # Coming from Flask-JWT-Extended
//!
//! `docs/how-to/from-flask-jwt-extended.md` has a row for each of its names. The responses differ as follows:
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
//! | denylist unavailable | the exception of the callback, 500 | 503 with `Retry-After` |
//!
//! `OPTIONS` is not exempt: a handler receives claims, and a request without a token has none. CORS
//! preflights are not affected: poem's `Cors` middleware responds to them before any handler.

use std::sync::Arc;

use poem::{Body, Request};

use crate::token::Claims;

mod body;
mod builtin;
mod csrf;
mod enforcement;
mod extractor;
mod flask_jwt;
mod flask_jwt_extended;
mod guards;
mod location;
mod openapi;
mod policy;
mod refusal;
mod request_user;
mod requirement;
#[cfg(test)]
mod tests;
mod user;

pub use builtin::{
    EitherKind, Fresh, HasRole, HasScope, Locations, OnlyIn, Refresh, Required, RoleName,
    ScopeName, SkipRevocation,
};
pub use csrf::{Csrf, CsrfMethods};
pub use extractor::{Jwt, JwtFresh, JwtOptional, JwtRefresh, JwtRequired, SECURITY_SCHEME};
#[cfg(feature = "server")]
pub(crate) use flask_jwt::FlaskJwtError;
pub use flask_jwt::flask_jwt_errors;
pub use flask_jwt_extended::flask_jwt_extended_errors;
pub use guards::Guards;
pub use location::{Location, LocationKind};
#[cfg(feature = "server")]
pub(crate) use location::{NO_TOKEN_AFTER_SCHEME, credentials};
pub use openapi::document_refusals;
pub use policy::{Freshness, RevocationCheck, TokenPolicy};
pub use refusal::Refusal;
#[cfg(feature = "server")]
pub(crate) use request_user::RequestUser;
pub use requirement::{Optional, Requirement};
pub use user::CurrentUser;

/// Returns the claims of the token that `request` carries, after every check of the guard `A`: for
/// plain poem handlers, where [`Jwt`] cannot be an argument. [`Jwt::authenticate`] does the same and
/// returns the whole guard.
///
/// Take the body as [`poem::Body`] and parse it after this call, so that an unauthenticated client with
/// a broken body receives `401`.
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
/// The refusal, in the form that the [`Guards`] on the route define. Without `Guards` every request is
/// refused with 503 and an error in the log, because the program is incorrect.
pub async fn authenticate<A: Requirement>(
    request: &Request,
) -> poem::Result<A::Output<Arc<Claims>>> {
    Ok(Jwt::<A>::authenticate(request).await?.claims)
}

/// Returns the claims of a request whose token may be in the body; see [`Jwt::authenticate_with_body`].
///
/// # Errors
/// As [`authenticate`].
pub async fn authenticate_with_body<A: Requirement>(
    request: &Request,
    body: &mut Body,
) -> poem::Result<A::Output<Arc<Claims>>> {
    Ok(Jwt::<A>::authenticate_with_body(request, body)
        .await?
        .claims)
}
