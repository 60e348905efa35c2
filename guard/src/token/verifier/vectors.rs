//! Project Wycheproof's vectors of whole tokens (`tests/data/wycheproof/`), through the function that
//! checks every token.
//!
//! Their headers have no `typ` and their payloads are not claims, so none is ever accepted. The test
//! compares the project's result with the step at which a token is refused: claims are refused only
//! after the signature was verified.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::keys::{KeyError, VerifyingKey};
use crate::token::ExpectedKind;

const SIGNATURES: &str =
    include_str!("../../../tests/data/wycheproof/json_web_signature_test.json");
const KEYS: &str = include_str!("../../../tests/data/wycheproof/json_web_key_test.json");

/// Tokens that Wycheproof accepts and we refuse, with the reason.
const REFUSED_BY_US: [(&[u64], &str); 5] = [
    (
        &[264, 265, 266, 267, 268, 269, 270, 271],
        "RS384 and RS512 are not offered",
    ),
    (&[272, 273, 274, 275, 287, 288], "PS256 is not offered"),
    (
        &[320, 321, 322, 323, 325, 326, 327, 328],
        "PS384 and PS512 are not offered",
    ),
    (&[346, 347, 350, 351], "PS384 and ES512 are not offered"),
    (
        &[372, 373],
        "a character that is not of base64url (RFC 7515, section 2)",
    ),
];
/// The same for tests of keys.
const REFUSED_KEYS: [(&[u64], &str); 1] = [(&[14, 15], "HS384 and HS512 are not offered")];

/// Tokens that should be refused by the first two numbers and accepted by the last: they are identical.
/// The padding that their comments mention was lost before they were published.
const CONTRADICTORY: [u64; 3] = [367, 370, 357];

/// Loads a secret by its bytes, as an operator does: secrets in JWKs are not read.
fn secret(jwk: &Value) -> Result<VerifyingKey, KeyError> {
    const NO_SECRET: KeyError = KeyError::Malformed("it is not base64url");
    if jwk["alg"] != "HS256" {
        return Err(KeyError::Unsupported("a secret for something else"));
    }
    let text = jwk["k"].as_str().unwrap();
    let secret = URL_SAFE_NO_PAD.decode(text).map_err(|_| NO_SECRET)?;
    let is_of_zeros = secret == [0; 32];
    match VerifyingKey::from_secret(&secret) {
        // It would be refused, and with it all tokens that test the base64 decoding.
        Err(KeyError::Weak(_)) if is_of_zeros => {}
        Err(refusal) => return Err(refusal),
        Ok(_) => assert!(!is_of_zeros),
    }
    let kid = jwk["kid"].as_str().unwrap();
    Ok(VerifyingKey::from_any_secret(&secret, kid))
}

/// Loads the keys of a group; none if one is refused.
fn keys(group: &Value) -> KeySet {
    let keys = group.get("public").unwrap_or(&group["private"]);
    let one = [keys.clone()];
    let all = keys["keys"].as_array().map_or(&one[..], Vec::as_slice);
    if all.iter().all(|jwk| jwk["kty"] == "oct") {
        let secrets: Result<Vec<_>, _> = all.iter().map(secret).collect();
        return KeySet::new(secrets.unwrap_or_default());
    }
    KeySet::from_jwks(&json!({ "keys": all })).unwrap_or_default()
}

/// Returns whether the signature is accepted.
fn is_signed(verifier: &Verifier, token: &str) -> bool {
    let now = Time::from_secs(1_764_000_000);
    assert!(verifier.verify(token, ExpectedKind::Either, now).is_err());
    let trusted_keys = verifier.trusted_keys.load();
    let read = CompactToken::of(token).and_then(|compact| {
        let header = UnverifiedHeader::read(&compact)?;
        verifier.verify_signature_and_claims(&compact, &header, &trusted_keys)
    });
    read == Err(AuthError::MalformedToken(MalformedToken::UnreadableClaim))
}

/// Results that differ from those of a file.
#[derive(Default)]
struct Differences {
    tokens: BTreeMap<u64, String>,
    refused: BTreeSet<u64>,
    accepted: BTreeSet<u64>,
}

/// Runs every test of a file and returns the differences.
fn compare(file: &str) -> Differences {
    let file: Value = serde_json::from_str(file).unwrap();
    let mut differences = Differences::default();
    for group in file["testGroups"].as_array().unwrap() {
        let settings = VerifierSettings::new("https://issuer.test", ["https://issuer.test"]);
        let verifier = Verifier::new(keys(group), settings);
        for test in group["tests"].as_array().unwrap() {
            let id = test["tcId"].as_u64().unwrap();
            let token = test["jws"].as_str().unwrap();
            let is_signed = is_signed(&verifier, token);
            match test["result"].as_str().unwrap() {
                "valid" if !is_signed => drop(differences.refused.insert(id)),
                "invalid" if is_signed => drop(differences.accepted.insert(id)),
                "valid" | "invalid" => {}
                other => panic!("{id}: {other}"),
            }
            differences.tokens.insert(id, token.to_owned());
        }
    }
    differences
}

fn ids(stricter: &[(&[u64], &str)]) -> BTreeSet<u64> {
    let ids = stricter.iter().flat_map(|(ids, _)| *ids);
    ids.copied().collect()
}

#[test]
fn whole_tokens_get_the_results_of_wycheproof() {
    let differences = compare(SIGNATURES);

    let [one, other, valid] = CONTRADICTORY;
    assert_eq!(differences.tokens.len(), 401);
    assert_eq!(differences.refused, ids(&REFUSED_BY_US));
    assert_eq!(differences.accepted, [one, other].into());
    assert_eq!(differences.tokens[&one], differences.tokens[&valid]);
    assert_eq!(differences.tokens[&other], differences.tokens[&valid]);
}

#[test]
fn weak_and_unsuitable_keys_verify_nothing() {
    let differences = compare(KEYS);

    assert_eq!(differences.tokens.len(), 26);
    assert_eq!(differences.refused, ids(&REFUSED_KEYS));
    assert_eq!(differences.accepted, [].into());
}
