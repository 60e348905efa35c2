use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use latchet_guard::keys::*;

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

const SECRET: &[u8; 32] = b"8f1c0a7de24b96530f7be1d2c4a98635";

fn message(error: &KeyError) -> String {
    error.to_string()
}

/// The example key of RFC 7638, section 3.1.
fn rfc7638_jwk() -> Value {
    json!({
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc\
              _BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR\
              0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTW\
              hAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB"
    })
}

#[test]
fn the_kid_is_the_thumbprint_of_rfc_7638() {
    let rsa = VerifyingKey::from_jwk(&rfc7638_jwk()).unwrap();
    assert_eq!(rsa.kid(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");

    let rfc8037_section_a3 = json!({
        "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    });
    let ed = VerifyingKey::from_jwk(&rfc8037_section_a3).unwrap();
    assert_eq!(ed.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn a_generated_key_can_be_loaded_from_its_private_bytes_and_its_jwk() {
    for algorithm in Algorithm::ALL {
        let key = SigningKey::generate(algorithm).unwrap();

        let again = SigningKey::from_private_bytes(algorithm, key.private_bytes()).unwrap();

        assert_eq!(again.verifying_key(), key.verifying_key());
        assert_eq!(key.algorithm(), algorithm);
        assert_eq!(key.kid().len(), 43);
        match key.verifying_key().jwk() {
            Some(jwk) => assert_eq!(VerifyingKey::from_jwk(&jwk).unwrap(), key.verifying_key()),
            None => assert_eq!(algorithm, Algorithm::Hs256),
        }
    }
}

#[test]
fn two_generated_keys_differ() {
    for algorithm in Algorithm::ALL {
        let (one, other) = (
            SigningKey::generate(algorithm),
            SigningKey::generate(algorithm),
        );
        assert_ne!(one.unwrap().kid(), other.unwrap().kid());
    }
}

#[test]
fn private_keys_of_openssl_are_imported() {
    let table = [
        (
            include_str!("keys/fixtures/ed25519-pkcs8.pem"),
            include_str!("keys/fixtures/ed25519-spki.pem"),
        ),
        (
            include_str!("keys/fixtures/p256-pkcs8.pem"),
            include_str!("keys/fixtures/p256-spki.pem"),
        ),
        (
            include_str!("keys/fixtures/rsa2048-pkcs8.pem"),
            include_str!("keys/fixtures/rsa2048-spki.pem"),
        ),
        (
            include_str!("keys/fixtures/rsa2048-pkcs1.pem"),
            include_str!("keys/fixtures/rsa2048-spki.pem"),
        ),
        (
            include_str!("keys/fixtures/rsa2048-pkcs1.pem"),
            include_str!("keys/fixtures/rsa2048-pkcs1-public.pem"),
        ),
    ];
    for (private, public) in table {
        let signing = SigningKey::from_pem(private).unwrap();
        let verifying = VerifyingKey::from_pem(public).unwrap();
        assert_eq!(signing.verifying_key(), verifying);

        let written = signing.to_pem().unwrap();
        let again = SigningKey::from_pem(written.expose_secret()).unwrap();
        assert_eq!(again.kid(), signing.kid());
    }
}

#[test]
fn an_rsa_key_in_pkcs8_is_kept_in_pkcs1() {
    let key = SigningKey::generate(Algorithm::Rs256).unwrap();

    let written = key.to_pem().unwrap();

    assert!(
        written
            .expose_secret()
            .starts_with("-----BEGIN RSA PRIVATE KEY-----\n")
    );
    let longest = written.expose_secret().lines().map(str::len).max();
    assert_eq!(longest, Some(64));
}

#[test]
fn an_unsupported_private_key_is_refused_with_the_reason() {
    let table = [
        (include_str!("keys/fixtures/p256-sec1.pem"), "openssl pkcs8"),
        (
            include_str!("keys/fixtures/ed25519-encrypted.pem"),
            "passphrase",
        ),
        (include_str!("keys/fixtures/rsa1024-pkcs8.pem"), "weak"),
        (
            include_str!("keys/fixtures/ed25519-spki.pem"),
            "no private key",
        ),
        ("", "no private key"),
        (
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "neither",
        ),
    ];
    for (pem, reason) in table {
        let error = message(&SigningKey::from_pem(pem).unwrap_err());
        assert!(error.contains(reason), "{error}");
    }
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256] {
        let error = SigningKey::from_private_bytes(algorithm, &[7; 48]).unwrap_err();
        assert!(matches!(error, KeyError::Malformed(_)), "{error:?}");
    }
}

#[test]
fn an_unsupported_public_key_is_refused_with_the_reason() {
    let table = [
        (
            include_str!("keys/fixtures/ed25519-pkcs8.pem"),
            "a private key in place of a public one",
        ),
        (
            include_str!("keys/fixtures/certificate.pem"),
            "no public key",
        ),
        (
            include_str!("keys/fixtures/p384-spki.pem"),
            "other than P-256",
        ),
        (include_str!("keys/fixtures/x25519-spki.pem"), "neither"),
        (include_str!("keys/fixtures/rsa1024-spki.pem"), "has 1024"),
        ("PUBLIC KEY", "neither"),
    ];
    for (pem, reason) in table {
        let error = message(&VerifyingKey::from_pem(pem).unwrap_err());
        assert!(error.contains(reason), "{error}");
    }
}

fn generated_jwk(algorithm: Algorithm) -> Value {
    SigningKey::generate(algorithm)
        .unwrap()
        .verifying_key()
        .jwk()
        .unwrap()
}

#[track_caller]
fn assert_jwk_refused(mut jwk: Value, (member, value): (&str, Value), reason: &str) {
    jwk[member] = value;
    let error = message(&VerifyingKey::from_jwk(&jwk).expect_err(member));
    assert!(error.contains(reason), "{member}: {error}");
}

#[test]
fn a_jwk_of_another_kind_or_use_is_refused() {
    let ec = generated_jwk(Algorithm::Es256);
    let secret = json!({"kty": "oct"});
    assert_jwk_refused(secret, ("k", json!(base64url(SECRET))), "symmetric");
    assert_jwk_refused(rfc7638_jwk(), ("alg", json!("PS256")), "`alg`");
    let table = [
        ("kty", Value::Null, "`kty` is missing"),
        ("kty", json!("OKP"), "neither"),
        ("crv", json!("P-384"), "neither"),
        ("alg", json!("ES384"), "`alg`"),
        ("use", json!("enc"), "`use`"),
        ("key_ops", json!(["encrypt"]), "`key_ops`"),
        ("kid", json!(7), "`kid`"),
    ];
    for (member, value, reason) in table {
        assert_jwk_refused(ec.clone(), (member, value), reason);
    }
}

#[test]
fn a_jwk_with_a_broken_key_is_refused() {
    let table = [
        ("x", json!(base64url(&[1; 32])), "do not make a key"),
        ("x", json!(base64url(&[1; 31])), "32 bytes"),
        ("x", json!("AA=="), "base64url"),
        ("y", Value::Null, "missing"),
    ];
    for (member, value, reason) in table {
        assert_jwk_refused(generated_jwk(Algorithm::Es256), (member, value), reason);
    }
    let short = json!(base64url(&[1; 31]));
    assert_jwk_refused(
        generated_jwk(Algorithm::EdDsa),
        ("x", short),
        "do not make a key",
    );
    let table = [
        ("n", json!(base64url(&[255; 128])), "has 1024"),
        ("n", json!(""), "has 0"),
        ("e", json!("AQ"), "do not make an RSA key"),
        ("e", json!("Ag"), "do not make an RSA key"),
    ];
    for (member, value, reason) in table {
        assert_jwk_refused(rfc7638_jwk(), (member, value), reason);
    }
    assert!(VerifyingKey::from_jwk(&json!([])).is_err());
}

#[test]
fn a_jwk_keeps_the_kid_that_its_issuer_gave_it() {
    let mut jwk = rfc7638_jwk();
    jwk["kid"] = json!("2011-04-29");

    let key = VerifyingKey::from_jwk(&jwk).unwrap();

    assert_eq!(key.kid(), "2011-04-29");
    assert_eq!(key.jwk().unwrap()["kid"], "2011-04-29");
}

#[test]
fn a_key_set_can_be_loaded_from_its_jwks() {
    let keys = [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256]
        .map(|algorithm| SigningKey::generate(algorithm).unwrap().verifying_key());
    let set = KeySet::new(keys);

    assert_eq!(KeySet::from_jwks(&set.jwks()), Ok(set));
}

#[test]
fn a_jwks_may_contain_unsupported_keys_but_no_weak_ones() {
    let known = SigningKey::generate(Algorithm::EdDsa)
        .unwrap()
        .verifying_key();
    let foreign = json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"});
    let weak = json!({"kty": "RSA", "n": base64url(&[255; 64]), "e": "AQAB"});

    let mixed = KeySet::from_jwks(&json!({"keys": [foreign, known.jwk()]}));
    let weak = KeySet::from_jwks(&json!({"keys": [known.jwk(), weak]}));

    assert_eq!(mixed, Ok(KeySet::new([known])));
    assert!(matches!(weak, Err(KeyError::Weak(_))), "{weak:?}");
    assert!(KeySet::from_jwks(&json!([])).is_err());
}

#[test]
fn a_secret_is_never_published() {
    let key = SigningKey::generate(Algorithm::Hs256).unwrap();

    assert_eq!(key.verifying_key().jwk(), None);
    assert!(key.to_pem().is_none());
    assert_eq!(
        KeySet::new([key.verifying_key()]).jwks(),
        json!({"keys": []})
    );
}

#[test]
fn weak_secrets_are_refused_as_keys() {
    for secret in [
        &b"short"[..],
        &[0; 64],
        b"change-me-change-me-change-me-change-me",
    ] {
        for error in [
            SigningKey::from_private_bytes(Algorithm::Hs256, secret).unwrap_err(),
            VerifyingKey::from_secret(secret).unwrap_err(),
        ] {
            assert!(matches!(error, KeyError::Weak(_)), "{error:?}");
        }
    }
}

#[test]
fn debug_output_shows_no_key() {
    let key = SigningKey::from_private_bytes(Algorithm::Hs256, SECRET).unwrap();

    let shown = format!(
        "{key:?} {:?} {:?}",
        key.verifying_key(),
        KeySet::new([key.verifying_key()])
    );

    assert!(shown.contains(key.kid()), "{shown}");
    for secret in [
        String::from_utf8_lossy(SECRET).into_owned(),
        format!("{SECRET:?}"),
    ] {
        assert!(!shown.contains(&secret), "{shown}");
    }
}

#[test]
fn a_key_is_found_by_its_kid_and_algorithm_only() {
    let ed = SigningKey::generate(Algorithm::EdDsa)
        .unwrap()
        .verifying_key();
    let set = KeySet::new([ed.clone()]);

    assert_eq!(set.find(Some(ed.kid()), Algorithm::EdDsa), Some(&ed));
    assert_eq!(set.find(Some(ed.kid()), Algorithm::Hs256), None);
    assert_eq!(set.find(Some("another"), Algorithm::EdDsa), None);
    assert_eq!(set.find(None, Algorithm::EdDsa), None);
}

#[test]
fn a_token_without_kid_is_checked_by_the_only_allowed_key() {
    let [one, other] = [(); 2].map(|()| {
        let key = SigningKey::generate(Algorithm::EdDsa)
            .unwrap()
            .verifying_key();
        key.for_tokens_without_kid()
    });

    let alone = KeySet::new([one.clone()]);
    assert_eq!(alone.find(None, Algorithm::EdDsa), Some(&one));
    assert_eq!(alone.find(None, Algorithm::Es256), None);
    assert_eq!(KeySet::new([one, other]).find(None, Algorithm::EdDsa), None);
}

#[test]
fn algorithms_are_read_exactly_as_they_are_written() {
    for algorithm in Algorithm::ALL {
        assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        assert!(
            algorithm
                .name()
                .to_lowercase()
                .parse::<Algorithm>()
                .is_err()
        );
    }
    for other in ["none", "", "HS512", "RS256 ", "Ed25519"] {
        assert!(other.parse::<Algorithm>().is_err(), "{other}");
    }
}

#[test]
fn ids_have_22_characters_and_are_unique() {
    let ids: std::collections::HashSet<_> = (0..1000).map(|_| random_id()).collect();

    assert_eq!(ids.len(), 1000);
    assert!(ids.iter().all(|id| id.len() == 22));
}
