//! Tokens as Flask-JWT-Extended issues them, where the verifier accepts them. Their claims are copied
//! from tokens of version 4.7.4; `tests/api/interop` issues them with that library.

use super::*;

fn flask_claims() -> Value {
    json!({
        "fresh": false, "iat": NOW_SECS, "jti": "272a6544-854b-416f-8b58-c767eeeed68c",
        "type": "access", "sub": "alice", "nbf": NOW_SECS,
        "csrf": "43eb980c-6939-44e4-979f-a60c150773b8", "exp": NOW_SECS + 900,
    })
}

/// Signs as that library does, without a `kid`.
fn flask_token(changes: &Value, key: &SigningKey) -> String {
    let header = json!({"alg": key.algorithm().name(), "typ": "JWT"});
    let claims = merged(flask_claims(), changes);
    sign_text(&header.to_string(), &claims.to_string(), key)
}

fn verifier_for_flask(key: &SigningKey) -> Verifier {
    let key = key.verifying_key().for_tokens_without_kid();
    Verifier::new(KeySet::new([key]), settings().with_flask_jwt_extended())
}

#[test]
fn tokens_of_flask_jwt_extended_are_accepted_if_configured() {
    for key in &*KEYS {
        let token = flask_token(&json!({}), key);

        let claims = verifier_for_flask(key).verify(&token, ExpectedKind::Access, NOW);

        let claims = claims.unwrap();
        assert_eq!((&*claims.sub, &*claims.iss), ("alice", ""));
        assert_eq!(serde_json::to_value(&*claims).unwrap(), flask_claims());
        let key = key.verifying_key().for_tokens_without_kid();
        let strict = Verifier::new(KeySet::new([key]), settings());
        assert!(strict.verify(&token, ExpectedKind::Access, NOW).is_err());
    }
}

#[test]
fn tokens_that_only_flask_jwt_extended_accepts_are_refused() {
    let missing = |claim| AuthError::MalformedToken(MalformedToken::ClaimMissing(claim));
    let bad_claim = AuthError::MalformedToken(MalformedToken::UnreadableClaim);
    let table = [
        (json!({"exp": null}), missing(RequiredClaim::Exp)),
        (json!({"type": null}), missing(RequiredClaim::Type)),
        (json!({"jti": null}), missing(RequiredClaim::Jti)),
        (json!({"iat": null}), missing(RequiredClaim::Iat)),
        (json!({"sub": null}), missing(RequiredClaim::Sub)),
        (json!({"type": "app"}), bad_claim.clone()),
        (json!({"sub": 7}), bad_claim.clone()),
        (json!({"iss": ""}), bad_claim.clone()),
        (json!({"aud": []}), bad_claim.clone()),
        (json!({"exp": "4000000900"}), bad_claim),
        (
            json!({"sub": ""}),
            AuthError::MalformedToken(MalformedToken::EmptySubOrJti),
        ),
        (json!({"type": "refresh"}), AuthError::WrongTokenType),
        (
            json!({"iss": "https://else.example"}),
            AuthError::InvalidToken(InvalidToken::ForeignIssuer),
        ),
        (
            json!({"aud": ["https://else.example"]}),
            AuthError::InvalidToken(InvalidToken::ForeignAudience),
        ),
    ];
    let key = key(Algorithm::Hs256);
    for (changes, expected) in table {
        let token = flask_token(&changes, key);

        let answer = verifier_for_flask(key).verify(&token, ExpectedKind::Access, NOW);

        assert_eq!(answer.as_ref(), Err(&expected), "{changes}");
    }
}

#[test]
fn issuer_and_audience_are_checked_if_present() {
    let key = key(Algorithm::EdDsa);
    let names = json!({"iss": ISSUER, "aud": AUDIENCE});

    let claims =
        verifier_for_flask(key).verify(&flask_token(&names, key), ExpectedKind::Access, NOW);

    assert_eq!(claims.unwrap().iss, ISSUER);
}

#[test]
fn a_shared_key_does_not_replace_issuer_and_audience() {
    let key = key(Algorithm::EdDsa);
    let verifier = Verifier::new(all_keys(), settings().with_flask_jwt_extended());
    let header = header_of(key).to_string();

    let unnamed = sign_text(&header, &flask_claims().to_string(), key);

    let answer = verifier.verify(&unnamed, ExpectedKind::Access, NOW);
    assert!(
        matches!(
            answer,
            Err(AuthError::MalformedToken(MalformedToken::ClaimMissing(_)))
        ),
        "{answer:?}"
    );
    assert!(verifier.verify(&token(), ExpectedKind::Access, NOW).is_ok());
}
