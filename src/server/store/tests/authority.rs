//! Authority versions, session floors, the limit of sessions, and announced lifetimes.

use sea_orm::{ActiveModelTrait, IntoActiveModel};

use super::super::{Current, Rotation, StartedSession};
use super::*;
use crate::server::rotation::End;

async fn start(latchet: &Latchet, user: &User, limit: u32, now: Time) -> StartedSession {
    let new = NewSession {
        limit: NonZeroU32::new(limit).unwrap(),
        period: period(now),
        ..new_session()
    };
    let started = latchet.store.create_session(user, new, &[], now).await;
    started.unwrap().unwrap()
}

async fn set_roles(latchet: &Latchet, user: &User, roles: &[&str]) -> Option<Denial> {
    let roles: Vec<String> = roles.iter().map(|&role| role.to_owned()).collect();
    let set = latchet
        .store
        .set_roles(&user.id, &roles, &Actor::Operator, period(NOW));
    set.await.unwrap()
}

/// Inserts copies of the session.
async fn copy(latchet: &Latchet, session: &Session, copies: usize) {
    let db = latchet.store.writer();
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

async fn current(latchet: &Latchet, session: &Session) -> Current {
    let found = latchet.store.session(&session.id).await.unwrap();
    found.unwrap()
}

#[tokio::test]
async fn a_change_of_roles_outdates_tokens_and_ends_no_session() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let session = latchet.login(&alice).await;
    let before = current(&latchet, &session).await.owner;

    let denial = set_roles(&latchet, &alice, &["writer"]).await.unwrap();

    let below = version(&denial, &alice);
    let status = async |version| latchet.status(&session, version).await;
    assert_eq!(
        status(before.authority_version).await,
        TokenStatus::Outdated
    );
    assert_eq!(status(below - 1).await, TokenStatus::Outdated);
    assert_eq!(status(below).await, TokenStatus::NotDenied);
    let Rotation::Rotated(after) = latchet.show(&session, 0, NOW).await else {
        panic!("the session has not ended");
    };
    assert_eq!(after.owner.roles, ["writer"]);
    assert_eq!(after.owner.authority_version, below);
}

#[tokio::test]
async fn roles_set_again_repeat_the_denial_and_raise_nothing() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let unchanged = set_roles(&latchet, &alice, &["reader"]).await;

    let first = set_roles(&latchet, &alice, &["writer"]).await;
    let again = set_roles(&latchet, &alice, &["writer"]).await;
    let back = set_roles(&latchet, &alice, &["reader"]).await;

    assert_eq!(unchanged, None, "the user had these roles from the start");
    assert!(first.is_some());
    assert_eq!(again, first);
    assert!(version(&back.unwrap(), &alice) > version(&first.unwrap(), &alice));
}

#[tokio::test]
async fn raises_at_once_each_have_a_version_and_leave_one_denial() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;

    let raised = at_once((0..20).map(|_| {
        let (store, alice) = (latchet.store.clone(), alice.clone());
        async move {
            let logout = because(RevokeReason::LogoutAll, NOW);
            let raised = store.revoke_all(&alice.id, None, &logout, &Actor::Operator);
            version(&raised.await.unwrap(), &alice)
        }
    }))
    .await;

    let mut versions = raised.clone();
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), raised.len());
    let left = latchet.store.revocations_after(0, 100, NOW).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(version(&left[0].denial, &alice), versions[19]);
}

#[tokio::test]
async fn the_row_of_a_greater_version_has_a_new_number() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let store = &latchet.store;
    set_roles(&latchet, &alice, &["a"]).await;
    let first = store.revocations_after(0, 10, NOW).await.unwrap();

    let denial = set_roles(&latchet, &alice, &["b"]).await.unwrap();

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
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let store = &latchet.store;
    let (gone, kept) = (latchet.login(&alice).await, latchet.login(&alice).await);
    let logout = because(RevokeReason::LogoutAll, NOW);
    let by = &Actor::Operator;

    store
        .revoke_all(&alice.id, Some(&kept.id), &logout, by)
        .await
        .unwrap();
    let later = latchet.login(&alice).await;

    let ended = End::Revoked(RevokeReason::LogoutAll);
    assert_eq!(current(&latchet, &gone).await.session.end(NOW), Some(ended));
    assert_eq!(latchet.show(&gone, 0, NOW).await, Rotation::Ended(ended));
    for live in [&kept, &later] {
        assert_eq!(current(&latchet, live).await.session.end(NOW), None);
        let shown = latchet.show(live, 0, NOW).await;
        assert!(matches!(shown, Rotation::Rotated(_)), "{shown:?}");
    }
    let listed = latchet.sessions_of(&alice, NOW).await;
    let mut ids: Vec<_> = listed.into_iter().map(|row| row.session.id).collect();
    ids.sort();
    let mut expected = vec![kept.id.clone(), later.id.clone()];
    expected.sort();
    assert_eq!(ids, expected);
    // The kept session is not kept by the next change.
    store
        .revoke_all(&alice.id, Some(&later.id), &logout, by)
        .await
        .unwrap();
    assert_eq!(current(&latchet, &kept).await.session.end(NOW), Some(ended));
    assert_eq!(current(&latchet, &later).await.session.end(NOW), None);
}

