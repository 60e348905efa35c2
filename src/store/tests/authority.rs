//! Authority versions, session floors, the limit of sessions, and announced lifetimes.

use sea_orm::{ActiveModelTrait, IntoActiveModel};

use super::super::{RotationOutcome, SessionWithOwner, StartedSession};
use super::*;
use crate::rotation::SessionEnd;

async fn start(test_store: &TestStore, user: &User, limit: u32, now: Time) -> StartedSession {
    let new = NewSession {
        limit: NonZeroU32::new(limit).unwrap(),
        period: period(now),
        ..new_session()
    };
    let started = test_store.store.create_session(user, new, &[], now).await;
    started.unwrap().unwrap()
}

async fn set_roles(test_store: &TestStore, user: &User, roles: &[&str]) -> Option<Denial> {
    let roles: Vec<String> = roles.iter().map(|&role| role.to_owned()).collect();
    let set = test_store
        .store
        .set_roles(&user.id, &roles, &Actor::Operator, period(NOW));
    set.await.unwrap()
}

/// Inserts copies of the session.
async fn copy(test_store: &TestStore, session: &Session, copies: usize) {
    let db = test_store.store.writer();
    let found = entity::session::Entity::find_by_id(session.id.as_str());
    let row = found.one(db).await.unwrap().unwrap();
    for chunk in (0..copies).collect::<Vec<_>>().chunks(500) {
        let rows = chunk.iter().map(|copy| {
            let id = format!("copy {copy}");
            let row = entity::session::Model { id, ..row.clone() };
            row.into_active_model().reset_all()
        });
        let inserted = entity::session::Entity::insert_many(rows);
        inserted.exec_without_returning(db).await.unwrap();
    }
}

async fn current(test_store: &TestStore, session: &Session) -> SessionWithOwner {
    let found = test_store.store.session(&session.id).await.unwrap();
    found.unwrap()
}

#[tokio::test]
async fn a_change_of_roles_outdates_tokens_and_ends_no_session() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let session = test_store.log_in(&alice).await;
    let before = current(&test_store, &session).await.owner;

    let denial = set_roles(&test_store, &alice, &["writer"]).await.unwrap();

    let below = denied_below(&denial, &alice);
    let status = async |version| test_store.status(&session, version).await;
    assert_eq!(
        status(before.authority_version).await,
        TokenStatus::Outdated
    );
    assert_eq!(status(below - 1).await, TokenStatus::Outdated);
    assert_eq!(status(below).await, TokenStatus::NotDenied);
    let RotationOutcome::Rotated(after) = test_store.present_token(&session, 0, NOW).await else {
        panic!("the session has not ended");
    };
    assert_eq!(after.owner.roles, ["writer"]);
    assert_eq!(after.owner.authority_version, below);
}

#[tokio::test]
async fn roles_set_again_repeat_the_denial_and_raise_nothing() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let unchanged = set_roles(&test_store, &alice, &["reader"]).await;

    let first = set_roles(&test_store, &alice, &["writer"]).await;
    let again = set_roles(&test_store, &alice, &["writer"]).await;
    let back = set_roles(&test_store, &alice, &["reader"]).await;

    assert_eq!(unchanged, None, "the user had these roles from the start");
    assert!(first.is_some());
    assert_eq!(again, first);
    assert!(denied_below(&back.unwrap(), &alice) > denied_below(&first.unwrap(), &alice));
}

#[tokio::test]
async fn concurrent_raises_get_distinct_versions_and_leave_one_denial() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;

    let raised = run_concurrently((0..20).map(|_| {
        let (store, alice) = (test_store.store.clone(), alice.clone());
        async move {
            let logout = revocation_for(RevokeReason::LogoutAll, NOW);
            let raised = store.revoke_all_sessions(&alice.id, None, &logout, &Actor::Operator);
            denied_below(&raised.await.unwrap(), &alice)
        }
    }))
    .await;

    let mut versions = raised.clone();
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), raised.len());
    let left = test_store
        .store
        .revocations_after(0, 100, NOW)
        .await
        .unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(denied_below(&left[0].denial, &alice), versions[19]);
}

#[tokio::test]
async fn the_row_of_a_greater_version_has_a_new_number() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let store = &test_store.store;
    set_roles(&test_store, &alice, &["a"]).await;
    let first = store.revocations_after(0, 10, NOW).await.unwrap();

    let denial = set_roles(&test_store, &alice, &["b"]).await.unwrap();

    let followed = store.revocations_after(first[0].seq, 10, NOW).await;
    let followed: Vec<_> = followed
        .unwrap()
        .into_iter()
        .map(|row| row.denial)
        .collect();
    assert_eq!(followed, [denial]);
}

