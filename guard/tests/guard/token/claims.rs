//! Claims that are refused although a trusted key signed them.

use super::*;

const BAD_CLAIM: AuthError = AuthError::MalformedToken(MalformedToken::UnreadableClaim);
const BAD_HEADER: AuthError = AuthError::MalformedToken(MalformedToken::NotJoseHeader);

#[test]
fn a_claim_of_the_wrong_type_is_not_skipped() {
    let cases = [
        json!({"exp": "4000000900"}),
        json!({"exp": 4_000_000_900.5}),
        json!({"exp": true}),
        json!({"exp": []}),
        json!({"exp": u64::MAX}),
        json!({"exp": 1e300}),
        json!({"exp": {}}),
        json!({"iat": "4000000000"}),
        json!({"iat": 4e9}),
        json!({"nbf": "0"}),
        json!({"nbf": 0.5}),
        json!({"iss": ""}),
        json!({"aud": []}),
        json!({"aud": 7}),
        json!({"aud": {AUDIENCE: true}}),
        json!({"aud": [7, AUDIENCE]}),
        json!({"iss": [ISSUER]}),
        json!({"iss": 7}),
        json!({"sub": 7}),
        json!({"sub": ["alice"]}),
        json!({"jti": 7}),
        json!({"jti": []}),
        json!({"sid": 7}),
        json!({"client_id": {}}),
        json!({"type": "app"}),
        json!({"type": "ACCESS"}),
        json!({"type": true}),
        json!({"type": ""}),
        json!({"fresh": "true"}),
        json!({"fresh": []}),
        json!({"roles": "admin"}),
        json!({"roles": [7]}),
        json!({"scope": ["read"]}),
        json!({"amr": "pwd"}),
        json!({"auth_time": "now"}),
        json!({"csrf": 7}),
    ];
    for changes in cases {
        assert_refused(&changes.to_string(), &with_claims(&changes), &BAD_CLAIM);
    }
}

