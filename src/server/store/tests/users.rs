//! User accounts.

use secrecy::ExposeSecret;

use super::super::{Current, Rotation, UserPage};
use super::*;

async fn names(latchet: &Latchet, page: UserPage) -> Vec<String> {
    let users = latchet.store.users(&page).await.unwrap();
    users.into_iter().map(|user| user.username).collect()
}

fn first_page() -> UserPage {
    UserPage {
        after: None,
        search: None,
        limit: 10,
    }
}

#[tokio::test]
async fn a_user_is_found_by_id_and_by_name_in_any_case() {
    let latchet = Latchet::start().await;

    let alice = latchet.user("Älice").await;

    let store = &latchet.store;
    assert_eq!(store.user(&alice.id).await.unwrap(), Some(alice.clone()));
    let by_name = store.user_by_name("äLICE").await.unwrap();
    assert_eq!(by_name, Some(alice));
    assert_eq!(store.user_by_name("bob").await.unwrap(), None);
}

#[tokio::test]
async fn a_name_is_taken_in_every_case() {
    let latchet = Latchet::start().await;
    latchet.user("alice").await;

    let again = latchet
        .store
        .create_user(new_user("ALICE"), &Actor::Operator, NOW)
        .await;

    assert!(matches!(again, Err(StoreError::Conflict)), "{again:?}");
    assert_eq!(latchet.store.count_users(None).await.unwrap(), 1);
}

#[tokio::test]
async fn of_two_that_take_one_name_at_once_one_gets_it() {
    let latchet = Latchet::start().await;

    let created = at_once((0..20).map(|_| {
        let store = latchet.store.clone();
        async move {
            store
                .create_user(new_user("alice"), &Actor::Operator, NOW)
                .await
        }
    }))
    .await;

    let got = created.iter().filter(|created| created.is_ok()).count();
    assert_eq!(got, 1);
}

#[tokio::test]
async fn pages_follow_each_other_in_the_order_of_names() {
    let latchet = Latchet::start().await;
    for name in ["carol", "_dave", "Bob", "alice"] {
        latchet.user(name).await;
    }
    let two = UserPage {
        limit: 2,
        ..first_page()
    };
    let next = UserPage {
        after: Some("ALICE".to_owned()),
        ..first_page()
    };

    assert_eq!(names(&latchet, two).await, ["_dave", "alice"]);
    assert_eq!(names(&latchet, next).await, ["Bob", "carol"]);
}

#[tokio::test]
async fn a_search_finds_part_of_a_name_and_takes_no_wildcards() {
    let latchet = Latchet::start().await;
    for name in ["alice", "malik", "a_b", "a%b", "a\\b", "axb"] {
        latchet.user(name).await;
    }
    let searched = |text: &str| UserPage {
        search: Some(text.to_owned()),
        ..first_page()
    };

    assert_eq!(names(&latchet, searched("ALI")).await, ["alice", "malik"]);
    assert_eq!(names(&latchet, searched("_")).await, ["a_b"]);
    assert_eq!(names(&latchet, searched("%")).await, ["a%b"]);
    assert_eq!(names(&latchet, searched("\\")).await, ["a\\b"]);
    let count = latchet.store.count_users(Some("li")).await;
    assert_eq!(count.unwrap(), 2);
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let here = latchet.login(&alice).await;
    let elsewhere = latchet.login(&alice).await;
    let changing = because(RevokeReason::PasswordChanged, NOW + MINUTE);
    let password = SecretString::from("second");

    let store = &latchet.store;
    let by = by(&alice, Some(&here));
    let set = store.set_password(&alice, &password, &by, &changing);
    let (denial, kept) = set.await.unwrap();

    assert_eq!(denial.not_after, changing.period.not_after);
    let Current {
        session: kept,
        owner,
    } = kept.unwrap();
    assert_eq!(owner.authority_version, version(&denial, &alice));
    assert_eq!(latchet.stored(&here).await, kept);
    assert_eq!(kept.id, here.id);
    assert_eq!(kept.state, here.state.rotated(None, NOW + MINUTE));
    assert_eq!((kept.csrf_epoch, kept.auth_time), (1, NOW + MINUTE));
    let late = latchet.show(&here, 0, NOW + MINUTE).await;
    assert!(
        matches!(&late, Rotation::Replayed(current) if current.session == kept),
        "{late:?}"
    );
    let next = latchet.show(&here, 1, NOW + 2 * MINUTE).await;
    assert!(
        matches!(&next, Rotation::Rotated(current) if current.session.csrf_epoch == 1),
        "{next:?}"
    );
    assert!(latchet.is_denied(&elsewhere).await);
    let found = store.user_with_hash(&alice.id).await.unwrap().unwrap();
    assert_eq!(found.password_hash.expose_secret(), "second");
    assert_eq!(found.user.password_changed_at, NOW + MINUTE);
}

