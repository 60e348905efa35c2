//! Forged headers and signatures. A control token passes, so that a refusal cannot be caused by the way
//! in which these tests build tokens.

use aws_lc_rs::hmac;

use super::*;

const NO_KEY: AuthError = AuthError::InvalidToken(InvalidToken::UntrustedKey);
const BAD_SIGNATURE: AuthError = AuthError::InvalidToken(InvalidToken::BadSignature);
const BAD_ALGORITHM: AuthError = AuthError::InvalidToken(InvalidToken::ForeignAlgorithm);
const BAD_HEADER: AuthError = AuthError::MalformedToken(MalformedToken::NotJoseHeader);
const BAD_TYP: AuthError = AuthError::InvalidToken(InvalidToken::ForeignType);
const BAD_CRIT: AuthError = AuthError::InvalidToken(InvalidToken::CriticalExtensions);
const NOT_BASE64: AuthError = AuthError::MalformedToken(MalformedToken::NotBase64);
const NOT_THREE: AuthError = AuthError::MalformedToken(MalformedToken::NotThreeParts);

fn parts(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().unwrap()
}

#[test]
fn a_valid_token_of_every_algorithm_is_accepted() {
    for key in &*KEYS {
        let seen = verify(&with_header(&json!({}), key)).unwrap();
        assert_eq!(seen.sub, "alice");
    }
    assert!(verify(&with_claims(&json!({}))).is_ok());
}

#[test]
fn unknown_algorithms_and_none_are_refused() {
    let key = key(Algorithm::EdDsa);
    for alg in [
        "none", "None", "NONE", "nOnE", "", " none", "null", "eddsa", "EDDSA", "Ed25519",
    ] {
        let signed = with_header(&json!({"alg": alg}), key);
        let [header, claims, _] = parts(&signed);

        assert_refused(alg, &signed, &BAD_ALGORITHM);
        assert_refused(alg, &format!("{header}.{claims}."), &BAD_ALGORITHM);
    }
    assert_refused(
        "absent",
        &with_header(&json!({"alg": null}), key),
        &BAD_HEADER,
    );
    assert_refused(
        "list",
        &with_header(&json!({"alg": ["EdDSA"]}), key),
        &BAD_HEADER,
    );
}

/// Returns the bytes of a public key as libraries hold them: a point, or the DER form of PKCS #1.
fn raw_public_key(jwk: &Value) -> Vec<u8> {
    let member = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    match jwk["kty"].as_str().unwrap() {
        "OKP" => member("x"),
        "EC" => [vec![4], member("x"), member("y")].concat(),
        _ => {
            let integers = [
                der(2, &[vec![0], member("n")].concat()),
                der(2, &member("e")),
            ];
            der(0x30, &integers.concat())
        }
    }
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let length = match length {
        [0, short] if short < 0x80 => vec![short],
        [0, long] => vec![0x81, long],
        [high, low] => vec![0x82, high, low],
    };
    [vec![tag], length, content.to_vec()].concat()
}

#[test]
fn a_public_key_is_no_hmac_secret() {
    for victim in KEYS.iter().filter(|key| key.algorithm().is_asymmetric()) {
        let jwk = victim.verifying_key().jwk().unwrap();
        for secret in [
            &*raw_public_key(&jwk),
            jwk.to_string().as_bytes(),
            jwk["x"].as_str().unwrap_or("").as_bytes(),
        ] {
            for kid in [json!(victim.kid()), Value::Null] {
                let changes = json!({"alg": "HS256", "kid": kid});
                let unsigned = with_header(&changes, victim);
                let [header, claims, _] = parts(&unsigned);
                let message = format!("{header}.{claims}");
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                let tag = hmac::sign(&key, message.as_bytes());
                let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag));

                assert_refused(victim.algorithm().name(), &forged, &NO_KEY);
            }
        }
    }
}

#[test]
fn a_key_checks_its_own_algorithm_only() {
    for key in &*KEYS {
        for other in Algorithm::ALL
            .into_iter()
            .filter(|other| *other != key.algorithm())
        {
            let token = with_header(&json!({"alg": other.name()}), key);
            assert_refused(other.name(), &token, &NO_KEY);
        }
    }
    for sibling in [
        "RS384", "RS512", "PS256", "HS384", "HS512", "ES384", "ES256K",
    ] {
        for key in &*KEYS {
            let token = with_header(&json!({"alg": sibling}), key);
            assert_refused(sibling, &token, &BAD_ALGORITHM);
        }
    }
}

