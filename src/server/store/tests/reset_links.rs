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
    let made = store.create_reset_link(user, link(token_hash), &Actor::Operator, NOW);
    made.await
}

async fn use_link(store: &Store, token_hash: &str, now: Time) -> bool {
    let password = SecretString::from("second");
    let changing = because(RevokeReason::PasswordChanged, now);
    let stranger = Actor::Stranger { ip: IP };
    let used = store.use_reset_link(token_hash, &password, &stranger, &changing);
    used.await.unwrap().is_some()
}

#[tokio::test]
async fn a_link_is_used_once_however_many_use_it_at_once() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;
    let alice = session.user_id.clone();
    let store = &latchet.store;
    create(store, &alice, "a").await.unwrap();

    let used = at_once((0..10).map(|_| {
        let store = store.clone();
        async move { use_link(&store, "a", NOW).await }
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
    let alice = latchet.user("alice").await;
    let store = &latchet.store;
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
async fn a_link_for_an_account_disabled_at_the_same_time_is_worth_nothing() {
    let latchet = Latchet::start().await;
    let replica = latchet.replica().await;

    for attempt in 0..20 {
        let user = latchet.user(&format!("user{attempt}")).await;
        let hash = format!("link{attempt}");
        let disabling = because(RevokeReason::Disabled, NOW);
        let (made, disabled) = tokio::join!(
            create(&latchet.store, &user.id, &hash),
            replica.disable_user(&user.id, &Actor::Operator, &disabling),
        );
        disabled.unwrap();
        assert!(
            matches!(made, Ok(()) | Err(StoreError::Conflict)),
            "{made:?}"
        );
        let enabled = replica.enable_user(&user.id, &Actor::Operator, NOW);
        enabled.await.unwrap();

        let found = latchet.store.user_of_reset_link(&hash, NOW).await.unwrap();
        assert_eq!(found, None);
    }
}

#[tokio::test]
async fn a_link_used_while_its_maker_is_demoted_works_before_or_not_at_all() {
    let latchet = Latchet::start().await;
    let replica = latchet.replica().await;
    let store = &latchet.store;

    for attempt in 0..20 {
        let user = latchet.user(&format!("user{attempt}")).await;
        let maker = latchet.administrator(&format!("maker{attempt}")).await;
        let hash = format!("link{attempt}");
        let myself = by(&maker, None);
        let made = store.create_reset_link(&user.id, link(&hash), &myself, NOW);
        made.await.unwrap();

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
async fn a_link_needs_an_enabled_administrator_with_the_password_of_then_behind_it() {
    let latchet = Latchet::start().await;
    let store = &latchet.store;
    let user = latchet.user("alice").await;

    let backed = async |change: &str| {
        let maker = latchet.administrator(&format!("maker{change}")).await;
        let myself = by(&maker, None);
        let made = store.create_reset_link(&user.id, link("a"), &myself, NOW);
        made.await.unwrap();
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
