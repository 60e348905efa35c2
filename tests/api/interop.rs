//! Latchet beside programs that others wrote, as they are published: Flask-JWT-Extended, Flask-JWT,
//! `PyJWT`, joserfc, jose, oauth4webapi.

use latchet_guard::keys::{Algorithm, SigningKey, random_id};
use latchet_guard::token::Issuer;
use secrecy::ExposeSecret;
use serde_json::json;

use crate::support::Backend;
use crate::support::flask::Flask;
use crate::support::server::Replica;

mod clients;
mod flask_jwt;
mod flask_takes_ours;
mod flasks_are_taken;

/// A running Latchet and a Flask app beside it: the app knows Latchet's keys by its JWKS, and Latchet
/// knows the app's key.
struct FlaskAndLatchet {
    server: Replica,
    flask: Flask,
    /// The key of the app.
    key: SigningKey,
}

impl FlaskAndLatchet {
    /// Starts both, with one algorithm; a setting of Latchet names the sort of app.
    async fn start(algorithm: Algorithm) -> Self {
        let told = named_by_its_address().with("LATCHET_COMPAT_FLASK_JWT_EXTENDED", "true");
        Self::on(told, algorithm).await
    }

    async fn on(backend: Backend, algorithm: Algorithm) -> Self {
        let (key, text) = flask_key(algorithm);
        let backend = backend.with("LATCHET_ALGORITHM", algorithm.name());
        let file = backend.folder.path().join("flask-key.json");
        let jwk = key.verifying_key().jwk();
        let jwk = jwk.unwrap_or_else(|| json!({"kty": "oct", "k": base64url(&text)}));
        std::fs::write(&file, jwk.to_string()).unwrap();
        let backend = backend.with("LATCHET_VERIFICATION_KEYS", file.to_str().unwrap());
        let server = Replica::start(&backend).await;
        let introspector = server.http.admin().login().await.access;
        let settings = [
            ("ALGORITHM", algorithm.name()),
            ("SIGNING_KEY", &text),
            ("LATCHET_URL", server.http.base()),
            ("INTROSPECTOR", &introspector),
        ];
        Self {
            flask: Flask::start("venv", "flask_app.py", &settings).await,
            server,
            key,
        }
    }
}

/// Returns a backend whose servers are called by their address, as clients of OAuth find them.
fn named_by_its_address() -> Backend {
    Backend::sqlite().without("LATCHET_ISSUER")
}

/// Returns a key, and the text by which a Flask app is given it.
fn flask_key(algorithm: Algorithm) -> (SigningKey, String) {
    if algorithm == Algorithm::Hs256 {
        let text = random_id() + &random_id();
        let key = SigningKey::from_private_bytes(algorithm, text.as_bytes());
        return (key.unwrap(), text);
    }
    let key = SigningKey::generate(algorithm).unwrap();
    let text = key.to_pem().unwrap().expose_secret().to_owned();
    (key, text)
}

/// Returns the token with another user in it.
fn mutated(token: &str) -> String {
    let mut claims = crate::support::client::claims(token);
    claims["sub"] = "mallory".into();
    let [header, _, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("tokens have three parts");
    };
    format!("{header}.{}.{signature}", base64url(&claims.to_string()))
}

fn base64url(text: &str) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    URL_SAFE_NO_PAD.encode(text)
}

/// Signs as our own issuers do.
fn sign(key: &SigningKey, claims: &latchet_guard::token::Claims) -> String {
    Issuer::new(key.clone()).sign(claims).unwrap()
}
