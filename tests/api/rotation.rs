//! Rotation: one successor, replays inside grace, reuse after it. Each test names the bug of a peer
//! that it keeps out, where there is one.

use std::collections::HashSet;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::support::local::InProcessServer;
use crate::support::{Backend, on_both};

on_both! {
    a_refresh_token_presented_many_times_at_once_has_one_successor,
    a_retry_gets_the_same_successor_and_is_not_reuse,
    a_retry_during_grace_gets_the_newest_token_and_issues_none,
    two_clients_that_refresh_at_once_stay_logged_in,
    a_superseded_token_presented_after_grace_is_reuse,
    with_no_grace_a_token_works_once,
    a_stale_token_is_refused_though_rotations_share_a_moment,
    a_rotated_token_is_refused_after_a_restart,
    reuse_one_generation_behind_is_detected,
    detected_reuse_ends_the_tokens_of_the_thief,
    reuse_ends_one_session_and_no_other,
    a_refresh_in_parallel_with_a_logout_leaves_no_session,
    a_logged_out_refresh_token_stays_refused,
    a_refresh_keeps_the_previous_access_token_valid,
    an_idle_session_ends,
    a_session_reaches_its_absolute_expiry_despite_refreshes,
}

const PAST_GRACE: Duration = Duration::from_secs(11);

/// Keycloak CVE-2026-1035, `SimpleJWT`, rauthy.
async fn a_refresh_token_presented_many_times_at_once_has_one_successor(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("alice").await.login().await;

    let mut shown = JoinSet::new();
    for _ in 0..50 {
        let session = session.clone();
        shown.spawn(async move { session.rotate().await.refresh });
    }
    let successors: HashSet<_> = shown.join_all().await.into_iter().collect();

    assert_eq!(successors.len(), 1);
    assert!(!successors.contains(&session.refresh));
}

/// `SuperTokens` 12.1: the retry's token killed the first. Hydra: the retry counted as theft.
async fn a_retry_gets_the_same_successor_and_is_not_reuse(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("alice").await.login().await;

    let first = session.rotate().await;
    let second = session.rotate().await;

    assert_eq!(first.refresh, second.refresh);
    assert_ne!(first.rotate().await.refresh, second.refresh);
    second.check().await.expect(200);
}

/// django-oauth-toolkit #1617 and #702: several generations minted, or the old token was answered.
async fn a_retry_during_grace_gets_the_newest_token_and_issues_none(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("alice").await.login().await;
    let newest = session.rotate().await.rotate().await;

    let grandparent = session.rotate().await;

    assert_eq!(grandparent.refresh, newest.refresh);
}

/// Keycloak #50721, `OpenRisk` #700, supabase #8959.
async fn two_clients_that_refresh_at_once_stay_logged_in(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("alice").await.login().await;

    let mut clients = JoinSet::new();
    for _ in 0..2 {
        let mut session = session.clone();
        clients.spawn(async move {
            for _ in 0..20 {
                session = session.rotate().await;
            }
            session
        });
    }

    for session in clients.join_all().await {
        session.check().await.expect(200);
        session.rotate().await;
    }
}

/// supabase discussion 52614: a descendant refreshed 287 ms after its family was revoked.
async fn a_superseded_token_presented_after_grace_is_reuse(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let old = server.http.person("alice").await.login().await;
    let new = old.rotate().await;
    server.pass(PAST_GRACE);

    old.refresh().await.expect_problem(401, "refresh_reused");

    // The revocation outlives the request that was refused.
    new.check().await.expect_problem(401, "token_revoked");
    old.check().await.expect_problem(401, "token_revoked");
    new.refresh().await.expect_problem(401, "session_revoked");
    old.refresh().await.expect_problem(401, "session_revoked");
}

async fn with_no_grace_a_token_works_once(backend: Backend) {
    let server = InProcessServer::start(&backend.with("LATCHET_GRACE", "0s")).await;
    let session = server.http.person("alice").await.login().await;
    session.rotate().await;

    session
        .refresh()
        .await
        .expect_problem(401, "refresh_reused");
}

