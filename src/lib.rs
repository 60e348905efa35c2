//! Latchet: sessions whose refresh token has one successor, and logout that takes effect with the next
//! request.
//!
//! Two halves. The library half (this level) knows JWTs, HTTP and guards, nothing of users or SQL; any
//! poem service can use it with `default-features = false`. The server half (`server`) is the auth
//! service on top.
//!
//! | topic | module |
//! |---|---|
//! | protecting a route | [`guard`] |
//! | tokens in cookies that a service sets itself | [`cookies`] |
//! | signing and verifying tokens | [`token`] |
//! | keys, and how they are published | [`keys`] |
//! | revocation of tokens | [`denylist`] |
//! | reasons for a refusal, and the HTTP response to each | [`error`] |
//! | fetching the keys of an issuer on another host | `remote`, a feature |
//! | testing your service | [`testing`] |
//! | the current time | [`clock`] |
//!
//! A service that trusts an issuer, with one protected route; it holds public keys only:
//!
//! ```
//! # use std::sync::Arc;
//! # use latchet::clock::Clock;
//! # use latchet::denylist::memory::MemoryDenylist;
//! # use latchet::guard::{Guards, JwtRequired};
//! # use latchet::keys::{KeyError, KeySet};
//! # use latchet::token::{Verifier, VerifierSettings};
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
mod backoff;
pub mod clock;
pub mod cookies;
pub mod denylist;
pub mod error;
pub mod guard;
pub mod keys;
#[cfg(test)]
#[cfg(any(feature = "remote", feature = "server"))]
#[path = "../tests/api/support/port.rs"]
mod port;
#[cfg(feature = "remote")]
pub mod remote;
#[cfg(feature = "server")]
pub mod server;
pub mod testing;
pub mod token;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(all(doctest, feature = "remote"))]
#[doc = include_str!("../docs/tutorials/protect-a-route.md")]
struct ProtectARoute;
