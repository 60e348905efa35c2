//! A cached token skips the signature check and nothing else.

use super::*;

fn cached(verifier: &Verifier) -> String {
    let token = token();
    verifier.verify(&token, Expected::Access, NOW).unwrap();
    assert_eq!(verifier.remembered(), 1);
    token
}

#[test]
fn the_second_check_answers_with_the_very_same_claims() {
    let verifier = verifier();
    let token = token();

    let first = verifier.verify(&token, Expected::Access, NOW).unwrap();
    let second = verifier.verify(&token, Expected::Access, NOW).unwrap();

    assert!(Arc::ptr_eq(&first, &second));
}

#[test]
fn a_remembered_token_expires_on_time() {
    let verifier = verifier();
    let token = cached(&verifier);
    let at = |secs: u64| verifier.verify(&token, Expected::Access, NOW + Duration::from_secs(secs));

    assert!(at(899).is_ok());
    assert_eq!(at(900), Err(AuthError::TokenExpired));
}

#[test]
fn a_remembered_token_falls_with_its_key() {
    let (old, new) = (
        key(Algorithm::EdDsa),
        SigningKey::generate(Algorithm::EdDsa).unwrap(),
    );
    let verifier = verifier();
    let token = cached(&verifier);
    let check = || verifier.verify(&token, Expected::Access, NOW);

    verifier.replace_keys(KeySet::new([old.verifying(), new.verifying()]));
    assert!(check().is_ok());
    verifier.replace_keys(KeySet::new([new.verifying()]));
    assert!(matches!(check(), Err(AuthError::InvalidToken(_))));
    verifier.replace_keys(KeySet::new([old.verifying()]));
    assert!(check().is_ok());
}

#[test]
fn a_remembered_token_falls_when_another_key_takes_its_kid() {
    let verifier = verifier();
    let token = cached(&verifier);
    let mut jwk = SigningKey::generate(Algorithm::EdDsa)
        .unwrap()
        .verifying()
        .jwk()
        .unwrap();
    jwk["kid"] = json!(key(Algorithm::EdDsa).kid());

    verifier.replace_keys(KeySet::from_jwks(&json!({"keys": [jwk]})).unwrap());

    let answer = verifier.verify(&token, Expected::Access, NOW);
    assert_eq!(
        answer,
        Err(AuthError::InvalidToken("its signature does not match"))
    );
}

#[test]
fn reading_the_same_keys_again_forgets_nothing() {
    let verifier = verifier();
    cached(&verifier);

    verifier.replace_keys(all_keys());

    assert_eq!(verifier.remembered(), 1);
}

#[test]
fn a_remembered_token_is_still_of_its_kind() {
    let verifier = verifier();
    let token = cached(&verifier);

    let as_refresh = verifier.verify(&token, Expected::Refresh, NOW);

    assert_eq!(as_refresh, Err(AuthError::WrongTokenType));
}

#[test]
fn a_refused_token_is_not_remembered() {
    let verifier = verifier();
    let late = NOW + Duration::from_mins(15);
    let other = with_claims(&json!({"aud": "https://other.example"}));

    for (token, now) in [
        (token(), late),
        (format!("{}A", token()), NOW),
        (other, NOW),
    ] {
        assert!(verifier.verify(&token, Expected::Access, now).is_err());
    }

    assert_eq!(verifier.remembered(), 0);
}

#[test]
fn only_so_many_tokens_are_remembered() {
    let limited = VerifierSettings {
        cached_tokens: 10,
        ..settings()
    };
    let verifier = Verifier::new(all_keys(), limited);

    for _ in 0..100 {
        assert!(verifier.verify(&token(), Expected::Access, NOW).is_ok());
    }

    assert!(
        (1..=10).contains(&verifier.remembered()),
        "{}",
        verifier.remembered()
    );
}

#[test]
fn a_verifier_may_remember_nothing() {
    let forgetful = VerifierSettings {
        cached_tokens: 0,
        ..settings()
    };
    let verifier = Verifier::new(all_keys(), forgetful);

    let token = token();

    assert!(verifier.verify(&token, Expected::Access, NOW).is_ok());
    assert!(verifier.verify(&token, Expected::Access, NOW).is_ok());
    assert_eq!(verifier.remembered(), 0);
}
