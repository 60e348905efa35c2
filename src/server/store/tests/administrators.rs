//! Authorization of an administrator in the transaction of a change.

use super::*;

fn demoted() -> Vec<String> {
    vec!["editor".to_owned()]
}

/// Returns the results of every administrative change of the store, by the actor `by`, of `user`.
async fn changes(store: &Store, user: &User, by: &Actor) -> Vec<Result<(), StoreError>> {
    let ending = because(RevokeReason::Admin, NOW);
    let sid = SessionId::random();
    let link = super::super::NewResetLink {
        token_hash: "hash".to_owned(),
        expires_at: NOW + MINUTE,
    };
    let admin = vec!["admin".to_owned()];
    vec![
        store.create_user(new_user("made"), by, NOW).await.map(drop),
        store
            .set_roles(&user.id, &admin, by, period(NOW))
            .await
            .map(drop),
        store.disable_user(&user.id, by, &ending).await.map(drop),
        store.enable_user(&user.id, by, NOW).await,
        store.create_reset_link(&user.id, link, by, NOW).await,
        store
            .revoke_all(&user.id, None, &ending, by)
            .await
            .map(drop),
        store
            .revoke_session(&sid, None, &ending, Some(by))
            .await
            .map(drop),
        store.rotate_keys(|_| Vec::new(), by, NOW).await.map(drop),
    ]
}

#[tokio::test]
async fn an_administrator_changes_nothing_by_a_token_that_ended_since_the_request_began() {
    let latchet = Latchet::start().await;
    let store = &latchet.store;
    let alice = latchet.user("alice").await;
    let admin = latchet.administrator("admin").await;
    let session = latchet.login(&admin).await;
    let with = |version| match by(&admin, Some(&session)) {
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
    let ending = because(RevokeReason::LogoutAll, NOW);
    let ended = store.revoke_all(&admin.id, Some(&session.id), &ending, &Actor::Operator);
    let below = version(&ended.await.unwrap(), &admin);

    for changed in changes(store, &alice, &with(below - 1)).await {
        assert!(
            matches!(changed, Err(StoreError::ActorOutdated)),
            "{changed:?}"
        );
    }
    let enabled = store.enable_user(&alice.id, &with(below), NOW).await;
    assert!(enabled.is_ok(), "{enabled:?}");
    latchet.log_out(&session, NOW).await;
    for changed in changes(store, &alice, &with(below)).await {
        assert!(
            matches!(changed, Err(StoreError::ActorRevoked)),
            "{changed:?}"
        );
    }
}

#[tokio::test]
async fn only_an_enabled_administrator_changes_anything() {
    let latchet = Latchet::start().await;
    let store = &latchet.store;
    let alice = latchet.user("alice").await;
    let admin = latchet.administrator("admin").await;
    let (was, disabled) = (
        latchet.administrator("was").await,
        latchet.administrator("disabled").await,
    );
    let operator = &Actor::Operator;
    store
        .set_roles(&was.id, &demoted(), operator, period(NOW))
        .await
        .unwrap();
    let disabling = because(RevokeReason::Disabled, NOW);
    store
        .disable_user(&disabled.id, operator, &disabling)
        .await
        .unwrap();
    let foreign = User {
        id: super::super::UserId::random(),
        ..alice.clone()
    };

    for actor in [&was, &disabled, &foreign] {
        for changed in changes(store, &alice, &by(actor, None)).await {
            assert!(
                matches!(changed, Err(StoreError::NotAdministrator)),
                "{changed:?}"
            );
        }
    }
    for changed in changes(store, &alice, &by(&admin, None)).await {
        changed.unwrap();
    }
}

#[tokio::test]
async fn everybody_ends_their_own_sessions() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let session = latchet.login(&alice).await;
    let ending = because(RevokeReason::LogoutAll, NOW);

    let myself = by(&alice, None);
    let ended = latchet.store.revoke_all(&alice.id, None, &ending, &myself);
    ended.await.unwrap();

    assert!(latchet.is_denied(&session).await);
}

#[tokio::test]
async fn the_last_enabled_administrator_goes_by_the_operator_alone() {
    let latchet = Latchet::start().await;
    let store = &latchet.store;
    let last = latchet.administrator("last").await;
    let other = latchet.administrator("other").await;
    let disabling = because(RevokeReason::Disabled, NOW);
    let myself = &by(&last, None);
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
async fn of_administrators_who_disable_each_other_at_once_one_is_left() {
    let latchet = Latchet::start().await;
    let disabling = because(RevokeReason::Disabled, NOW);

    for round in 0..20 {
        let one = latchet.administrator(&format!("one-{round}")).await;
        let two = latchet.administrator(&format!("two-{round}")).await;
        let duel = [(one.clone(), two.clone()), (two, one)];
        let outcomes = at_once(duel.map(|(actor, victim)| {
            let (store, disabling) = (latchet.store.clone(), disabling);
            async move {
                let myself = by(&actor, None);
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
        let winner = latchet.store.user(&done[0].id).await.unwrap().unwrap();
        assert!(!winner.is_disabled());
        latchet
            .store
            .disable_user(&winner.id, &Actor::Operator, &disabling)
            .await
            .unwrap();
    }
}
