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

async fn use_link(store: &Store, user: &UserId, token_hash: &str, now: Time) -> bool {
    let password = SecretString::from("second");
    let changing = because(RevokeReason::PasswordChanged, now);
    let used = store.use_reset_link(user, token_hash, &password, &changing);
    used.await.unwrap().is_some()
}

#[tokio::test]
async fn a_link_is_used_once_however_many_use_it_at_once() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;
    let alice = session.user_id.clone();
    let store = &latchet.store;
    store.create_reset_link(&alice, link("a")).await.unwrap();

    let used = at_once((0..10).map(|_| {
        let (store, alice) = (store.clone(), alice.clone());
        async move { use_link(&store, &alice, "a", NOW).await }
    }))
    .await;

    assert_eq!(used.iter().filter(|used| **used).count(), 1);
    assert!(latchet.is_denied(&session).await);
    let found = store.user_with_hash(&alice).await.unwrap().unwrap();
    assert_eq!(found.password_hash.expose_secret(), "second");
    assert_eq!(store.user_of_reset_link("a", NOW).await.unwrap(), None);
}

#[tokio::test]
async fn a_link_is_good_for_its_user_and_its_time_alone() {
    let latchet = Latchet::start().await;
    let (alice, bob) = (latchet.user("alice").await, latchet.user("bob").await);
    let store = &latchet.store;
    store.create_reset_link(&alice.id, link("a")).await.unwrap();

    let of = async |hash, now| store.user_of_reset_link(hash, now).await.unwrap();
    assert_eq!(of("a", NOW).await, Some(alice.clone()));
    assert_eq!(of("a", NOW + MINUTE).await, None);
    assert_eq!(of("b", NOW).await, None);
    assert!(!use_link(store, &bob.id, "a", NOW).await);
    assert!(!use_link(store, &alice.id, "a", NOW + MINUTE).await);
    assert!(use_link(store, &alice.id, "a", NOW).await);
}

#[tokio::test]
async fn a_link_for_an_account_disabled_at_the_same_time_is_worth_nothing() {
    let latchet = Latchet::start().await;
    let replica = latchet.replica().await;

    for attempt in 0..20 {
        let user = latchet.user(&format!("user{attempt}")).await;
        let hash = format!("link{attempt}");
        let disabling = because(RevokeReason::Disabled, NOW);
        let (made, disabled) = tokio::join!(
            latchet.store.create_reset_link(&user.id, link(&hash)),
            replica.disable_user(&user.id, &disabling),
        );
        disabled.unwrap();
        assert!(
            matches!(made, Ok(()) | Err(StoreError::Conflict)),
            "{made:?}"
        );
        replica.enable_user(&user.id).await.unwrap();

        let found = latchet.store.user_of_reset_link(&hash, NOW).await.unwrap();
        assert_eq!(found, None);
    }
}
