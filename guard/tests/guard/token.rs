//! Tokens are dated to the year 2096: the tests pass their own time, not that of the system's clock.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::raw_signature::sign_message;
use latchet_guard::clock::Time;
use latchet_guard::error::{AuthError, InvalidToken, MalformedToken, RequiredClaim};
use latchet_guard::keys::{Algorithm, KeyError, KeySet, SigningKey};
use latchet_guard::token::*;

mod attacks;
mod choices;
mod claims;
mod flask;
mod times;
mod wire;

const NOW_SECS: i64 = 4_000_000_000;
const NOW: Time = Time::from_secs(NOW_SECS);
const ISSUER: &str = "https://auth.example";
const AUDIENCE: &str = "https://api.example";

/// One key of each algorithm, generated once: RSA keys are slow to generate.
static KEYS: LazyLock<[SigningKey; 4]> =
    LazyLock::new(|| Algorithm::ALL.map(|algorithm| SigningKey::generate(algorithm).unwrap()));

fn key(algorithm: Algorithm) -> &'static SigningKey {
    KEYS.iter()
        .find(|key| key.algorithm() == algorithm)
        .unwrap()
}

fn all_keys() -> KeySet {
    KeySet::new(KEYS.iter().map(SigningKey::verifying_key))
}

fn settings() -> VerifierSettings {
    VerifierSettings::new(ISSUER, [AUDIENCE])
}

fn verifier() -> Verifier {
    Verifier::new(all_keys(), settings())
}

fn alices_claims() -> Claims {
    Claims {
        iss: ISSUER.into(),
        aud: vec![AUDIENCE.into()],
        sub: "alice".into(),
        sid: Some("session-1".into()),
        ..Claims::access(NOW, Duration::from_mins(15))
    }
}

fn token() -> String {
    Issuer::new(key(Algorithm::EdDsa).clone())
        .sign(&alices_claims())
        .unwrap()
}

/// Signs any header and any text as claims, well-formed or not.
fn sign_text(header: &str, claims: &str, key: &SigningKey) -> String {
    let message = [header, claims]
        .map(|part| URL_SAFE_NO_PAD.encode(part))
        .join(".");
    let signature = sign_message(key, &message);
    format!("{message}.{signature}")
}

fn header_of(key: &SigningKey) -> Value {
    json!({"alg": key.algorithm().name(), "typ": "at+jwt", "kid": key.kid()})
}

/// Returns `base` with the members of `changes`; a `null` there removes the member.
fn merged(mut base: Value, changes: &Value) -> Value {
    let members = base.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    base
}

/// Signs valid claims with a changed header.
fn with_header(changes: &Value, key: &SigningKey) -> String {
    let header = merged(header_of(key), changes).to_string();
    sign_text(
        &header,
        &serde_json::to_string(&alices_claims()).unwrap(),
        key,
    )
}

/// Signs changed claims with a valid header.
fn with_claims(changes: &Value) -> String {
    let key = key(Algorithm::EdDsa);
    let claims = merged(serde_json::to_value(alices_claims()).unwrap(), changes);
    sign_text(&header_of(key).to_string(), &claims.to_string(), key)
}

fn verify(token: &str) -> Result<Arc<Claims>, AuthError> {
    verifier().verify(token, ExpectedKind::Access, NOW)
}

#[track_caller]
fn assert_refused(name: &str, token: &str, expected: &AuthError) {
    assert_eq!(verify(token).as_ref(), Err(expected), "{name}");
}
