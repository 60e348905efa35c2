//! Links that set a new password.

use secrecy::ExposeSecret;

use super::super::{NewResetLink, UserId};
use super::*;

fn link(token_hash: &str) -> NewResetLink {
    NewResetLink {
        token_hash: token_hash.to_owned(),
        expires_at: NOW + MINUTE,
    }
}

async fn create(store: &Store, user: &UserId, token_hash: &str) -> Result<(), StoreError> {
    let created = store.create_reset_link(user, link(token_hash), &Actor::Operator, NOW);
    created.await
}

async fn use_link(store: &Store, token_hash: &str, now: Time) -> bool {
    let password = new_password("second");
    let changing = revocation_for(RevokeReason::PasswordChanged, now);
    let stranger = Actor::Anonymous { ip: IP };
    let used = store.use_reset_link(token_hash, &password, &stranger, &changing);
    used.await.unwrap().is_some()
}

#[tokio::test]
async fn a_link_is_used_once_by_concurrent_requests() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;
    let alice = session.user_id.clone();
    let store = &test_store.store;
    create(store, &alice, "a").await.unwrap();

    let used = run_concurrently((0..10).map(|_| {
        let store = store.clone();
        async move { use_link(&store, "a", NOW).await }
    }))
    .await;

    assert_eq!(used.iter().filter(|used| **used).count(), 1);
    assert!(test_store.is_denied(&session).await);
    let found = store.user_with_hash(&alice).await.unwrap().unwrap();
    assert_eq!(found.password_hash.expose_secret(), "second");
    assert_eq!(store.user_of_reset_link("a", NOW).await.unwrap(), None);
}

#[tokio::test]
async fn a_link_is_valid_only_for_its_user_and_until_it_expires() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let store = &test_store.store;
    create(store, &alice.id, "a").await.unwrap();

    let of = async |hash, now| store.user_of_reset_link(hash, now).await.unwrap();
    assert_eq!(of("a", NOW).await, Some(alice.clone()));
    assert_eq!(of("a", NOW + MINUTE).await, None);
    assert_eq!(of("b", NOW).await, None);
    assert!(!use_link(store, "b", NOW).await);
    assert!(!use_link(store, "a", NOW + MINUTE).await);
    assert!(use_link(store, "a", NOW).await);
}

#[tokio::test]
async fn a_link_for_an_account_disabled_at_the_same_time_is_invalid() {
    let test_store = TestStore::start().await;
    let replica = test_store.replica().await;

    for attempt in 0..20 {
        let user = test_store.user(&format!("user{attempt}")).await;
        let hash = format!("link{attempt}");
        let disabling = revocation_for(RevokeReason::Disabled, NOW);
        let (created, disabled) = tokio::join!(
            create(&test_store.store, &user.id, &hash),
            replica.disable_user(&user.id, &Actor::Operator, &disabling),
        );
        disabled.unwrap();
        assert!(
            matches!(created, Ok(()) | Err(StoreError::Conflict)),
            "{created:?}"
        );
        let enabled = replica.enable_user(&user.id, &Actor::Operator, NOW);
        enabled.await.unwrap();

        let found = test_store
            .store
            .user_of_reset_link(&hash, NOW)
            .await
            .unwrap();
        assert_eq!(found, None);
    }
}

#[tokio::test]
async fn a_link_used_while_its_creator_is_demoted_works_before_or_not_at_all() {
    let test_store = TestStore::start().await;
    let replica = test_store.replica().await;
    let store = &test_store.store;

    for attempt in 0..20 {
        let user = test_store.user(&format!("user{attempt}")).await;
        let maker = test_store.administrator(&format!("maker{attempt}")).await;
        let hash = format!("link{attempt}");
        let myself = as_actor(&maker, None);
        let created = store.create_reset_link(&user.id, link(&hash), &myself, NOW);
        created.await.unwrap();

        let (was_used, demoted) = tokio::join!(
            use_link(store, &hash, NOW),
            replica.set_roles(&maker.id, &[], &Actor::Operator, period(NOW)),
        );

        demoted.unwrap();
        let found = store.user_with_hash(&user.id).await.unwrap().unwrap();
        assert_eq!(found.password_hash.expose_secret() == "second", was_used);
        assert!(!use_link(store, &hash, NOW).await);
    }
}

#[tokio::test]
async fn a_link_needs_a_creator_who_is_still_an_enabled_administrator_with_the_same_password() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    let user = test_store.user("alice").await;

    let backed = async |change: &str| {
        let maker = test_store.administrator(&format!("maker{change}")).await;
        let myself = as_actor(&maker, None);
        let created = store.create_reset_link(&user.id, link("a"), &myself, NOW);
        created.await.unwrap();
        // By SQL, because the store would also delete the link.
        let sql = format!("UPDATE users SET {change} WHERE id = '{}'", maker.id);
        store.writer().execute_unprepared(&sql).await.unwrap();
        let found = store.user_of_reset_link("a", NOW).await.unwrap();
        let is_used = use_link(store, "a", NOW).await;
        assert_eq!(found.is_some(), is_used, "{change}");
        is_used
    };

    assert!(backed("roles = 'admin editor'").await);
    assert!(!backed("roles = 'administrator'").await);
    assert!(!backed("disabled_at = 1").await);
    assert!(!backed(&format!("password_changed_at = {}", NOW.millis() + 1)).await);
}