#[test]
fn keys_in_the_token_header_are_ignored() {
    let (ours, thief) = (
        key(Algorithm::EdDsa),
        SigningKey::generate(Algorithm::EdDsa).unwrap(),
    );
    let jwk = thief.verifying_key().jwk().unwrap();
    let baits = [
        json!({"jwk": jwk}),
        json!({"jku": "https://thief.example/jwks.json"}),
        json!({"x5u": "https://thief.example/cert.pem"}),
        json!({"x5c": ["MIIB"]}),
        json!({"jwk": jwk, "jku": "file:///dev/null", "x5u": "http://169.254.169.254/"}),
    ];
    for bait in baits {
        let name = bait.to_string();
        let own_kid = with_header(&bait, &thief);
        let our_kid = with_header(&merged(bait, &json!({"kid": ours.kid()})), &thief);

        assert_refused(&name, &own_kid, &NO_KEY);
        assert_refused(&name, &our_kid, &BAD_SIGNATURE);
    }
}

#[test]
fn a_kid_is_only_compared() {
    let ours = key(Algorithm::EdDsa);
    let long = "k".repeat(5000);
    let names = [
        "",
        "../../../../dev/null",
        "/dev/null",
        "file:///etc/passwd",
        "' OR '1'='1",
        "x' UNION SELECT 'k';--",
        "$(id)",
        "`id`",
        "| id",
        "*",
        "%",
        "\0",
        "http://thief.example/key",
        long.as_str(),
    ];
    for name in names {
        assert_refused(name, &with_header(&json!({"kid": name}), ours), &NO_KEY);
    }
    for (name, kid) in [
        ("list", json!([ours.kid()])),
        ("number", json!(0)),
        ("map", json!({})),
    ] {
        assert_refused(name, &with_header(&json!({"kid": kid}), ours), &BAD_HEADER);
    }
    assert_refused("absent", &with_header(&json!({"kid": null}), ours), &NO_KEY);
    let other = key(Algorithm::Es256).kid();
    assert_refused(
        "another's",
        &with_header(&json!({"kid": other}), ours),
        &NO_KEY,
    );
}

