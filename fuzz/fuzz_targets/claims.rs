//! Whatever header and claims the right key signed: what is accepted says all that is insisted on, as
//! another reader understands it. The input is the header, a line break, and the claims.
#![no_main]

use std::sync::LazyLock;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use latchet_guard::keys::{KeySet, VerifyingKey};
use latchet_guard::token::{ExpectedKind, Verifier, VerifierSettings};
use latchet_fuzz::{ISSUER, NOW, SECRET};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let key = VerifyingKey::from_secret(SECRET).unwrap();
    // Tokens of an input need no `kid` then.
    let keys = KeySet::new([key.for_tokens_without_kid()]);
    Verifier::new(keys, VerifierSettings::new(ISSUER, [ISSUER]))
});

fn sign(header: &[u8], claims: &[u8]) -> String {
    let mut token = URL_SAFE_NO_PAD.encode(header) + "." + &URL_SAFE_NO_PAD.encode(claims);
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let tag = hmac::sign(&key, token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(tag, &mut token);
    token
}

fuzz_target!(|input: &[u8]| {
    let Some(at) = input.iter().position(|&byte| byte == b'\n') else {
        return;
    };
    let (header, claims) = (&input[..at], &input[at + 1..]);
    let Ok(seen) = VERIFIER.verify(&sign(header, claims), ExpectedKind::Access, NOW) else {
        return;
    };

    let header: Value = serde_json::from_slice(header).expect("the header is JSON");
    let claims: Value = serde_json::from_slice(claims).expect("the claims are JSON");
    let typ = header["typ"].as_str().unwrap().to_ascii_lowercase();
    assert!(["at+jwt", "application/at+jwt"].contains(&typ.as_str()));
    assert_eq!(header["alg"], "HS256");
    assert_eq!(header.get("crit"), None);

    assert_eq!(claims["iss"], ISSUER);
    let audience = claims["aud"].as_array().cloned();
    let audience = audience.unwrap_or_else(|| vec![claims["aud"].clone()]);
    assert!(audience.iter().any(|name| name == ISSUER));
    assert_eq!(claims["type"], "access");
    assert!(claims["exp"].as_f64().unwrap() * 1000.0 > NOW.millis() as f64);
    assert!(claims["iat"].as_f64().unwrap() * 1000.0 <= NOW.millis() as f64);
    let nbf = &claims["nbf"];
    assert!(nbf.is_null() || nbf.as_f64().unwrap() * 1000.0 <= NOW.millis() as f64);
    assert_eq!(claims["sub"], seen.sub.as_str());
    assert_eq!(claims["jti"], seen.jti.as_str());
    assert!(!seen.sub.is_empty() && !seen.jti.is_empty());
});