#[tokio::test]
async fn a_session_below_the_floor_has_ended_in_every_read() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let store = &test_store.store;
    let (gone, kept) = (
        test_store.log_in(&alice).await,
        test_store.log_in(&alice).await,
    );
    let logout = revocation_for(RevokeReason::LogoutAll, NOW);
    let actor = &Actor::Operator;

    store
        .revoke_all_sessions(&alice.id, Some(&kept.id), &logout, actor)
        .await
        .unwrap();
    let later = test_store.log_in(&alice).await;

    let ended = SessionEnd::Revoked(RevokeReason::LogoutAll);
    assert_eq!(
        current(&test_store, &gone).await.session.end(NOW),
        Some(ended)
    );
    assert_eq!(
        test_store.present_token(&gone, 0, NOW).await,
        RotationOutcome::Ended(ended)
    );
    for live in [&kept, &later] {
        assert_eq!(current(&test_store, live).await.session.end(NOW), None);
        let outcome = test_store.present_token(live, 0, NOW).await;
        assert!(
            matches!(outcome, RotationOutcome::Rotated(_)),
            "{outcome:?}"
        );
    }
    let listed = test_store.sessions_of(&alice, NOW).await;
    let mut ids: Vec<_> = listed.into_iter().map(|row| row.session.id).collect();
    ids.sort();
    let mut expected = vec![kept.id.clone(), later.id.clone()];
    expected.sort();
    assert_eq!(ids, expected);
    // The kept session is not kept by the next change.
    store
        .revoke_all_sessions(&alice.id, Some(&later.id), &logout, actor)
        .await
        .unwrap();
    assert_eq!(
        current(&test_store, &kept).await.session.end(NOW),
        Some(ended)
    );
    assert_eq!(current(&test_store, &later).await.session.end(NOW), None);
}

/// A late request of an ended session asks to keep it, as a second change of the password does.
#[tokio::test]
async fn a_session_that_has_ended_is_not_kept() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let (by_floor, by_row) = (
        test_store.log_in(&alice).await,
        test_store.log_in(&alice).await,
    );
    let logout = revocation_for(RevokeReason::LogoutAll, NOW);
    test_store.log_out(&by_row, NOW).await;
    let store = &test_store.store;
    let actor = &Actor::Operator;
    store
        .revoke_all_sessions(&alice.id, None, &logout, actor)
        .await
        .unwrap();

    for ended in [&by_floor, &by_row] {
        store
            .revoke_all_sessions(&alice.id, Some(&ended.id), &logout, actor)
            .await
            .unwrap();

        let end = current(&test_store, ended).await.session.end(NOW);
        assert!(matches!(end, Some(SessionEnd::Revoked(_))), "{end:?}");
    }
    assert_eq!(test_store.sessions_of(&alice, NOW).await, []);
}

#[tokio::test]
async fn enabling_an_account_revives_no_session() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let session = test_store.log_in(&alice).await;
    let store = &test_store.store;
    let disabling = revocation_for(RevokeReason::Disabled, NOW);
    store
        .disable_user(&alice.id, &Actor::Operator, &disabling)
        .await
        .unwrap();

    store
        .enable_user(&alice.id, &Actor::Operator, NOW)
        .await
        .unwrap();

    let ended = RotationOutcome::Ended(SessionEnd::Revoked(RevokeReason::Disabled));
    assert_eq!(test_store.present_token(&session, 0, NOW).await, ended);
    assert!(test_store.is_denied(&session).await);
    let later = test_store.log_in(&alice).await;
    assert_eq!(current(&test_store, &later).await.session.end(NOW), None);
}

#[tokio::test]
async fn any_number_of_sessions_ends_by_one_denial_and_is_marked_in_chunks() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let first = test_store.log_in(&alice).await;
    copy(&test_store, &first, 1200).await;
    let store = &test_store.store;
    let logout = revocation_for(RevokeReason::LogoutAll, NOW);

    store
        .revoke_all_sessions(&alice.id, None, &logout, &Actor::Operator)
        .await
        .unwrap();

    let revocations = store.revocations_after(0, 100, NOW).await.unwrap();
    assert_eq!(revocations.len(), 1);
    assert_eq!(test_store.sessions_of(&alice, NOW).await, []);
    assert_eq!(test_store.revoked_at(&first).await, None, "not marked yet");
    let later = test_store.log_in(&alice).await;
    let mut chunks = Vec::new();
    loop {
        match store.mark_sessions_below_floor(NOW).await.unwrap() {
            0 => break,
            marked => chunks.push(marked),
        }
    }
    assert_eq!(
        chunks,
        [500, 500, 201, 1],
        "the last call records that all are marked"
    );
    assert_eq!(test_store.revoked_at(&first).await, Some(NOW));
    assert_eq!(test_store.revoked_at(&later).await, None);
    let ended = SessionEnd::Revoked(RevokeReason::LogoutAll);
    assert_eq!(
        current(&test_store, &first).await.session.end(NOW),
        Some(ended)
    );
}