#[test]
fn null_and_overflow_are_the_wrong_type_too() {
    let key = key(Algorithm::EdDsa);
    let good = serde_json::to_string(&alices_claims()).unwrap();
    let exp = format!(r#""exp":{}"#, NOW_SECS + 900);
    for bad in [
        "null",
        "1e999",
        "99999999999999999999",
        "-",
        "0x1",
        "NaN",
        "Infinity",
        "",
    ] {
        let text = good.replace(&exp, &format!(r#""exp":{bad}"#));
        assert_ne!(text, good);
        assert_refused(
            bad,
            &sign_text(&header_of(key).to_string(), &text, key),
            &BAD_CLAIM,
        );
    }
    for name in ["iss", "aud", "sub", "jti", "iat", "type", "fresh", "roles"] {
        let rest = merged(
            serde_json::to_value(alices_claims()).unwrap(),
            &json!({name: null}),
        )
        .to_string();
        let text = rest.replacen('{', &format!(r#"{{"{name}":null,"#), 1);
        assert_refused(
            name,
            &sign_text(&header_of(key).to_string(), &text, key),
            &BAD_CLAIM,
        );
    }
}

#[test]
fn a_missing_claim_is_refused() {
    let table = [
        ("iss", RequiredClaim::Iss),
        ("aud", RequiredClaim::Aud),
        ("sub", RequiredClaim::Sub),
        ("jti", RequiredClaim::Jti),
        ("iat", RequiredClaim::Iat),
        ("exp", RequiredClaim::Exp),
        ("type", RequiredClaim::Type),
    ];
    for (name, claim) in table {
        let token = with_claims(&json!({ name: null }));
        let missing = AuthError::MalformedToken(MalformedToken::ClaimMissing(claim));
        assert_refused(name, &token, &missing);
    }
    for name in ["sub", "jti"] {
        let expected = AuthError::MalformedToken(MalformedToken::EmptySubOrJti);
        assert_refused(name, &with_claims(&json!({name: ""})), &expected);
    }
}

#[test]
fn a_duplicate_member_is_refused() {
    let key = key(Algorithm::EdDsa);
    let header = header_of(key).to_string();
    let good = serde_json::to_string(&alices_claims()).unwrap();
    let twice = |text: &str, member: &str| text.replacen('{', &format!("{{{member},"), 1);
    for member in [
        r#""exp":1"#,
        r#""sub":"mallory""#,
        r#""type":"refresh""#,
        r#""aud":"x""#,
        r#""fresh":true"#,
        r#""sub":"alice""#,
        r#""\u0073ub":"mallory""#,
        r#""plan":"free","plan":"gold""#,
    ] {
        assert_refused(
            member,
            &sign_text(&header, &twice(&good, member), key),
            &BAD_CLAIM,
        );
    }
    for member in [r#""alg":"none""#, r#""kid":"x""#, r#""typ":"JWT""#] {
        assert_refused(
            member,
            &sign_text(&twice(&header, member), &good, key),
            &BAD_HEADER,
        );
    }
}

#[test]
fn claims_and_header_are_json_objects_and_nothing_after() {
    let key = key(Algorithm::EdDsa);
    let header = header_of(key).to_string();
    let good = serde_json::to_string(&alices_claims()).unwrap();
    let bom = format!("\u{feff}{good}");
    for text in [
        "",
        "null",
        "[]",
        "7",
        "\"x\"",
        "{",
        "{}{}",
        &format!("{good}x"),
        &format!("{good}{good}"),
        &bom,
    ] {
        let token = sign_text(&header, text, key);
        assert!(
            matches!(verify(&token), Err(AuthError::MalformedToken(_))),
            "{text}"
        );
    }
    let list = json!([key.algorithm().name(), "at+jwt", key.kid()]).to_string();
    for text in ["", "null", "7", "{", &format!("{header}x"), &list] {
        let token = sign_text(text, &good, key);
        assert!(
            matches!(verify(&token), Err(AuthError::MalformedToken(_))),
            "{text}"
        );
    }
}

#[test]
fn a_token_of_another_issuer_or_for_another_audience_is_refused() {
    let iss = AuthError::InvalidToken(InvalidToken::ForeignIssuer);
    for other in [
        "https://thief.example",
        "https://auth.example/",
        "HTTPS://AUTH.EXAMPLE",
    ] {
        assert_refused(other, &with_claims(&json!({"iss": other})), &iss);
    }
    let aud = AuthError::InvalidToken(InvalidToken::ForeignAudience);
    for other in [
        json!("https://other.example"),
        json!(""),
        json!(["a", "b"]),
        json!(["*"]),
    ] {
        assert_refused(
            &other.to_string(),
            &with_claims(&json!({"aud": other})),
            &aud,
        );
    }
    let among_others = with_claims(&json!({"aud": ["https://other.example", AUDIENCE]}));
    assert_eq!(verify(&among_others).unwrap().aud.len(), 2);
}

#[test]
fn a_verifier_without_audience_or_keys_accepts_nothing() {
    let nameless = Verifier::new(all_keys(), VerifierSettings::new(ISSUER, [""; 0]));
    let keyless = Verifier::new(KeySet::default(), settings());

    let audience = AuthError::InvalidToken(InvalidToken::ForeignAudience);
    let unknown_key = AuthError::InvalidToken(InvalidToken::UntrustedKey);
    assert_eq!(
        nameless.verify(&token(), ExpectedKind::Access, NOW),
        Err(audience)
    );
    assert_eq!(
        keyless.verify(&token(), ExpectedKind::Access, NOW),
        Err(unknown_key)
    );
}

#[test]
fn nbf_is_set_only_on_request() {
    let claims = Claims::access(Time::from_secs(7), Duration::from_mins(15));

    assert_eq!(claims.nbf, None);
    assert_eq!(
        Claims::refresh(Time::from_secs(7), Duration::from_mins(15)).nbf,
        None
    );
    assert_eq!(Claims::access_without_expiry(Time::from_secs(7)).nbf, None);
    assert_eq!(claims.with_nbf().nbf, Some(7));
}
