//! A logged-out session stays logged out as long as any of its tokens is valid.

use std::time::Duration;

use super::*;
use crate::denylist::TokenStatus;
use crate::error::AuthError;
use crate::keys::KeySet;
use crate::token::{Endless, Verifier, VerifierSettings};

const MONTH: Duration = Duration::from_hours(30 * 24);

/// An access token of an hour and a refresh token of a month, of one session.
fn pair(desk: &Desk) -> (Claims, Claims) {
    let access = desk.claims();
    let refresh = Claims {
        iss: ISSUER.to_owned(),
        aud: vec![ISSUER.to_owned()],
        sub: access.sub.clone(),
        sid: access.sid.clone(),
        ..Claims::refresh(desk.clock.now(), MONTH)
    };
    (access, refresh)
}

async fn ask(desk: &Desk, claims: &Claims) -> Seen {
    let value = format!("Bearer {}", desk.sign(claims));
    get(&desk.app(), "/either", Some(&value)).await
}

#[tokio::test]
async fn one_call_revokes_access_and_refresh_whichever_is_shown() {
    for shows_refresh in [false, true] {
        let desk = Desk::new();
        let (access, refresh) = pair(&desk);
        let shown = if shows_refresh { &refresh } else { &access };
        let other_session = desk.claims();

        desk.guards().deny_session(shown, MONTH).await.unwrap();

        assert_eq!(ask(&desk, &access).await, refused(401, "token_revoked"));
        assert_eq!(ask(&desk, &refresh).await, refused(401, "token_revoked"));
        assert_eq!(ask(&desk, &other_session).await, ok("alice"));
    }
}

#[tokio::test]
async fn a_refresh_token_stays_revoked_after_the_access_token_has_ended() {
    let desk = Desk::new();
    let (access, refresh) = pair(&desk);

    desk.guards().deny_session(&access, MONTH).await.unwrap();
    desk.clock.shift(2 * 60 * 60 * 1000);

    assert_eq!(ask(&desk, &access).await, refused(401, "token_expired"));
    assert_eq!(ask(&desk, &refresh).await, refused(401, "token_revoked"));
}

#[tokio::test]
async fn one_token_can_be_revoked_alone() {
    let desk = Desk::new();
    let (access, refresh) = pair(&desk);

    desk.guards().deny_token(&access).await.unwrap();

    assert_eq!(ask(&desk, &access).await, refused(401, "token_revoked"));
    assert_eq!(ask(&desk, &refresh).await, ok("alice"));
}

#[tokio::test]
async fn a_token_without_a_session_is_revoked_alone_until_its_end() {
    let desk = Desk::new();
    let (_, refresh) = pair(&desk);
    let lonely = Claims {
        sid: None,
        ..refresh
    };

    let minute = Duration::from_mins(1);
    desk.guards().deny_session(&lonely, minute).await.unwrap();
    desk.clock.shift(29 * 24 * 60 * 60 * 1000);

    assert_eq!(ask(&desk, &lonely).await, refused(401, "token_revoked"));
}

#[tokio::test]
async fn a_token_without_end_is_revoked_without_end() {
    let desk = Desk::new();
    let settings = VerifierSettings {
        endless: Endless::Admitted,
        ..VerifierSettings::new(ISSUER, [ISSUER])
    };
    let keys = KeySet::new([desk.access.key().verifying()]);
    let verifier = Arc::new(Verifier::new(keys, settings));
    let guards = Guards::new(verifier, desk.denylist.clone(), desk.clock.clone());
    let robot = Claims {
        iss: ISSUER.to_owned(),
        aud: vec![ISSUER.to_owned()],
        sub: "robot".to_owned(),
        ..Claims::access_without_end(desk.clock.now())
    };
    let app = app(guards.clone());
    let value = format!("Bearer {}", desk.sign(&robot));
    let before = get(&app, "/required", Some(&value)).await;

    guards.deny_token(&robot).await.unwrap();
    desk.clock.shift(100 * 365 * 24 * 60 * 60 * 1000);

    assert_eq!(before, ok("robot"));
    assert_eq!(
        get(&app, "/required", Some(&value)).await,
        refused(401, "token_revoked")
    );
}

#[tokio::test]
async fn a_token_is_revoked_for_as_long_as_clocks_that_differ_may_take_it() {
    let desk = Desk::new();
    let settings = VerifierSettings {
        leeway: Duration::from_mins(2),
        clock_ahead: Duration::from_mins(1),
        ..VerifierSettings::new(ISSUER, [ISSUER])
    };
    let keys = KeySet::new([desk.access.key().verifying()]);
    let verifier = Arc::new(Verifier::new(keys, settings));
    let guards = Guards::new(verifier, desk.denylist.clone(), desk.clock.clone());
    let claims = desk.claims();
    let last = claims.expires_at() + Duration::from_mins(3) - Duration::from_millis(1);

    guards.deny_token(&claims).await.unwrap();

    let status = desk.denylist.status((&claims).into(), last);
    assert_eq!(status, TokenStatus::Revoked);
}

#[tokio::test]
async fn a_logout_that_the_denylist_does_not_take_is_an_error() {
    let desk = Desk::new();
    let guards = Guards::new(
        desk.verifier.clone(),
        Arc::new(Unreachable),
        desk.clock.clone(),
    );

    let session = guards.deny_session(&desk.claims(), MONTH).await;
    let token = guards.deny_token(&desk.claims()).await;

    assert_eq!(session, Err(AuthError::Unavailable));
    assert_eq!(token, Err(AuthError::Unavailable));
}