#[tokio::test]
async fn a_login_above_the_limit_ends_the_least_recently_used_session() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let mut sessions = Vec::new();
    for minute in 0..3 {
        let started = start(&test_store, &alice, 3, NOW + minute * MINUTE).await;
        assert_eq!(started.evicted, []);
        sessions.push(started.current.session);
    }
    let used = NOW + 4 * MINUTE;
    test_store.present_token(&sessions[0], 0, used).await;

    let fourth = start(&test_store, &alice, 3, used).await;

    assert_eq!(fourth.evicted, [denial(&sessions[1], used + ACCESS_TTL)]);
    let ended = SessionEnd::Revoked(RevokeReason::SessionLimit);
    let end = current(&test_store, &sessions[1]).await.session.end(used);
    assert_eq!(end, Some(ended));
    assert_eq!(
        test_store.status(&sessions[1], 0).await,
        TokenStatus::Revoked
    );
    for live in [&sessions[0], &sessions[2], &fourth.current.session] {
        assert_eq!(current(&test_store, live).await.session.end(used), None);
    }
    let recorded = test_store
        .sessions_of_events(EventKind::SessionLimitReached)
        .await;
    assert_eq!(recorded, [sessions[1].id.clone()]);
}

#[tokio::test]
async fn concurrent_logins_never_exceed_the_session_limit() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let new = NewSession {
        limit: NonZeroU32::new(5).unwrap(),
        ..new_session()
    };

    run_concurrently((0..20).map(|_| {
        let (store, alice, new) = (test_store.store.clone(), alice.clone(), new.clone());
        async move { store.create_session(&alice, new, &[], NOW).await.unwrap() }
    }))
    .await;

    let left = test_store.sessions_of(&alice, NOW).await;
    assert_eq!(left.len(), 5);
}

#[tokio::test]
async fn sessions_that_have_ended_count_for_no_limit() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let expired = start(&test_store, &alice, 2, NOW).await.current.session;
    let logged_out = start(&test_store, &alice, 2, NOW).await.current.session;
    test_store.log_out(&logged_out, NOW).await;

    let later = expired.state.expires_at;
    start(&test_store, &alice, 2, later).await;
    let last = start(&test_store, &alice, 2, later).await;

    assert_eq!(last.evicted, []);
}

#[tokio::test]
async fn a_login_uses_the_roles_read_after_the_password_was_verified() {
    let test_store = TestStore::start().await;
    let verified = test_store.user("alice").await;
    let denial = set_roles(&test_store, &verified, &[]).await.unwrap();

    let owner = start(&test_store, &verified, 3, NOW).await.current.owner;

    assert_eq!(owner.roles, [""; 0]);
    assert_eq!(owner.authority_version, denied_below(&denial, &verified));
}

#[tokio::test]
async fn a_longer_lifetime_of_another_server_counts() {
    let test_store = TestStore::start().await;
    let (store, other) = (&test_store.store, test_store.replica().await);
    let minutes = Duration::from_mins;
    assert_eq!(store.longest_lifetime().await.unwrap(), None);

    let first = store.announce_lifetime(minutes(20), minutes(1)).await;
    let second = other.announce_lifetime(minutes(10), minutes(1)).await;

    assert_eq!(first.unwrap(), None);
    assert_eq!(second.unwrap(), Some(minutes(20)));
    let third = other.announce_lifetime(minutes(30), minutes(1)).await;
    assert_eq!(third.unwrap(), Some(minutes(10)), "the shortest");
    for store in [store, &other] {
        assert_eq!(store.longest_lifetime().await.unwrap(), Some(minutes(30)));
    }
}

#[tokio::test]
async fn an_announced_lifetime_counts_until_its_last_token_has_expired() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    let second = Duration::from_secs(1);
    store
        .announce_lifetime(20 * second, Duration::ZERO)
        .await
        .unwrap();
    store.announce_lifetime(second, 10 * MINUTE).await.unwrap();
    assert_eq!(store.longest_lifetime().await.unwrap(), Some(20 * second));

    let sql = "UPDATE access_lifetimes SET used_until = used_until - 20001 WHERE lifetime = 20000";
    store.writer().execute_unprepared(sql).await.unwrap();

    assert_eq!(store.longest_lifetime().await.unwrap(), Some(second));
}
