//! Format and validity of tokens.

use super::*;

#[test]
fn claims_survive_signing_and_verification() {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let verifier = Verifier::new(KeySet::new([key.verifying_key()]), settings());
    let mut claims = Claims {
        client_id: Some("web".into()),
        fresh: FreshClaim::Until(4_000_000_300.25),
        auth_time: Some(NOW_SECS - 5),
        amr: vec!["pwd".into()],
        roles: vec!["admin".into(), "editor".into()],
        scope: Some("read write".into()),
        csrf: Some("43eb980c-6939-44e4-979f-a60c150773b8".into()),
        ..alices_claims()
    };
    claims
        .extra
        .insert("plan".into(), json!({"name": "gold", "seats": [1, 2]}));

    let token = Issuer::new(key).sign(&claims).unwrap();

    assert_eq!(
        *verifier.verify(&token, ExpectedKind::Access, NOW).unwrap(),
        claims
    );
}

#[test]
fn a_token_reads_as_flask_jwt_extended_expects_it() {
    let claims = Claims {
        jti: "j".into(),
        csrf: Some("c".into()),
        ..alices_claims()
    }
    .with_nbf();

    let written = serde_json::to_value(&claims).unwrap();

    assert_eq!(
        written,
        json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "sid": "session-1", "jti": "j",
            "iat": NOW_SECS, "nbf": NOW_SECS, "exp": NOW_SECS + 900,
            "type": "access", "fresh": false, "csrf": "c",
        })
    );
}

#[test]
fn the_header_names_type_algorithm_and_key() {
    for key in &*KEYS {
        let token = Issuer::new(key.clone()).sign(&alices_claims()).unwrap();
        let header = URL_SAFE_NO_PAD
            .decode(token.split('.').next().unwrap())
            .unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        assert_eq!(header, header_of(key));
    }
}

#[test]
fn fresh_is_a_flag_or_a_time() {
    let fresh = |value: Value| {
        verify(&with_claims(&json!({ "fresh": value })))
            .unwrap()
            .fresh
    };

    assert_eq!(fresh(json!(true)), FreshClaim::Yes);
    assert_eq!(fresh(json!(false)), FreshClaim::No);
    assert_eq!(
        fresh(Value::Null),
        FreshClaim::No,
        "a token that does not say is not fresh"
    );
    assert_eq!(fresh(json!(NOW_SECS)), FreshClaim::Until(4e9));
    assert_eq!(
        fresh(json!(4_000_000_000.5)),
        FreshClaim::Until(4_000_000_000.5)
    );
    assert_eq!(fresh(json!(-5)), FreshClaim::Until(-5.0));
}

#[test]
fn freshness_ends_when_its_time_is_over() {
    let until = FreshClaim::Until(4_000_000_000.5);

    assert!(FreshClaim::Yes.is_fresh(NOW) && !FreshClaim::No.is_fresh(NOW));
    assert!(until.is_fresh(NOW + Duration::from_millis(500)));
    assert!(!until.is_fresh(NOW + Duration::from_millis(501)));
    assert!(!FreshClaim::Until(f64::NAN).is_fresh(NOW));
}

#[test]
fn claims_without_a_json_form_are_not_signed() {
    let issuer = Issuer::new(key(Algorithm::EdDsa).clone());
    let mut twice = alices_claims();
    twice.extra.insert("exp".into(), json!(i64::MAX));
    let never = Claims {
        fresh: FreshClaim::Until(f64::INFINITY),
        ..alices_claims()
    };

    assert_eq!(
        issuer.sign(&twice),
        Err(KeyError::ReservedClaim("exp".into()))
    );
    assert!(matches!(issuer.sign(&never), Err(KeyError::Crypto(_))));
}

#[test]
fn every_named_claim_is_reserved() {
    let written = serde_json::to_value(Claims {
        client_id: Some(String::new()),
        auth_time: Some(0),
        amr: vec![String::new()],
        roles: vec![String::new()],
        scope: Some(String::new()),
        csrf: Some(String::new()),
        ..alices_claims()
    });
    for name in written.unwrap().as_object().unwrap().keys() {
        let mut claims = alices_claims();
        claims.extra.insert(name.clone(), json!(1));
        let answer = Issuer::new(key(Algorithm::EdDsa).clone()).sign(&claims);
        assert_eq!(answer, Err(KeyError::ReservedClaim(name.clone())));
    }
}

#[test]
fn a_token_ends_at_its_expiry_to_the_millisecond() {
    let token = token();
    let end = NOW + Duration::from_mins(15);
    let at = |now: Time| verifier().verify(&token, ExpectedKind::Access, now);

    assert!(at(end - Duration::from_millis(1)).is_ok());
    assert_eq!(at(end), Err(AuthError::TokenExpired));
    for exp in [0, -1, i64::MIN, NOW_SECS] {
        assert_refused(
            "past",
            &with_claims(&json!({ "exp": exp })),
            &AuthError::TokenExpired,
        );
    }
    assert!(verify(&with_claims(&json!({"exp": i64::MAX}))).is_ok());
}

#[test]
fn a_token_is_not_valid_before_nbf_and_iat() {
    let early = AuthError::InvalidToken(InvalidToken::NotYetValid);
    let future = AuthError::InvalidToken(InvalidToken::IssuedInFuture);
    assert_refused("nbf", &with_claims(&json!({"nbf": NOW_SECS + 1})), &early);
    assert_refused("nbf", &with_claims(&json!({"nbf": i64::MAX})), &early);
    assert_refused("iat", &with_claims(&json!({"iat": NOW_SECS + 1})), &future);
    assert_refused("iat", &with_claims(&json!({"iat": i64::MAX})), &future);

    assert!(
        verify(&with_claims(&json!({"nbf": null}))).is_ok(),
        "RFC 9068 has no `nbf`"
    );
    assert!(verify(&with_claims(&json!({"nbf": -1, "iat": -1}))).is_ok());
}

