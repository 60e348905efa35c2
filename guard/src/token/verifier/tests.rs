//! A cached token skips the signature check and nothing else. Fetched keys are trusted until a time.

use std::sync::LazyLock;

use super::*;
use crate::keys::{Algorithm, SigningKey};
use crate::token::Issuer;

const NOW: Time = Time::from_secs(4_000_000_000);
const ISSUER: &str = "https://auth.example";
const AUDIENCE: &str = "https://api.example";

static KEY: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::generate(Algorithm::EdDsa).unwrap());

fn keys() -> KeySet {
    KeySet::new([KEY.verifying_key()])
}

fn settings() -> VerifierSettings {
    VerifierSettings::new(ISSUER, [AUDIENCE])
}

fn verifier() -> Verifier {
    Verifier::new(keys(), settings())
}

fn token_for(audience: &str) -> String {
    let claims = Claims {
        iss: ISSUER.into(),
        aud: vec![audience.into()],
        sub: "alice".into(),
        ..Claims::access(NOW, Duration::from_mins(15))
    };
    Issuer::new(KEY.clone()).sign(&claims).unwrap()
}

fn token() -> String {
    token_for(AUDIENCE)
}

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
    let new = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let verifier = verifier();
    let token = verify_once(&verifier);
    let check = || verifier.verify(&token, ExpectedKind::Access, NOW);

    verifier.replace_keys(KeySet::new([KEY.verifying_key(), new.verifying_key()]));
    assert!(check().is_ok());
    verifier.replace_keys(KeySet::new([new.verifying_key()]));
    assert!(matches!(check(), Err(AuthError::InvalidToken(_))));
    verifier.replace_keys(KeySet::new([KEY.verifying_key()]));
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
    jwk["kid"] = serde_json::json!(KEY.kid());

    verifier.replace_keys(KeySet::from_jwks(&serde_json::json!({"keys": [jwk]})).unwrap());

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

    verifier.replace_keys(keys());

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
    let other = token_for("https://other.example");

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
    let verifier = Verifier::new(keys(), limited);

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
    let verifier = Verifier::new(keys(), forgetful);

    let token = token();

    assert!(verifier.verify(&token, ExpectedKind::Access, NOW).is_ok());
    assert!(verifier.verify(&token, ExpectedKind::Access, NOW).is_ok());
    assert_eq!(verifier.cached_count(), 0);
}

#[cfg(feature = "remote")]
#[test]
fn keys_are_trusted_until_the_last_millisecond() {
    let issuer = crate::testing::TestIssuer::new();
    let token = issuer.token("alice").sign();
    let now = issuer.clock().now();
    let settings = VerifierSettings::new(issuer.url(), [issuer.url()]);
    let wanted = Arc::new(KeyRefreshSignal::new(Duration::ZERO));
    let verifier = Verifier::with_remote_keys(settings, wanted);
    let check = |now| verifier.verify(&token, ExpectedKind::Access, now).map(drop);

    verifier.trust_keys_until(KeySet::from_jwks(&issuer.jwks()).unwrap(), now);

    assert_eq!(check(now), Ok(()));
    let later = now + Duration::from_millis(1);
    assert_eq!(check(later), Err(AuthError::Unavailable));
}
