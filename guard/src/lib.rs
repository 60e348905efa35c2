//! Guards for poem: handler arguments that check a JWT, and a denylist that makes a logout take effect at the
//! next request.
//!
//! A service uses this crate to check the tokens of a [Latchet](https://crates.io/crates/latchet) server, or
//! to issue tokens of its own. It knows nothing of users or SQL.
//!
//! | topic | item |
//! |---|---|
//! | protecting a route | [`Jwt`], [`Guards`] |
//! | tokens in cookies that a service sets itself | [`cookies`] |
//! | signing and verifying tokens | [`token`] |
//! | keys, and how they are published | [`keys`] |
//! | revocation of tokens | [`denylist`] |
//! | reasons for a refusal, and the HTTP response to each | [`error`] |
//! | fetching the keys of an issuer on another host | `remote`, a feature |
//! | testing your service | [`testing`] |
//! | the current time | [`clock`] |
//!
//! Put [`Guards`] on the routes once and name the guard in each handler's signature; there is no
//! middleware scope that a route could be mounted outside of. Every guard runs the same checks, in this
//! order: find the one token → CSRF where a cookie carried it → size, header, signature, claims, time,
//! kind ([`Verifier`](token::Verifier)) → freshness → denylist → roles, scopes and custom
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
//! use latchet_guard::{Fresh, Jwt, JwtRequired, HasRole, RoleName};
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
//!
//! # Trusting an issuer
//!
//! A service that trusts an issuer, with one protected route; it holds public keys only:
//!
//! ```
//! # use std::sync::Arc;
//! # use latchet_guard::clock::Clock;
//! # use latchet_guard::denylist::memory::MemoryDenylist;
//! # use latchet_guard::{Guards, JwtRequired};
//! # use latchet_guard::keys::{KeyError, KeySet};
//! # use latchet_guard::token::{Verifier, VerifierSettings};
//! # use poem::{Endpoint, EndpointExt, Route};
//! # use poem_openapi::{OpenApi, OpenApiService, payload::PlainText};
//! struct Api;
//! #[OpenApi]
//! impl Api {
//!     #[oai(path = "/me", method = "get")]
//!     async fn me(&self, jwt: JwtRequired) -> PlainText<String> {
//!         PlainText(jwt.claims.sub.clone())
//!     }
//! }
//!
//! fn app(jwks: &serde_json::Value) -> Result<impl Endpoint, KeyError> {
//!     let settings = VerifierSettings::new("https://auth.example", ["https://api.example"]);
//!     let verifier = Arc::new(Verifier::new(KeySet::from_jwks(jwks)?, settings));
//!     let guards = Guards::new(verifier, Arc::new(MemoryDenylist::new()), Clock::system());
//!     Ok(Route::new().nest("/", OpenApiService::new(Api, "notes", "1")).data(guards))
//! }
//! # assert!(app(&serde_json::json!({"keys": []})).is_ok());
//! ```

#[cfg(any(feature = "redis", feature = "remote"))]
pub mod backoff;
pub mod clock;
pub mod cookies;
pub mod denylist;
pub mod error;
mod guard;
pub mod keys;
#[cfg(feature = "remote")]
pub mod remote;
pub mod testing;
pub mod token;

pub use guard::*;

#[cfg(all(doctest, feature = "remote"))]
#[doc = include_str!("../README.md")]
struct Readme;
