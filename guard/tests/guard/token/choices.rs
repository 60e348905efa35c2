//! Options for issuing and for verifying tokens.

use super::*;

fn issuer() -> Issuer {
    Issuer::new(key(Algorithm::EdDsa).clone())
}

fn token_without_exp() -> String {
    let claims = Claims {
        iss: ISSUER.into(),
        aud: vec![AUDIENCE.into()],
        sub: "robot".into(),
        ..Claims::access_without_expiry(NOW)
    };
    issuer().sign(&claims).unwrap()
}

fn accepting_missing_exp() -> VerifierSettings {
    VerifierSettings {
        missing_exp: MissingExp::Accepted,
        ..settings()
    }
}

#[test]
fn a_token_without_exp_is_accepted_only_if_configured() {
    let token = token_without_exp();
    let century = Duration::from_hours(24 * 365 * 100);

    assert_refused(
        "endless",
        &token,
        &AuthError::MalformedToken(MalformedToken::ClaimMissing(RequiredClaim::Exp)),
    );
    let admitting = Verifier::new(all_keys(), accepting_missing_exp());
    let claims = admitting
        .verify(&token, ExpectedKind::Access, NOW + century)
        .unwrap();
    assert_eq!((claims.exp, claims.expires_at()), (None, Time::MAX));
}

