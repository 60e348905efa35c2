//! An issuer for the tests of a service: no server, no files, no waiting.
//!
//! ```
//! use latchet_guard::{JwtFresh, authenticate, Required};
//! use latchet_guard::testing::TestIssuer;
//! use poem::test::TestClient;
//! use poem::{EndpointExt, Request, Result, Route, get, handler};
//!
//! #[handler]
//! async fn hello(request: &Request) -> Result<String> {
//!     Ok(authenticate::<Required>(request).await?.sub.clone())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let issuer = TestIssuer::new();
//! let app = Route::new().at("/", get(hello)).data(issuer.guards());
//! let client = TestClient::new(app);
//!
//! let token = issuer.token("alice").role("admin").fresh().sign();
//! let request = || client.get("/").header("authorization", format!("Bearer {token}"));
//! request().send().await.assert_text("alice").await;
//!
//! issuer.revoke(&token);
//! request().send().await.assert_status(poem::http::StatusCode::UNAUTHORIZED);
//! # }
//! ```

mod endpoint;
mod token;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::clock::Clock;
use crate::denylist::memory::MemoryDenylist;
use crate::denylist::{Denial, DenialTarget};
use crate::guard::Guards;
use crate::keys::{Algorithm, KeySet, SigningKey};
use crate::token::{Claims, Issuer, TokenKind, Typ, Verifier, VerifierSettings};

pub use token::TestToken;

/// Name of an issuer that is not served.
const URL: &str = "https://issuer.test";

/// Longer than any test.
const DENIED_FOR: Duration = Duration::from_hours(24 * 365);

/// Creates keys and tokens, and the [`Guards`] that accept them. Clones are one issuer.
#[derive(Clone)]
pub struct TestIssuer(Arc<IssuerState>);

struct IssuerState {
    url: String,
    key: Mutex<SigningKey>,
    verifier: Arc<Verifier>,
    denylist: Arc<MemoryDenylist>,
    clock: Clock,
}

impl TestIssuer {
    /// Returns an issuer named `https://issuer.test` with a new `EdDSA` key, whose tokens are for an
    /// audience of the same name.
    ///
    /// # Panics
    /// When the operating system provides no randomness.
    pub fn new() -> Self {
        Self::at(URL)
    }

    /// Returns an issuer named `url`: the address at which its [`endpoint`](Self::endpoint) will be
    /// served.
    ///
    /// # Panics
    /// When the operating system provides no randomness.
    pub fn at(url: &str) -> Self {
        Self::with_key(url, generate(Algorithm::default()))
    }

    /// Returns an issuer named `url` that signs with this key.
    pub fn with_key(url: &str, key: SigningKey) -> Self {
        let settings = VerifierSettings {
            typ: vec![Typ::Access, Typ::Refresh],
            ..VerifierSettings::new(url, [url])
        };
        let verifier = Verifier::new(KeySet::new([key.verifying_key()]), settings);
        Self(Arc::new(IssuerState {
            url: url.to_owned(),
            key: Mutex::new(key),
            verifier: Arc::new(verifier),
            denylist: Arc::default(),
            clock: Clock::system(),
        }))
    }

    /// Returns the name, which is the value of `iss` and `aud`.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Returns the clock of tokens and guards; [`shift`](Clock::shift) it instead of waiting.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Starts an access token of a new session, valid for 15 minutes and not fresh.
    pub fn token(&self, user: &str) -> TestToken {
        TestToken::new(self.clone(), user)
    }

    /// Returns the verifier of tokens of both kinds.
    pub fn verifier(&self) -> Arc<Verifier> {
        Arc::clone(&self.0.verifier)
    }

    /// Returns the denylist of the guards.
    pub fn denylist(&self) -> Arc<MemoryDenylist> {
        Arc::clone(&self.0.denylist)
    }

    /// Returns guards that accept this issuer's tokens until it revokes them.
    pub fn guards(&self) -> Guards {
        Guards::new(self.verifier(), self.denylist(), self.clock().clone())
    }

    /// Revokes the session of a token, and with it every token of that session.
    ///
    /// # Panics
    /// When `token` is not a token.
    pub fn revoke(&self, token: &str) {
        #[expect(
            clippy::expect_used,
            reason = "a test that revokes nothing proves nothing"
        )]
        let claims = unverified_claims(token).expect("this is a token");
        let denied = match claims.sid {
            Some(sid) => DenialTarget::Session(sid),
            None => DenialTarget::Token(claims.jti),
        };
        let now = self.clock().now();
        let not_after = now + DENIED_FOR;
        self.0.denylist.insert(&Denial { denied, not_after }, now);
    }

    /// Signs with a new key from now on; tokens of the previous key are refused.
    ///
    /// # Panics
    /// When the operating system provides no randomness.
    pub fn rotate_key(&self) {
        let mut key = self.0.key.lock().unwrap_or_else(PoisonError::into_inner);
        *key = generate(key.algorithm());
        self.0
            .verifier
            .replace_keys(KeySet::new([key.verifying_key()]));
    }

    /// Returns the public key as a JWK set.
    pub fn jwks(&self) -> Value {
        KeySet::new([self.key().verifying_key()]).jwks()
    }

    fn key(&self) -> SigningKey {
        let key = self.0.key.lock().unwrap_or_else(PoisonError::into_inner);
        key.clone()
    }
}

impl Default for TestIssuer {
    fn default() -> Self {
        Self::new()
    }
}

/// Prints no secret.
impl fmt::Debug for TestIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestIssuer")
            .field("url", &self.0.url)
            .finish_non_exhaustive()
    }
}

fn generate(algorithm: Algorithm) -> SigningKey {
    #[expect(
        clippy::expect_used,
        reason = "fails only where there is no randomness, and nothing could be tested then"
    )]
    SigningKey::generate(algorithm).expect("the operating system gives random bytes")
}

fn sign(claims: &Claims, key: SigningKey) -> String {
    let typ = match claims.kind {
        TokenKind::Access => Typ::Access,
        TokenKind::Refresh => Typ::Refresh,
    };
    #[expect(
        clippy::expect_used,
        reason = "a test without the requested token proves nothing"
    )]
    Issuer::with_typ(typ, key)
        .sign(claims)
        .expect("these claims can be signed")
}

/// Returns the claims of a token without verification.
fn unverified_claims(token: &str) -> Option<Claims> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}