#[tokio::test]
async fn enabling_an_account_revives_no_session() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let session = latchet.login(&alice).await;
    let store = &latchet.store;
    let disabling = because(RevokeReason::Disabled, NOW);
    store
        .disable_user(&alice.id, &Actor::Operator, &disabling)
        .await
        .unwrap();

    store
        .enable_user(&alice.id, &Actor::Operator, NOW)
        .await
        .unwrap();

    let ended = Rotation::Ended(End::Revoked(RevokeReason::Disabled));
    assert_eq!(latchet.show(&session, 0, NOW).await, ended);
    assert!(latchet.is_denied(&session).await);
    let later = latchet.login(&alice).await;
    assert_eq!(current(&latchet, &later).await.session.end(NOW), None);
}

#[tokio::test]
async fn any_number_of_sessions_ends_by_one_row_and_is_marked_in_chunks() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let first = latchet.login(&alice).await;
    copy(&latchet, &first, 1200).await;
    let store = &latchet.store;
    let logout = because(RevokeReason::LogoutAll, NOW);

    store
        .revoke_all(&alice.id, None, &logout, &Actor::Operator)
        .await
        .unwrap();

    let revocations = store.revocations_after(0, 100, NOW).await.unwrap();
    assert_eq!(revocations.len(), 1);
    assert_eq!(latchet.sessions_of(&alice, NOW).await, []);
    assert_eq!(latchet.revoked_at(&first).await, None, "not marked yet");
    let later = latchet.login(&alice).await;
    let mut chunks = Vec::new();
    loop {
        match store.mark_ended_sessions(NOW).await.unwrap() {
            0 => break,
            marked => chunks.push(marked),
        }
    }
    assert_eq!(
        chunks,
        [500, 500, 201, 1],
        "the last call records that all are marked"
    );
    assert_eq!(latchet.revoked_at(&first).await, Some(NOW));
    assert_eq!(latchet.revoked_at(&later).await, None);
    let ended = End::Revoked(RevokeReason::LogoutAll);
    assert_eq!(
        current(&latchet, &first).await.session.end(NOW),
        Some(ended)
    );
}

#[tokio::test]
async fn one_login_too_many_ends_the_least_recently_used_session() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let mut sessions = Vec::new();
    for minute in 0..3 {
        let started = start(&latchet, &alice, 3, NOW + minute * MINUTE).await;
        assert_eq!(started.evicted, []);
        sessions.push(started.current.session);
    }
    let used = NOW + 4 * MINUTE;
    latchet.show(&sessions[0], 0, used).await;

    let fourth = start(&latchet, &alice, 3, used).await;

    assert_eq!(fourth.evicted, [denial(&sessions[1], used + ACCESS_TTL)]);
    let ended = End::Revoked(RevokeReason::SessionLimit);
    let end = current(&latchet, &sessions[1]).await.session.end(used);
    assert_eq!(end, Some(ended));
    assert_eq!(latchet.status(&sessions[1], 0).await, TokenStatus::Revoked);
    for live in [&sessions[0], &sessions[2], &fourth.current.session] {
        assert_eq!(current(&latchet, live).await.session.end(used), None);
    }
    let told = latchet.told_of(EventKind::SessionLimitReached).await;
    assert_eq!(told, [sessions[1].id.clone()]);
}

#[tokio::test]
async fn logins_at_once_never_pass_the_limit() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let new = NewSession {
        limit: NonZeroU32::new(5).unwrap(),
        ..new_session()
    };

    at_once((0..20).map(|_| {
        let (store, alice, new) = (latchet.store.clone(), alice.clone(), new.clone());
        async move { store.create_session(&alice, new, &[], NOW).await.unwrap() }
    }))
    .await;

    let left = latchet.sessions_of(&alice, NOW).await;
    assert_eq!(left.len(), 5);
}

#[tokio::test]
async fn sessions_that_have_ended_count_for_no_limit() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let expired = start(&latchet, &alice, 2, NOW).await.current.session;
    let logged_out = start(&latchet, &alice, 2, NOW).await.current.session;
    latchet.log_out(&logged_out, NOW).await;

    let later = expired.state.expires_at;
    start(&latchet, &alice, 2, later).await;
    let last = start(&latchet, &alice, 2, later).await;

    assert_eq!(last.evicted, []);
}

#[tokio::test]
async fn a_login_says_what_holds_after_its_password_was_verified() {
    let latchet = Latchet::start().await;
    let verified = latchet.user("alice").await;
    let denial = set_roles(&latchet, &verified, &[]).await.unwrap();

    let owner = start(&latchet, &verified, 3, NOW).await.current.owner;

    assert_eq!(owner.roles, [""; 0]);
    assert_eq!(owner.authority_version, version(&denial, &verified));
}

#[tokio::test]
async fn a_longer_lifetime_of_another_server_counts() {
    let latchet = Latchet::start().await;
    let (store, other) = (&latchet.store, latchet.replica().await);
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
async fn a_lifetime_counts_until_its_last_token_has_expired() {
    let latchet = Latchet::start().await;
    let store = &latchet.store;
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
