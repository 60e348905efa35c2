//! Authorization of an administrator in the transaction of a change.

use super::*;

fn demoted() -> Vec<String> {
    vec!["editor".to_owned()]
}

/// Returns the results of every administrative change of the store, by the actor `actor`, of `user`.
async fn changes(store: &Store, user: &User, actor: &Actor) -> Vec<Result<(), StoreError>> {
    let ending = revocation_for(RevokeReason::Admin, NOW);
    let sid = SessionId::random();
    let link = super::super::NewResetLink {
        token_hash: "hash".to_owned(),
        expires_at: NOW + MINUTE,
    };
    let admin = vec!["admin".to_owned()];
    vec![
        store
            .create_user(new_user("made"), actor, NOW)
            .await
            .map(drop),
        store
            .set_roles(&user.id, &admin, actor, period(NOW))
            .await
            .map(drop),
        store.disable_user(&user.id, actor, &ending).await.map(drop),
        store.enable_user(&user.id, actor, NOW).await,
        store.create_reset_link(&user.id, link, actor, NOW).await,
        store
            .revoke_all_sessions(&user.id, None, &ending, actor)
            .await
            .map(drop),
        store
            .revoke_session(&sid, None, &ending, Some(actor))
            .await
            .map(drop),
        store
            .rotate_keys(|_| Vec::new(), actor, NOW)
            .await
            .map(drop),
    ]
}

#[tokio::test]
async fn an_administrator_changes_nothing_by_a_token_that_ended_since_the_request_began() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    let alice = test_store.user("alice").await;
    let admin = test_store.administrator("admin").await;
    let session = test_store.log_in(&admin).await;
    let with = |version| match as_actor(&admin, Some(&session)) {
        Actor::User {
            id,
            session,
            jti,
            ip,
            ..
        } => Actor::User {
            id,
            session,
            jti,
            authority_version: version,
            ip,
        },
        other => other,
    };
    let ending = revocation_for(RevokeReason::LogoutAll, NOW);
    let ended = store.revoke_all_sessions(&admin.id, Some(&session.id), &ending, &Actor::Operator);
    let below = denied_below(&ended.await.unwrap(), &admin);

    for changed in changes(store, &alice, &with(below - 1)).await {
        assert!(
            matches!(changed, Err(StoreError::ActorOutdated)),
            "{changed:?}"
        );
    }
    let enabled = store.enable_user(&alice.id, &with(below), NOW).await;
    assert!(enabled.is_ok(), "{enabled:?}");
    test_store.log_out(&session, NOW).await;
    for changed in changes(store, &alice, &with(below)).await {
        assert!(
            matches!(changed, Err(StoreError::ActorRevoked)),
            "{changed:?}"
        );
    }
}

#[tokio::test]
async fn only_an_enabled_administrator_changes_anything() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    let alice = test_store.user("alice").await;
    let admin = test_store.administrator("admin").await;
    let (was, disabled) = (
        test_store.administrator("was").await,
        test_store.administrator("disabled").await,
    );
    let operator = &Actor::Operator;
    store
        .set_roles(&was.id, &demoted(), operator, period(NOW))
        .await
        .unwrap();
    let disabling = revocation_for(RevokeReason::Disabled, NOW);
    store
        .disable_user(&disabled.id, operator, &disabling)
        .await
        .unwrap();
    let foreign = User {
        id: super::super::UserId::random(),
        ..alice.clone()
    };

    for actor in [&was, &disabled, &foreign] {
        for changed in changes(store, &alice, &as_actor(actor, None)).await {
            assert!(
                matches!(changed, Err(StoreError::NotAdministrator)),
                "{changed:?}"
            );
        }
    }
    for changed in changes(store, &alice, &as_actor(&admin, None)).await {
        changed.unwrap();
    }
}

#[tokio::test]
async fn every_user_may_end_their_own_sessions() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let session = test_store.log_in(&alice).await;
    let ending = revocation_for(RevokeReason::LogoutAll, NOW);

    let myself = as_actor(&alice, None);
    let ended = test_store
        .store
        .revoke_all_sessions(&alice.id, None, &ending, &myself);
    ended.await.unwrap();

    assert!(test_store.is_denied(&session).await);
}

#[tokio::test]
async fn only_the_operator_removes_the_last_enabled_administrator() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    let last = test_store.administrator("last").await;
    let other = test_store.administrator("other").await;
    let disabling = revocation_for(RevokeReason::Disabled, NOW);
    let myself = &as_actor(&last, None);
    store
        .disable_user(&other.id, myself, &disabling)
        .await
        .unwrap();

    let left = [
        store
            .disable_user(&last.id, myself, &disabling)
            .await
            .map(drop),
        store
            .set_roles(&last.id, &demoted(), myself, period(NOW))
            .await
            .map(drop),
    ];
    for left in left {
        assert!(
            matches!(left, Err(StoreError::LastAdministrator)),
            "{left:?}"
        );
    }
    let admin = vec!["admin".to_owned(), "editor".to_owned()];
    store
        .set_roles(&last.id, &admin, myself, period(NOW))
        .await
        .unwrap();
    // A disabled administrator does not count.
    store
        .set_roles(&other.id, &demoted(), myself, period(NOW))
        .await
        .unwrap();
    assert!(store.has_user_with_role("admin").await.unwrap());

    let operator = &Actor::Operator;
    store
        .disable_user(&last.id, operator, &disabling)
        .await
        .unwrap();
    assert!(!store.has_user_with_role("admin").await.unwrap());
}

#[tokio::test]
async fn two_administrators_cannot_disable_each_other_concurrently() {
    let test_store = TestStore::start().await;
    let disabling = revocation_for(RevokeReason::Disabled, NOW);

    for round in 0..20 {
        let one = test_store.administrator(&format!("one-{round}")).await;
        let two = test_store.administrator(&format!("two-{round}")).await;
        let duel = [(one.clone(), two.clone()), (two, one)];
        let outcomes = run_concurrently(duel.map(|(actor, victim)| {
            let (store, disabling) = (test_store.store.clone(), disabling);
            async move {
                let myself = as_actor(&actor, None);
                let done = store.disable_user(&victim.id, &myself, &disabling);
                done.await.map(|_| actor)
            }
        }))
        .await;

        let done: Vec<User> = outcomes
            .iter()
            .filter_map(|done| done.as_ref().ok())
            .cloned()
            .collect();
        assert_eq!(done.len(), 1, "{outcomes:?}");
        let winner = test_store.store.user(&done[0].id).await.unwrap().unwrap();
        assert!(!winner.is_disabled());
        test_store
            .store
            .disable_user(&winner.id, &Actor::Operator, &disabling)
            .await
            .unwrap();
    }
}
