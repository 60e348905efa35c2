//! Signing keys and setup links: changes that only one of several replicas may make.

use super::super::StoredSigningKey;
use super::*;
use crate::names::ADMIN;

fn key(kid: &str) -> StoredSigningKey {
    StoredSigningKey {
        kid: kid.to_owned(),
        algorithm: "EdDSA".to_owned(),
        public_jwk: "{}".to_owned(),
        sealed_private: "sealed".to_owned(),
        created_at: NOW,
        active_from: NOW,
        retiring_from: None,
        gone_from: None,
    }
}

#[tokio::test]
async fn replicas_that_start_together_create_one_key_set() {
    let test_store = TestStore::start().await;
    let mut replicas = Vec::new();
    for _ in 0..4 {
        replicas.push(test_store.replica().await);
    }

    let sets = run_concurrently(replicas.into_iter().enumerate().map(|(index, store)| {
        let own = key(&format!("of replica {index}"));
        let first = |found: &[StoredSigningKey]| match found {
            [] => vec![own],
            _ => Vec::new(),
        };
        async move { store.revise_keys(first).await.unwrap() }
    }))
    .await;

    assert_eq!(sets[0].len(), 1);
    for set in &sets {
        assert_eq!(*set, test_store.store.keys().await.unwrap());
    }
}

#[tokio::test]
async fn revising_keys_replaces_and_adds() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    let old = key("old");
    store.revise_keys(|_| vec![key("old")]).await.unwrap();
    let retiring = StoredSigningKey {
        retiring_from: Some(NOW + MINUTE),
        gone_from: Some(NOW + 2 * MINUTE),
        sealed_private: String::new(),
        ..key("old")
    };
    let new = StoredSigningKey {
        created_at: NOW + MINUTE,
        ..key("new")
    };

    let answered = [retiring.clone(), new.clone()];
    let keys = store.revise_keys(|found| {
        assert_eq!(found, [old]);
        answered.to_vec()
    });

    assert_eq!(keys.await.unwrap(), answered);
    assert_eq!(store.keys().await.unwrap(), answered);
}

#[tokio::test]
async fn setup_links_create_one_administrator() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    for link in ["link", "of another replica"] {
        store.create_setup_link(link, NOW + MINUTE).await.unwrap();
    }
    let usable = |link| store.is_setup_link_usable(link, NOW);
    assert!(usable("link").await.unwrap());
    assert!(!usable("unknown").await.unwrap());

    let used = run_concurrently((0..10).map(|index| {
        let store = test_store.store.clone();
        let link = ["link", "of another replica"][index % 2];
        let user = new_user(&format!("admin{index}"));
        async move {
            store
                .use_setup_link(link, user, &Actor::Operator, NOW)
                .await
                .unwrap()
        }
    }))
    .await;

    assert_eq!(used.iter().flatten().count(), 1);
    assert_eq!(store.count_users(None).await.unwrap(), 1);
    assert!(!usable("link").await.unwrap());
    assert!(!usable("of another replica").await.unwrap());
}

#[tokio::test]
async fn a_setup_link_expires() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    let end = NOW + MINUTE;
    store.create_setup_link("link", end).await.unwrap();

    let used = store
        .use_setup_link("link", new_user("alice"), &Actor::Operator, end)
        .await;

    assert_eq!(used.unwrap(), None);
    assert_eq!(store.count_users(None).await.unwrap(), 0);
}

#[tokio::test]
async fn a_setup_link_is_invalid_while_there_is_an_administrator() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    store.create_setup_link("link", NOW + MINUTE).await.unwrap();
    let administrator = NewUser {
        roles: vec![ADMIN.to_owned()],
        locale: None,
        ..new_user("root")
    };
    let root = store
        .create_user(administrator, &Actor::Operator, NOW)
        .await;
    let root = root.unwrap();
    let usable = async || store.is_setup_link_usable("link", NOW).await.unwrap();

    let used = store
        .use_setup_link("link", new_user("mallory"), &Actor::Operator, NOW)
        .await;

    assert_eq!(used.unwrap(), None);
    assert!(!usable().await);
    assert_eq!(store.count_users(None).await.unwrap(), 1);
    let disabling = revocation_for(RevokeReason::Disabled, NOW);
    let disabled = store.disable_user(&root.id, &Actor::Operator, &disabling);
    disabled.await.unwrap();
    assert!(usable().await);
}

#[tokio::test]
async fn a_setup_link_stays_open_when_the_name_is_taken() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    test_store.user("alice").await;
    store.create_setup_link("link", NOW + MINUTE).await.unwrap();

    let taken = store
        .use_setup_link("link", new_user("alice"), &Actor::Operator, NOW)
        .await;

    assert!(matches!(taken, Err(StoreError::Conflict)), "{taken:?}");
    assert!(store.is_setup_link_usable("link", NOW).await.unwrap());
}