#[test]
fn exp_still_counts_where_tokens_without_exp_are_accepted() {
    let verifier = Verifier::new(all_keys(), accepting_missing_exp());
    let end = NOW + Duration::from_mins(15);

    assert_eq!(
        verifier.verify(&token(), ExpectedKind::Access, end),
        Err(AuthError::TokenExpired)
    );
    for exp in ["null", "\"never\"", "-1"] {
        let key = key(Algorithm::EdDsa);
        let good = serde_json::to_string(&alices_claims()).unwrap();
        let ours = format!(r#""exp":{}"#, NOW_SECS + 900);
        let text = good.replace(&ours, &format!(r#""exp":{exp}"#));
        let token = sign_text(&header_of(key).to_string(), &text, key);

        let answer = verifier.verify(&token, ExpectedKind::Access, NOW);

        assert!(answer.is_err(), "{exp}");
    }
}

#[test]
fn max_lifetime_applies_to_tokens_without_exp() {
    let limited = VerifierSettings {
        max_lifetime: Some(Duration::from_hours(1)),
        ..accepting_missing_exp()
    };
    let verifier = Verifier::new(all_keys(), limited);
    let at = |secs: u64| {
        let now = NOW + Duration::from_secs(secs);
        verifier.verify(&token_without_exp(), ExpectedKind::Access, now)
    };

    assert!(at(3599).is_ok());
    assert_eq!(at(3600), Err(AuthError::TokenExpired));
}

#[test]
fn a_token_with_zero_lifetime_is_expired() {
    let claims = Claims {
        exp: Claims::access(NOW, Duration::ZERO).exp,
        ..alices_claims()
    };

    assert_refused(
        "no life",
        &issuer().sign(&claims).unwrap(),
        &AuthError::TokenExpired,
    );
}

#[test]
fn refresh_claims_are_created_in_one_call_and_are_not_fresh() {
    let claims = Claims::refresh(NOW, Duration::from_hours(720));

    assert_eq!(
        (claims.kind, claims.fresh),
        (TokenKind::Refresh, FreshClaim::No)
    );
    assert_eq!(claims.exp, Some(NOW_SECS + 2_592_000));
    assert_ne!(
        claims.jti,
        Claims::refresh(NOW, Duration::from_hours(720)).jti
    );
}

#[test]
fn with_csrf_adds_a_random_value() {
    let one = alices_claims().with_csrf().csrf.unwrap();
    let other = alices_claims().with_csrf().csrf.unwrap();

    assert_eq!((one.len(), one == other), (22, false));
}

#[test]
fn custom_header_members_survive_signing_and_verification() {
    let issuer = issuer().with_header("tenant", json!({"id": 7})).unwrap();
    let token = issuer.sign(&alices_claims()).unwrap();
    let verifier = verifier();

    for _ in 0..2 {
        let seen = verifier.verify_with_header(&token, ExpectedKind::Access, NOW);

        let header = seen.unwrap().header;
        assert_eq!(header.member("tenant"), Some(json!({"id": 7})));
        assert_eq!(header.member("kid"), Some(json!(issuer.key().kid())));
        assert_eq!(header.member("absent"), None);
    }
}

#[test]
fn header_members_that_control_the_verification_cannot_be_set() {
    for name in [
        "alg", "typ", "kid", "crit", "b64", "cty", "jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256",
    ] {
        let answer = issuer().with_header(name, json!("x"));

        assert_eq!(
            answer.err(),
            Some(KeyError::ReservedHeader(name.to_owned()))
        );
    }
}

#[test]
fn an_unverified_header_can_be_read_from_any_input() {
    let token = token();

    assert_eq!(
        Header::unverified(&token).member("alg"),
        Some(json!("EdDSA"))
    );
    for junk in ["", ".", "x", "e30.e30.", "bnVsbA.x.y", "ä"] {
        assert!(Header::unverified(junk).members().is_empty(), "{junk}");
    }
}

#[test]
fn an_expired_token_can_be_read_but_not_a_forged_one() {
    let verifier = verifier();
    let late = NOW + Duration::from_hours(1);
    let read = |token: &str, expected| verifier.verify_even_expired(token, expected, late);
    let good = token();
    let (signed, _) = good.rsplit_once('.').unwrap();
    let past = with_claims(&json!({"iat": 1, "nbf": 1, "exp": 2}));

    assert_eq!(
        read(&token(), ExpectedKind::Access).unwrap().claims.sub,
        "alice"
    );
    assert_eq!(
        read(&past, ExpectedKind::Access).unwrap().claims.exp,
        Some(2)
    );
    assert!(matches!(
        read(
            &format!("{signed}.{}", "A".repeat(86)),
            ExpectedKind::Access
        ),
        Err(AuthError::InvalidToken(_))
    ));
    assert_eq!(
        read(&token(), ExpectedKind::Refresh).err(),
        Some(AuthError::WrongTokenType)
    );
    assert!(matches!(
        read(&"x".repeat(9000), ExpectedKind::Access),
        Err(AuthError::MalformedToken(_))
    ));
    assert_eq!(
        verifier.verify(&past, ExpectedKind::Access, NOW),
        Err(AuthError::TokenExpired),
        "reading it does not make it valid"
    );
}

#[test]
fn each_configured_issuer_and_audience_is_accepted() {
    let moved = VerifierSettings {
        issuers: vec![ISSUER.into(), "https://old.example".into()],
        audience: vec![AUDIENCE.into(), "https://other.example".into()],
        ..settings()
    };
    let verifier = Verifier::new(all_keys(), moved);
    let opens = |changes: Value| {
        let token = with_claims(&changes);
        verifier.verify(&token, ExpectedKind::Access, NOW).is_ok()
    };

    assert!(opens(json!({"iss": ISSUER})));
    assert!(opens(json!({"iss": "https://old.example"})));
    assert!(!opens(json!({"iss": "https://thief.example"})));
    assert!(opens(json!({"aud": "https://other.example"})));
    assert!(opens(json!({"aud": ["https://third.example", AUDIENCE]})));
    assert!(!opens(json!({"aud": "https://third.example"})));
}

#[test]
fn the_kid_selects_the_key_and_the_key_its_algorithm() {
    let (ed, hmac) = (key(Algorithm::EdDsa), key(Algorithm::Hs256));
    let swapped = with_header(&json!({"kid": hmac.kid()}), ed);
    let unknown = with_header(&json!({"kid": "somebody else's"}), ed);

    assert!(verify(&with_header(&json!({}), ed)).is_ok());
    assert!(verify(&with_header(&json!({}), hmac)).is_ok());
    for token in [swapped, unknown] {
        assert_refused(
            "kid",
            &token,
            &AuthError::InvalidToken(InvalidToken::UntrustedKey),
        );
    }
}

#[test]
fn a_time_becomes_freshness_until_then() {
    let until = FreshClaim::until(NOW + Duration::from_millis(1500));

    assert_eq!(until, FreshClaim::Until(4_000_000_001.5));
    assert!(until.is_fresh(NOW));
    assert!(!until.is_fresh(NOW + Duration::from_millis(1501)));
}

#[test]
fn claims_of_a_custom_form_are_signed_for_verifiers_without_a_kid() {
    let key = key(Algorithm::EdDsa);
    let issuer = Issuer::with_typ(Typ::Plain, key.clone()).without_kid();
    let trusted = key.verifying_key().for_tokens_without_kid();
    let verifier = Verifier::new(KeySet::new([trusted]), settings().with_flask_jwt_extended());

    let token = issuer.sign_custom(&json!({ "userId": 7 })).unwrap();

    let [header, claims] = [0, 1].map(|part| -> Value {
        let part = URL_SAFE_NO_PAD.decode(token.split('.').nth(part).unwrap());
        serde_json::from_slice(&part.unwrap()).unwrap()
    });
    assert_eq!(header, json!({ "typ": "JWT", "alg": "EdDSA" }));
    assert_eq!(claims, json!({ "userId": 7 }));
    let missing = MalformedToken::ClaimMissing(RequiredClaim::Sub);
    assert_eq!(
        verifier.verify(&token, ExpectedKind::Access, NOW),
        Err(AuthError::MalformedToken(missing)),
        "the signature is right, the claims are not ours"
    );
}
