//! Clock differences, and settings that change while tokens are valid.

use super::*;

#[test]
fn a_token_from_a_clock_ahead_is_accepted_within_the_limit() {
    let at = |ahead: u64, secs: u64| {
        let settings = VerifierSettings {
            clock_ahead: Duration::from_secs(ahead),
            ..settings()
        };
        let verifier = Verifier::new(all_keys(), settings);
        verifier.verify(
            &token(),
            ExpectedKind::Access,
            NOW - Duration::from_secs(secs),
        )
    };

    assert!(at(0, 0).is_ok());
    assert!(matches!(at(0, 1), Err(AuthError::InvalidToken(_))));
    assert!(at(60, 60).is_ok());
    assert!(matches!(at(60, 61), Err(AuthError::InvalidToken(_))));
}

#[test]
fn max_lifetime_limits_existing_tokens() {
    let settings = VerifierSettings {
        max_lifetime: Some(Duration::from_mins(5)),
        ..settings()
    };
    let verifier = Verifier::new(all_keys(), settings);
    let token = token();
    let at = |secs: u64| {
        verifier.verify(
            &token,
            ExpectedKind::Access,
            NOW + Duration::from_secs(secs),
        )
    };

    assert!(at(299).is_ok());
    assert_eq!(at(300), Err(AuthError::TokenExpired));
}

#[test]
fn the_system_clock_is_not_used() {
    let long_ago = Time::from_secs(1_000_000_000);
    let (iat, exp) = (long_ago.secs(), long_ago.secs() + 60);
    let token = with_claims(&json!({ "iat": iat, "nbf": iat, "exp": exp }));
    let at = |now: Time| verifier().verify(&token, ExpectedKind::Access, now);

    assert!(at(long_ago + Duration::from_secs(59)).is_ok());
    assert_eq!(
        at(long_ago + Duration::from_mins(1)),
        Err(AuthError::TokenExpired)
    );
}