#[test]
fn leeway_is_granted_on_both_ends_and_capped() {
    let with = |leeway: Duration| {
        Verifier::new(
            all_keys(),
            VerifierSettings {
                leeway,
                ..settings()
            },
        )
    };
    let (ten, vast) = (with(Duration::from_secs(10)), with(Duration::MAX));
    let (token, end) = (token(), NOW + Duration::from_mins(15));
    let early = with_claims(&json!({"nbf": NOW_SECS + 10, "iat": NOW_SECS + 10}));
    let at =
        |verifier: &Verifier, now: Time| verifier.verify(&token, ExpectedKind::Access, now).is_ok();

    assert!(at(&ten, end + Duration::from_millis(9_999)));
    assert!(!at(&ten, end + Duration::from_secs(10)));
    assert!(ten.verify(&early, ExpectedKind::Access, NOW).is_ok());
    assert!(
        ten.verify(&early, ExpectedKind::Access, NOW - Duration::from_millis(1))
            .is_err()
    );
    assert!(at(&vast, end + Duration::from_secs(299)));
    assert!(!at(&vast, end + Duration::from_mins(5)));
}

fn refresh_token() -> String {
    let issuer = Issuer::with_typ(Typ::Refresh, key(Algorithm::Hs256).clone());
    issuer
        .sign(&Claims {
            kind: TokenKind::Refresh,
            ..alices_claims()
        })
        .unwrap()
}

fn accepting(typ: &[Typ]) -> Verifier {
    Verifier::new(
        all_keys(),
        VerifierSettings {
            typ: typ.to_vec(),
            ..settings()
        },
    )
}

#[test]
fn each_kind_of_token_is_accepted_only_as_its_kind() {
    let verifier = accepting(&[Typ::Access, Typ::Refresh]);
    let (access, refresh) = (token(), refresh_token());
    let table = [
        (&access, ExpectedKind::Access, true),
        (&access, ExpectedKind::Refresh, false),
        (&access, ExpectedKind::Either, true),
        (&refresh, ExpectedKind::Access, false),
        (&refresh, ExpectedKind::Refresh, true),
        (&refresh, ExpectedKind::Either, true),
    ];
    for (token, expected, opens) in table {
        let answer = verifier.verify(token, expected, NOW);
        assert_eq!(answer.is_ok(), opens, "{expected:?}");
        assert!(opens || answer == Err(AuthError::WrongTokenType));
    }
}

#[test]
fn a_refresh_token_is_no_access_token_even_by_its_header() {
    let token = refresh_token();

    let by_its_server = accepting(&[Typ::Refresh]).verify(&token, ExpectedKind::Refresh, NOW);
    let by_a_service = verifier().verify(&token, ExpectedKind::Either, NOW);

    assert!(by_its_server.is_ok());
    let refusal = AuthError::InvalidToken(InvalidToken::ForeignType);
    assert_eq!(by_a_service, Err(refusal));
}

#[test]
fn header_and_claims_must_agree_on_the_kind() {
    let verifier = accepting(&[Typ::Access, Typ::Refresh, Typ::Plain]);
    let key = key(Algorithm::EdDsa);
    let table = [
        ("at+jwt", "access", true),
        ("at+jwt", "refresh", false),
        ("rt+jwt", "access", false),
        ("rt+jwt", "refresh", true),
        ("JWT", "access", true),
        ("JWT", "refresh", true),
    ];
    for (typ, kind, agree) in table {
        let header = merged(header_of(key), &json!({ "typ": typ })).to_string();
        let claims = merged(
            serde_json::to_value(alices_claims()).unwrap(),
            &json!({ "type": kind }),
        );
        let token = sign_text(&header, &claims.to_string(), key);

        let answer = verifier.verify(&token, ExpectedKind::Either, NOW);

        assert_eq!(answer.is_ok(), agree, "{typ} {kind}");
        assert!(agree || answer == Err(AuthError::WrongTokenType));
    }
}

#[test]
fn tokens_of_plain_type_and_without_kid_are_accepted_only_if_configured() {
    let key = key(Algorithm::Hs256);
    let token = with_header(&json!({"typ": "JWT", "kid": null}), key);
    let plain = VerifierSettings {
        typ: vec![Typ::Access, Typ::Plain],
        ..settings()
    };
    let keys = KeySet::new([key.verifying_key().for_tokens_without_kid()]);

    assert!(
        Verifier::new(keys, plain)
            .verify(&token, ExpectedKind::Access, NOW)
            .is_ok()
    );
    assert!(verify(&token).is_err());
}

#[test]
fn a_verifier_needs_no_private_key() {
    let jwks = KeySet::new(KEYS.iter().map(SigningKey::verifying_key)).jwks();
    let verifier = Verifier::new(KeySet::from_jwks(&jwks).unwrap(), settings());

    assert!(verifier.verify(&token(), ExpectedKind::Access, NOW).is_ok());
}

#[test]
fn roles_and_scopes_are_compared_whole() {
    let claims = Claims {
        roles: vec!["admin".into()],
        scope: Some("read write:all".into()),
        ..alices_claims()
    };

    assert!(claims.has_role("admin") && claims.has_scope("read") && claims.has_scope("write:all"));
    for other in ["adm", "Admin", "read write:all", "write", ""] {
        assert!(
            !claims.has_role(other) && !claims.has_scope(other),
            "{other}"
        );
    }
    assert!(!Claims::access(NOW, Duration::ZERO).has_scope(""));
}