#[tokio::test]
async fn a_session_that_has_ended_is_not_revived_by_its_own_change_of_password() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let here = latchet.login(&alice).await;
    let changing = because(RevokeReason::PasswordChanged, NOW + MINUTE);
    let password = SecretString::from("second");
    let store = &latchet.store;

    // The change was requested before the logout, but hashing the password took longer.
    let logout = because(RevokeReason::LogoutAll, NOW);
    let ended = store.revoke_all(&alice.id, None, &logout, &Actor::Operator);
    ended.await.unwrap();
    let by = by(&alice, Some(&here));
    let set = store.set_password(&alice, &password, &by, &changing);
    let set = set.await;
    assert!(matches!(set, Err(StoreError::NotFound)), "{set:?}");

    let shown = latchet.show(&here, 0, NOW).await;
    assert!(matches!(shown, Rotation::Ended(_)), "{shown:?}");
    assert!(latchet.sessions_of(&alice, NOW).await.is_empty());
}

#[tokio::test]
async fn a_password_is_not_set_on_the_proof_of_an_older_one() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let store = &latchet.store;
    let set = |text: &str, now| {
        let (alice, password) = (alice.clone(), SecretString::from(text));
        async move {
            let changing = because(RevokeReason::PasswordChanged, now);
            store
                .set_password(&alice, &password, &Actor::Operator, &changing)
                .await
        }
    };
    set("by the owner", NOW + MINUTE).await.unwrap();

    let late = set("by the thief", NOW + 2 * MINUTE).await;

    assert!(matches!(late, Err(StoreError::Conflict)), "{late:?}");
    let found = store.user_with_hash_by_name("alice").await.unwrap();
    let hash = found.unwrap().password_hash;
    assert_eq!(hash.expose_secret(), "by the owner");
}

#[tokio::test]
async fn a_hash_is_upgraded_only_while_it_is_the_one_that_was_verified() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let store = &latchet.store;
    let verified = store.user_with_hash(&alice.id).await.unwrap().unwrap();

    let stronger = SecretString::from("stronger");
    store.upgrade_hash(&verified, &stronger).await.unwrap();
    let late = SecretString::from("late");
    store.upgrade_hash(&verified, &late).await.unwrap();

    let found = store.user_with_hash(&alice.id).await.unwrap().unwrap();
    assert_eq!(found.password_hash.expose_secret(), "stronger");
    assert_eq!(found.user, alice);
}

#[tokio::test]
async fn disabling_ends_every_session_and_enabling_revives_none() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;
    let id = &session.user_id;
    let store = &latchet.store;
    let disabling = because(RevokeReason::Disabled, NOW);

    let denied = store
        .disable_user(id, &Actor::Operator, &disabling)
        .await
        .unwrap();
    let later = because(RevokeReason::Disabled, NOW + MINUTE);
    let again = store
        .disable_user(id, &Actor::Operator, &later)
        .await
        .unwrap();
    let disabled = store.user(id).await.unwrap().unwrap();
    store.enable_user(id, &Actor::Operator, NOW).await.unwrap();
    let enabled = store.user(id).await.unwrap().unwrap();

    assert!(version(&again, &disabled) > version(&denied, &disabled));
    assert_eq!(again.not_after, NOW + MINUTE + ACCESS_TTL);
    assert_eq!(disabled.disabled_at, Some(NOW));
    assert!(!enabled.is_disabled());
    let reason = latchet.stored(&session).await.state.revoked;
    assert_eq!(reason, Some(RevokeReason::Disabled));
}

