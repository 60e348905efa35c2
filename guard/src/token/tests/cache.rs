//! A cached token skips the signature check and nothing else.

use super::*;

fn verify_once(verifier: &Verifier) -> String {
    let token = token();
    verifier.verify(&token, ExpectedKind::Access, NOW).unwrap();
    assert_eq!(verifier.cached_count(), 1);
    token
}

#[test]
fn a_cached_check_returns_the_same_claims() {
    let verifier = verifier();
    let token = token();

    let first = verifier.verify(&token, ExpectedKind::Access, NOW).unwrap();
    let second = verifier.verify(&token, ExpectedKind::Access, NOW).unwrap();

    assert!(Arc::ptr_eq(&first, &second));
}

#[test]
fn a_cached_token_expires_on_time() {
    let verifier = verifier();
    let token = verify_once(&verifier);
    let at = |secs: u64| {
        verifier.verify(
            &token,
            ExpectedKind::Access,
            NOW + Duration::from_secs(secs),
        )
    };

    assert!(at(899).is_ok());
    assert_eq!(at(900), Err(AuthError::TokenExpired));
}

#[test]
fn a_cached_token_is_refused_once_its_key_is_removed() {
    let (old, new) = (
        key(Algorithm::EdDsa),
        SigningKey::generate(Algorithm::EdDsa).unwrap(),
    );
    let verifier = verifier();
    let token = verify_once(&verifier);
    let check = || verifier.verify(&token, ExpectedKind::Access, NOW);

    verifier.replace_keys(KeySet::new([old.verifying_key(), new.verifying_key()]));
    assert!(check().is_ok());
    verifier.replace_keys(KeySet::new([new.verifying_key()]));
    assert!(matches!(check(), Err(AuthError::InvalidToken(_))));
    verifier.replace_keys(KeySet::new([old.verifying_key()]));
    assert!(check().is_ok());
}

#[test]
fn a_cached_token_is_refused_once_another_key_has_its_kid() {
    let verifier = verifier();
    let token = verify_once(&verifier);
    let mut jwk = SigningKey::generate(Algorithm::EdDsa)
        .unwrap()
        .verifying_key()
        .jwk()
        .unwrap();
    jwk["kid"] = json!(key(Algorithm::EdDsa).kid());

    verifier.replace_keys(KeySet::from_jwks(&json!({"keys": [jwk]})).unwrap());

    let answer = verifier.verify(&token, ExpectedKind::Access, NOW);
    assert_eq!(
        answer,
        Err(AuthError::InvalidToken(InvalidToken::BadSignature))
    );
}

#[test]
fn replacing_keys_with_the_same_keys_keeps_the_cache() {
    let verifier = verifier();
    verify_once(&verifier);

    verifier.replace_keys(all_keys());

    assert_eq!(verifier.cached_count(), 1);
}

#[test]
fn the_kind_of_a_cached_token_is_checked() {
    let verifier = verifier();
    let token = verify_once(&verifier);

    let as_refresh = verifier.verify(&token, ExpectedKind::Refresh, NOW);

    assert_eq!(as_refresh, Err(AuthError::WrongTokenType));
}

#[test]
fn a_refused_token_is_not_cached() {
    let verifier = verifier();
    let late = NOW + Duration::from_mins(15);
    let other = with_claims(&json!({"aud": "https://other.example"}));

    for (token, now) in [
        (token(), late),
        (format!("{}A", token()), NOW),
        (other, NOW),
    ] {
        assert!(verifier.verify(&token, ExpectedKind::Access, now).is_err());
    }

    assert_eq!(verifier.cached_count(), 0);
}

#[test]
fn the_number_of_cached_tokens_is_limited() {
    let limited = VerifierSettings {
        cached_tokens: 10,
        ..settings()
    };
    let verifier = Verifier::new(all_keys(), limited);

    for _ in 0..100 {
        assert!(verifier.verify(&token(), ExpectedKind::Access, NOW).is_ok());
    }

    assert!(
        (1..=10).contains(&verifier.cached_count()),
        "{}",
        verifier.cached_count()
    );
}

#[test]
fn the_token_cache_can_be_turned_off() {
    let forgetful = VerifierSettings {
        cached_tokens: 0,
        ..settings()
    };
    let verifier = Verifier::new(all_keys(), forgetful);

    let token = token();

    assert!(verifier.verify(&token, ExpectedKind::Access, NOW).is_ok());
    assert!(verifier.verify(&token, ExpectedKind::Access, NOW).is_ok());
    assert_eq!(verifier.cached_count(), 0);
}