#[test]
fn critical_extensions_are_refused() {
    let key = key(Algorithm::EdDsa);
    for crit in [
        json!(["exp"]),
        json!(["b64"]),
        json!([]),
        json!("b64"),
        json!(false),
    ] {
        let token = with_header(&json!({"crit": crit, "b64": true}), key);
        assert_refused(&crit.to_string(), &token, &BAD_CRIT);
    }
    let header = header_of(key)
        .to_string()
        .replacen('{', r#"{"crit":null,"#, 1);
    let token = sign_text(
        &header,
        &serde_json::to_string(&alices_claims()).unwrap(),
        key,
    );
    assert_refused("null", &token, &BAD_CRIT);
}

#[test]
fn only_configured_types_are_accepted() {
    let key = key(Algorithm::EdDsa);
    for typ in [
        "at+jwt",
        "AT+JWT",
        "At+Jwt",
        "application/at+jwt",
        "Application/AT+JWT",
    ] {
        assert!(
            verify(&with_header(&json!({"typ": typ}), key)).is_ok(),
            "{typ}"
        );
    }
    let others = [
        "JWT",
        "jwt",
        "rt+jwt",
        "",
        "at+jwt ",
        "text/at+jwt",
        "multipart/x/at+jwt",
        "application/",
        "application/application/at+jwt",
        "dpop+jwt",
        "at+jwt\0",
        "ät+jwt",
        "äääääääääääät+jwt",
    ];
    for typ in others {
        assert_refused(typ, &with_header(&json!({"typ": typ}), key), &BAD_TYP);
    }
    assert_refused("absent", &with_header(&json!({"typ": null}), key), &BAD_TYP);
    assert_refused(
        "list",
        &with_header(&json!({"typ": ["at+jwt"]}), key),
        &BAD_HEADER,
    );
}

#[test]
fn a_token_of_more_than_8_kb_is_not_even_hashed() {
    let padded = |letters: usize| with_claims(&json!({"pad": "x".repeat(letters)}));
    let spare = 8 * 1024 - padded(0).len();
    let fits = padded(spare * 3 / 4 - 3);

    assert!(
        fits.len() > 8 * 1024 - 16 && fits.len() <= 8 * 1024,
        "{}",
        fits.len()
    );
    assert!(verify(&fits).is_ok());
    let too_long = AuthError::MalformedToken(MalformedToken::TooLong);
    assert_refused("signed", &padded(spare), &too_long);
    assert_refused("junk", &"a".repeat(1 << 20), &too_long);
    assert_refused("dots", &".".repeat(8 * 1024 + 1), &too_long);
    let looked_at = AuthError::MalformedToken(MalformedToken::NotThreeParts);
    assert_refused("dots that fit", &".".repeat(8 * 1024), &looked_at);
}

#[test]
fn a_token_has_three_parts() {
    let token = token();
    let [header, claims, signature] = parts(&token);
    for junk in [
        String::new(),
        ".".into(),
        header.into(),
        format!("{header}.{claims}"),
        format!("{token}."),
        format!("{token}.{signature}"),
        format!(".{token}"),
        format!("{token}.a.b"),
        "....".into(),
    ] {
        assert_refused(&junk, &junk, &NOT_THREE);
    }
    for junk in ["..", "a.b.c", " . . ", "ä.ö.ü", "\0.\0.\0"] {
        assert!(
            matches!(verify(junk), Err(AuthError::MalformedToken(_))),
            "{junk}"
        );
    }
}

#[test]
fn a_missing_truncated_or_foreign_signature_is_refused() {
    for key in &*KEYS {
        let name = key.algorithm().name();
        let (one, other) = (
            with_header(&json!({}), key),
            with_header(&json!({"x": 1}), key),
        );
        let [header, claims, signature] = parts(&one);
        let cut = &URL_SAFE_NO_PAD.decode(signature).unwrap()[1..];
        let [cut, zeros] = [cut, &[0; 64]].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        for forged in ["", &cut, &zeros, parts(&other)[2]] {
            assert_refused(name, &format!("{header}.{claims}.{forged}"), &BAD_SIGNATURE);
        }
    }
}

#[test]
fn an_ecdsa_signature_in_der_is_refused() {
    let key = key(Algorithm::Es256);
    let token = with_header(&json!({}), key);
    let [header, claims, signature] = parts(&token);
    let raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let (r, s) = raw.split_at(32);
    let der = [&[0x30, 70, 2, 33, 0], r, &[2, 33, 0], s].concat();

    let forged = format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(der));

    assert_refused("DER", &forged, &BAD_SIGNATURE);
}

#[test]
fn extra_characters_in_a_token_are_refused() {
    let token = token();
    let [header, claims, signature] = parts(&token);
    for tail in ["=", "==", " ", "\n", "\t", "\0", ";", "A", "%3D"] {
        let longer = format!("{token}{tail}");
        assert!(verify(&longer).is_err(), "{tail:?}");
        assert!(verify(&format!("{tail}{token}")).is_err(), "{tail:?}");
        let inside = format!("{header}.{claims}{tail}.{signature}");
        assert!(verify(&inside).is_err(), "{tail:?}");
    }
    assert_refused("padding", &format!("{token}=="), &NOT_BASE64);
    let standard = |part: &str| part.replace('-', "+").replace('_', "/");
    let other_alphabet = format!("{header}.{claims}.{}+", standard(&signature[1..]));
    assert_refused("alphabet", &other_alphabet, &NOT_BASE64);
}

#[test]
fn no_letter_of_a_token_can_be_changed() {
    for key in &*KEYS {
        let verifier = verifier();
        let token = with_header(&json!({}), key);
        for (at, letter) in token.char_indices() {
            let mut changed = token.clone();
            changed.replace_range(at..=at, if letter == 'A' { "B" } else { "A" });
            let answer = verifier.verify(&changed, ExpectedKind::Access, NOW);
            assert!(answer.is_err(), "{} at {at}", key.algorithm());
        }
    }
}

proptest::proptest! {
    #[test]
    fn junk_is_refused_and_never_a_panic(
        junk in ".{0,300}",
        header in ".{0,60}",
        claims in ".{0,120}",
        signature in "[A-Za-z0-9_-]{0,90}",
    ) {
        proptest::prop_assert!(verify(&junk).is_err());
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        let shaped = format!("{header}.{claims}.{signature}");
        proptest::prop_assert!(verify(&shaped).is_err());
    }
}