/// Keycloak #50999: rotations within one second were ordered by the clock.
async fn a_stale_token_is_refused_though_rotations_share_a_moment(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let oldest = server.http.person("alice").await.login().await;
    let middle = oldest.rotate().await;
    middle.rotate().await;
    server.pass(PAST_GRACE);

    middle.refresh().await.expect_problem(401, "refresh_reused");
    oldest
        .refresh()
        .await
        .expect_problem(401, "session_revoked");
}

/// Keycloak CVE-2026-9802.
async fn a_rotated_token_is_refused_after_a_restart(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("alice").await.login().await;
    session.rotate().await;
    server.stop().await;

    let server = InProcessServer::start(&backend).await;
    server.pass(PAST_GRACE);

    session
        .at(&server.http)
        .refresh()
        .await
        .expect_problem(401, "refresh_reused");
}

/// `GoTrue` v2: the parent was valid without a limit in time.
async fn reuse_one_generation_behind_is_detected(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let mut owner = server.http.person("alice").await.login().await;
    let mut parent = owner.clone();
    for _ in 0..3 {
        server.pass(Duration::from_mins(5));
        parent = owner.clone();
        owner = owner.rotate().await;
    }
    server.pass(PAST_GRACE);

    parent.refresh().await.expect_problem(401, "refresh_reused");
}

/// rauthy and Zitadel detected no reuse.
async fn detected_reuse_ends_the_tokens_of_the_thief(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let owner = server.http.person("alice").await.login().await;
    let thief = owner.rotate().await.rotate().await;
    server.pass(PAST_GRACE);

    owner.refresh().await.expect_problem(401, "refresh_reused");

    thief.refresh().await.expect_problem(401, "session_revoked");
    thief.check().await.expect_problem(401, "token_revoked");
}

/// better-auth #8512: one replay logged every device out.
async fn reuse_ends_one_session_and_no_other(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let (phone, laptop) = (alice.login().await, alice.login().await);
    phone.rotate().await;
    server.pass(PAST_GRACE);

    phone.refresh().await.expect_problem(401, "refresh_reused");

    laptop.check().await.expect(200);
    laptop.rotate().await;
}

/// Keycloak #51312.
async fn a_refresh_in_parallel_with_a_logout_leaves_no_session(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;

    for _ in 0..10 {
        let session = alice.login().await;
        let (refreshed, logged_out) = tokio::join!(session.refresh(), session.logout());
        logged_out.expect(204);

        let survivor = match refreshed.status {
            200 => crate::support::client::Session::of(session.http.clone(), &refreshed),
            _ => session,
        };
        survivor
            .refresh()
            .await
            .expect_problem(401, "session_revoked");
        survivor.check().await.expect_problem(401, "token_revoked");
    }
}

/// The FJE documentation keeps a refresh token's denial for the lifetime of an access token.
async fn a_logged_out_refresh_token_stays_refused(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("alice").await.login().await;
    session.logout().await.expect(204);

    for day in 0..29 {
        let refused = session.refresh().await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (401, "session_revoked"),
            "on day {day}"
        );
        server.pass(Duration::from_hours(24));
    }
}

/// Zitadel #9331: requests in flight failed.
async fn a_refresh_keeps_the_previous_access_token_valid(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("alice").await.login().await;

    session.rotate().await;

    session.check().await.expect(200);
}

async fn an_idle_session_ends(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("alice").await.login().await;
    server.pass(Duration::from_hours(24 * 14) + PAST_GRACE);

    session
        .refresh()
        .await
        .expect_problem(401, "session_expired");
}

async fn a_session_reaches_its_absolute_expiry_despite_refreshes(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let mut session = server.http.person("alice").await.login().await;
    for _ in 0..3 {
        server.pass(Duration::from_hours(24 * 9));
        session = session.rotate().await;
    }
    server.pass(Duration::from_hours(24 * 4));

    session
        .refresh()
        .await
        .expect_problem(401, "session_expired");
}
