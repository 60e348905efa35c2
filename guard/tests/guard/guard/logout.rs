//! A logged-out session stays logged out as long as any of its tokens is valid.

use std::time::Duration;

use super::*;
use latchet_guard::denylist::TokenStatus;
use latchet_guard::error::AuthError;
use latchet_guard::keys::KeySet;
use latchet_guard::token::{MissingExp, Verifier, VerifierSettings};

const MONTH: Duration = Duration::from_hours(30 * 24);

/// An access token of an hour and a refresh token of a month, of one session.
fn pair(service: &TestService) -> (Claims, Claims) {
    let access = service.claims();
    let refresh = Claims {
        iss: ISSUER.to_owned(),
        aud: vec![ISSUER.to_owned()],
        sub: access.sub.clone(),
        sid: access.sid.clone(),
        ..Claims::refresh(service.clock.now(), MONTH)
    };
    (access, refresh)
}

async fn ask(service: &TestService, claims: &Claims) -> TestResponse {
    let value = format!("Bearer {}", service.sign(claims));
    get(&service.app(), "/either", Some(&value)).await
}

#[tokio::test]
async fn one_call_revokes_access_and_refresh_with_either_token() {
    for shows_refresh in [false, true] {
        let service = TestService::new();
        let (access, refresh) = pair(&service);
        let presented = if shows_refresh { &refresh } else { &access };
        let other_session = service.claims();

        service
            .guards()
            .deny_session(presented, MONTH)
            .await
            .unwrap();

        assert_eq!(ask(&service, &access).await, refused(401, "token_revoked"));
        assert_eq!(ask(&service, &refresh).await, refused(401, "token_revoked"));
        assert_eq!(ask(&service, &other_session).await, ok("alice"));
    }
}

#[tokio::test]
async fn a_refresh_token_stays_revoked_after_the_access_token_expired() {
    let service = TestService::new();
    let (access, refresh) = pair(&service);

    service.guards().deny_session(&access, MONTH).await.unwrap();
    service.clock.shift(2 * 60 * 60 * 1000);

    assert_eq!(ask(&service, &access).await, refused(401, "token_expired"));
    assert_eq!(ask(&service, &refresh).await, refused(401, "token_revoked"));
}

#[tokio::test]
async fn one_token_can_be_revoked_alone() {
    let service = TestService::new();
    let (access, refresh) = pair(&service);

    service.guards().deny_token(&access).await.unwrap();

    assert_eq!(ask(&service, &access).await, refused(401, "token_revoked"));
    assert_eq!(ask(&service, &refresh).await, ok("alice"));
}

#[tokio::test]
async fn a_token_without_a_session_is_revoked_alone_until_its_end() {
    let service = TestService::new();
    let (_, refresh) = pair(&service);
    let lonely = Claims {
        sid: None,
        ..refresh
    };

    let minute = Duration::from_mins(1);
    service
        .guards()
        .deny_session(&lonely, minute)
        .await
        .unwrap();
    service.clock.shift(29 * 24 * 60 * 60 * 1000);

    assert_eq!(ask(&service, &lonely).await, refused(401, "token_revoked"));
}

#[tokio::test]
async fn a_token_without_end_is_revoked_without_end() {
    let service = TestService::new();
    let settings = VerifierSettings {
        missing_exp: MissingExp::Accepted,
        ..VerifierSettings::new(ISSUER, [ISSUER])
    };
    let keys = KeySet::new([service.access.key().verifying_key()]);
    let verifier = Arc::new(Verifier::new(keys, settings));
    let guards = Guards::new(verifier, service.denylist.clone(), service.clock.clone());
    let robot = Claims {
        iss: ISSUER.to_owned(),
        aud: vec![ISSUER.to_owned()],
        sub: "robot".to_owned(),
        ..Claims::access_without_expiry(service.clock.now())
    };
    let app = app(guards.clone());
    let value = format!("Bearer {}", service.sign(&robot));
    let before = get(&app, "/required", Some(&value)).await;

    guards.deny_token(&robot).await.unwrap();
    service.clock.shift(100 * 365 * 24 * 60 * 60 * 1000);

    assert_eq!(before, ok("robot"));
    assert_eq!(
        get(&app, "/required", Some(&value)).await,
        refused(401, "token_revoked")
    );
}

#[tokio::test]
async fn a_denial_lasts_as_long_as_any_allowed_clock_accepts_the_token() {
    let service = TestService::new();
    let settings = VerifierSettings {
        leeway: Duration::from_mins(2),
        clock_ahead: Duration::from_mins(1),
        ..VerifierSettings::new(ISSUER, [ISSUER])
    };
    let keys = KeySet::new([service.access.key().verifying_key()]);
    let verifier = Arc::new(Verifier::new(keys, settings));
    let guards = Guards::new(verifier, service.denylist.clone(), service.clock.clone());
    let claims = service.claims();
    let last = claims.expires_at() + Duration::from_mins(3) - Duration::from_millis(1);

    guards.deny_token(&claims).await.unwrap();

    let status = service.denylist.status((&claims).into(), last);
    assert_eq!(status, TokenStatus::Revoked);
}

#[tokio::test]
async fn a_logout_that_the_denylist_cannot_store_is_an_error() {
    let service = TestService::new();
    let guards = Guards::new(
        service.verifier.clone(),
        Arc::new(Unreachable),
        service.clock.clone(),
    );

    let session = guards.deny_session(&service.claims(), MONTH).await;
    let token = guards.deny_token(&service.claims()).await;

    assert_eq!(session, Err(AuthError::Unavailable));
    assert_eq!(token, Err(AuthError::Unavailable));
}
