//! Latchet: sessions whose refresh token has one successor, and logout that the next request feels.
//!
//! Two halves. The library half (this level) knows JWTs, HTTP and guards, nothing of users or SQL;
//! any poem service uses it with `default-features = false`. The server half (`server`) is the
//! auth service on top.
//!
//! | to learn … | read |
//! |---|---|
//! | how a route is protected, and by what | [`guard`] |
//! | how a service puts tokens into cookies of its own | [`cookies`] |
//! | how a token is signed and checked | [`token`] |
//! | which keys there are, and how they are published | [`keys`] |
//! | where a revocation is felt | [`denylist`] |
//! | why a request was refused, and how that is said | [`error`] |
//! | how an issuer elsewhere is asked for its keys | `remote`, a feature |
//! | how a service of your own is tested | [`testing`] |
//! | what time it is | [`clock`] |
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
