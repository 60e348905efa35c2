//! A public key that is taken in comes out again as the same key, and as nothing but a public one.
//! The input is a PEM text, a JWK or a JWK set.
#![no_main]

use latchet_guard::keys::{KeySet, SigningKey, VerifyingKey};
use libfuzzer_sys::fuzz_target;
use secrecy::ExposeSecret;
use serde_json::Value;

/// Members of a JWK that are private (RFC 7518, section 6).
const PRIVATE: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "k"];

fn check(key: &VerifyingKey) {
    let jwk = key.jwk().expect("a public key has a JWK");
    assert!(PRIVATE.iter().all(|name| jwk.get(name).is_none()), "{jwk}");
    assert_eq!(VerifyingKey::from_jwk(&jwk).as_ref(), Ok(key));
}

fuzz_target!(|text: &str| {
    if let Ok(key) = VerifyingKey::from_pem(text) {
        check(&key);
    }
    if let Ok(key) = SigningKey::from_pem(text) {
        let pem = key.to_pem().expect("no secret is in PEM");
        let again = SigningKey::from_pem(pem.expose_secret()).expect("it was written here");
        assert_eq!(again.verifying_key(), key.verifying_key());
        check(&key.verifying_key());
    }
    let Ok(json) = serde_json::from_str::<Value>(text) else {
        return;
    };
    if let Ok(key) = VerifyingKey::from_jwk(&json) {
        check(&key);
    }
    if let Ok(keys) = KeySet::from_jwks(&json) {
        keys.keys().for_each(check);
        assert_eq!(KeySet::from_jwks(&keys.jwks()), Ok(keys));
    }
});