#[tokio::test]
async fn roles_are_replaced_and_found() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let store = &latchet.store;

    let roles = ["writer".to_owned(), "admin".to_owned()];
    store
        .set_roles(&alice.id, &roles, &Actor::Operator, period(NOW))
        .await
        .unwrap();

    let found = store.user(&alice.id).await.unwrap().unwrap();
    assert_eq!(found.roles, roles);
    for (role, expected) in [
        ("admin", true),
        ("writer", true),
        ("adm", false),
        ("%", false),
    ] {
        let has = store.has_user_with_role(role).await.unwrap();
        assert_eq!(has, expected, "{role}");
    }
    let disabling = because(RevokeReason::Disabled, NOW);
    store
        .disable_user(&alice.id, &Actor::Operator, &disabling)
        .await
        .unwrap();
    assert!(!store.has_user_with_role("admin").await.unwrap());
}

#[tokio::test]
async fn nobody_is_changed_when_there_is_no_such_user() {
    let latchet = Latchet::start().await;
    let store = &latchet.store;
    let nobody = super::super::UserId::random();
    let by = &Actor::Operator;
    let disabling = because(RevokeReason::Disabled, NOW);

    let answers = [
        store
            .set_roles(&nobody, &[], by, period(NOW))
            .await
            .map(drop),
        store.enable_user(&nobody, by, NOW).await,
        store.disable_user(&nobody, by, &disabling).await.map(drop),
    ];

    for answer in answers {
        assert!(matches!(answer, Err(StoreError::NotFound)), "{answer:?}");
    }
}

#[tokio::test]
async fn a_password_changed_while_its_session_is_refreshed_makes_one_line_of_successors() {
    let latchet = Latchet::start().await;
    let replica = latchet.replica().await;

    for attempt in 0..20 {
        let user = latchet.user(&format!("user{attempt}")).await;
        let here = latchet.login(&user).await;
        let by = by(&user, Some(&here));
        let changing = because(RevokeReason::PasswordChanged, NOW);
        let password = SecretString::from("second");

        let (shown, set) = tokio::join!(
            latchet.show(&here, 0, NOW),
            replica.set_password(&user, &password, &by, &changing),
        );

        let kept = set.unwrap().1.unwrap().session;
        assert_eq!(latchet.stored(&here).await, kept);
        assert_eq!(kept.csrf_epoch, kept.state.generation);
        match shown {
            Rotation::Rotated(current) => assert_eq!(current.session.state.generation, 1),
            Rotation::Replayed(current) => assert_eq!(current.session, kept),
            other => panic!("{other:?}"),
        }
        let late = latchet.show(&here, 0, NOW).await;
        assert!(
            matches!(&late, Rotation::Replayed(current) if current.session == kept),
            "{late:?}"
        );
    }
}

#[tokio::test]
async fn a_password_is_not_changed_in_a_session_that_has_ended() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let ended = latchet.login(&alice).await;
    latchet.log_out(&ended, NOW).await;
    let changing = because(RevokeReason::PasswordChanged, NOW);
    let (password, by) = (SecretString::from("second"), by(&alice, Some(&ended)));

    let set = latchet
        .store
        .set_password(&alice, &password, &by, &changing)
        .await;

    assert!(matches!(set, Err(StoreError::NotFound)), "{set:?}");
    let found = latchet
        .store
        .user_with_hash(&alice.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.password_hash.expose_secret(), "first");
}

#[tokio::test]
async fn every_cost_of_a_stored_password_is_listed_once() {
    let latchet = Latchet::start().await;
    for (name, cost) in [
        ("a", "m=64,t=1,p=1"),
        ("b", "m=19456,t=2,p=1"),
        ("c", "m=64,t=1,p=1"),
    ] {
        let hash = format!("$argon2id$v=19${cost}$c2FsdHNhbHQ$aGFzaA");
        let new = NewUser {
            password_hash: hash.into(),
            ..new_user(name)
        };
        let made = latchet.store.create_user(new, &Actor::Operator, NOW);
        made.await.unwrap();
    }

    let mut costs = latchet.store.password_costs().await.unwrap();

    costs.sort();
    assert_eq!(costs, ["m=19456,t=2,p=1", "m=64,t=1,p=1"]);
}
