//! User accounts.

use secrecy::ExposeSecret;

use super::super::{RotationOutcome, SessionWithOwner, UserPageRequest};
use super::*;

async fn names(test_store: &TestStore, page: UserPageRequest) -> Vec<String> {
    let users = test_store.store.users(&page).await.unwrap();
    users.into_iter().map(|user| user.username).collect()
}

fn first_page() -> UserPageRequest {
    UserPageRequest {
        after: None,
        search: None,
        limit: 10,
    }
}

#[tokio::test]
async fn a_user_is_found_by_id_and_by_name_in_any_case() {
    let test_store = TestStore::start().await;

    let alice = test_store.user("Älice").await;

    let store = &test_store.store;
    assert_eq!(store.user(&alice.id).await.unwrap(), Some(alice.clone()));
    let by_name = store.user_by_name("äLICE").await.unwrap();
    assert_eq!(by_name, Some(alice));
    assert_eq!(store.user_by_name("bob").await.unwrap(), None);
}

#[tokio::test]
async fn a_name_is_taken_in_every_case() {
    let test_store = TestStore::start().await;
    test_store.user("alice").await;

    let again = test_store
        .store
        .create_user(new_user("ALICE"), &Actor::Operator, NOW)
        .await;

    assert!(matches!(again, Err(StoreError::Conflict)), "{again:?}");
    assert_eq!(test_store.store.count_users(None).await.unwrap(), 1);
}

#[tokio::test]
async fn concurrent_creations_of_one_name_have_one_winner() {
    let test_store = TestStore::start().await;

    let created = run_concurrently((0..20).map(|_| {
        let store = test_store.store.clone();
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
    let test_store = TestStore::start().await;
    for name in ["carol", "_dave", "Bob", "alice"] {
        test_store.user(name).await;
    }
    let two = UserPageRequest {
        limit: 2,
        ..first_page()
    };
    let next = UserPageRequest {
        after: Some("ALICE".to_owned()),
        ..first_page()
    };

    assert_eq!(names(&test_store, two).await, ["_dave", "alice"]);
    assert_eq!(names(&test_store, next).await, ["Bob", "carol"]);
}

#[tokio::test]
async fn reads_that_share_a_statement_receive_their_own_users() {
    let test_store = TestStore::start().await;
    let (alice, bob) = (test_store.user("alice").await, test_store.user("bob").await);
    let nobody = crate::ids::UserId::from("nobody");
    let store = &test_store.store;

    let (first, second, third, again) = tokio::join!(
        store.user(&bob.id),
        store.user(&nobody),
        store.user(&alice.id),
        store.user(&bob.id),
    );

    assert_eq!(first.unwrap(), Some(bob.clone()));
    assert_eq!(second.unwrap(), None);
    assert_eq!(third.unwrap(), Some(alice));
    assert_eq!(again.unwrap(), Some(bob));
}

#[tokio::test]
async fn an_id_that_postgres_refuses_names_no_user() {
    let test_store = TestStore::start().await;

    let found = test_store
        .store
        .user(&crate::ids::UserId::from("a\0b"))
        .await;

    assert_eq!(found.unwrap(), None);
}

#[tokio::test]
async fn a_search_finds_the_beginning_of_names_and_takes_no_wildcards() {
    let test_store = TestStore::start().await;
    for name in ["alice", "Alina", "malik", "a_b", "a%b", "a\\b", "axb"] {
        test_store.user(name).await;
    }
    let searched = |text: &str| UserPageRequest {
        search: Some(text.to_owned()),
        ..first_page()
    };

    assert_eq!(
        names(&test_store, searched("ALI")).await,
        ["alice", "Alina"]
    );
    assert_eq!(names(&test_store, searched("a_")).await, ["a_b"]);
    assert_eq!(names(&test_store, searched("a%")).await, ["a%b"]);
    assert_eq!(names(&test_store, searched("a\\")).await, ["a\\b"]);
    let count = test_store.store.count_users(Some("al")).await;
    assert_eq!(count.unwrap(), 2);
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let here = test_store.log_in(&alice).await;
    let elsewhere = test_store.log_in(&alice).await;
    let changing = revocation_for(RevokeReason::PasswordChanged, NOW + MINUTE);
    let password = new_password("second");

    let store = &test_store.store;
    let actor = as_actor(&alice, Some(&here));
    let set = store.set_password(&alice, &password, &actor, &changing);
    let (denial, kept) = set.await.unwrap();

    assert_eq!(denial.not_after, changing.period.not_after);
    let SessionWithOwner {
        session: kept,
        owner,
    } = kept.unwrap();
    assert_eq!(owner.authority_version, denied_below(&denial, &alice));
    assert_eq!(test_store.stored(&here).await, kept);
    assert_eq!(kept.id, here.id);
    assert_eq!(kept.state, here.state.rotated(None, NOW + MINUTE));
    assert_eq!((kept.csrf_epoch, kept.auth_time), (1, NOW + MINUTE));
    let late = test_store.present_token(&here, 0, NOW + MINUTE).await;
    assert!(
        matches!(&late, RotationOutcome::Retried(current) if current.session == kept),
        "{late:?}"
    );
    let next = test_store.present_token(&here, 1, NOW + 2 * MINUTE).await;
    assert!(
        matches!(&next, RotationOutcome::Rotated(current) if current.session.csrf_epoch == 1),
        "{next:?}"
    );
    assert!(test_store.is_denied(&elsewhere).await);
    let found = store.user_with_hash(&alice.id).await.unwrap().unwrap();
    assert_eq!(found.password_hash.expose_secret(), "second");
    assert_eq!(found.user.password_changed_at, NOW + MINUTE);
}

#[tokio::test]
async fn a_session_that_has_ended_is_not_revived_by_its_own_change_of_password() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let here = test_store.log_in(&alice).await;
    let changing = revocation_for(RevokeReason::PasswordChanged, NOW + MINUTE);
    let password = new_password("second");
    let store = &test_store.store;

    // The change was requested before the logout, but hashing the password took longer.
    let logout = revocation_for(RevokeReason::LogoutAll, NOW);
    let ended = store.revoke_all_sessions(&alice.id, None, &logout, &Actor::Operator);
    ended.await.unwrap();
    let actor = as_actor(&alice, Some(&here));
    let set = store.set_password(&alice, &password, &actor, &changing);
    let set = set.await;
    assert!(matches!(set, Err(StoreError::NotFound)), "{set:?}");

    let outcome = test_store.present_token(&here, 0, NOW).await;
    assert!(matches!(outcome, RotationOutcome::Ended(_)), "{outcome:?}");
    assert!(test_store.sessions_of(&alice, NOW).await.is_empty());
}

#[tokio::test]
async fn a_password_is_not_set_after_the_verified_one_was_changed() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let store = &test_store.store;
    let set = |text: &str, now| {
        let (alice, password) = (alice.clone(), new_password(text));
        async move {
            let changing = revocation_for(RevokeReason::PasswordChanged, now);
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
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let store = &test_store.store;
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
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;
    let id = &session.user_id;
    let store = &test_store.store;
    let disabling = revocation_for(RevokeReason::Disabled, NOW);

    let denied = store
        .disable_user(id, &Actor::Operator, &disabling)
        .await
        .unwrap();
    let later = revocation_for(RevokeReason::Disabled, NOW + MINUTE);
    let again = store
        .disable_user(id, &Actor::Operator, &later)
        .await
        .unwrap();
    let disabled = store.user(id).await.unwrap().unwrap();
    store.enable_user(id, &Actor::Operator, NOW).await.unwrap();
    let enabled = store.user(id).await.unwrap().unwrap();

    assert!(denied_below(&again, &disabled) > denied_below(&denied, &disabled));
    assert_eq!(again.not_after, NOW + MINUTE + ACCESS_TTL);
    assert_eq!(disabled.disabled_at, Some(NOW));
    assert!(!enabled.is_disabled());
    let reason = test_store.stored(&session).await.state.revoked;
    assert_eq!(reason, Some(RevokeReason::Disabled));
}

#[tokio::test]
async fn roles_are_replaced_and_found() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let store = &test_store.store;

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
    let disabling = revocation_for(RevokeReason::Disabled, NOW);
    store
        .disable_user(&alice.id, &Actor::Operator, &disabling)
        .await
        .unwrap();
    assert!(!store.has_user_with_role("admin").await.unwrap());
}

#[tokio::test]
async fn changes_of_an_unknown_user_are_not_found() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    let nobody = super::super::UserId::random();
    let actor = &Actor::Operator;
    let disabling = revocation_for(RevokeReason::Disabled, NOW);

    let answers = [
        store
            .set_roles(&nobody, &[], actor, period(NOW))
            .await
            .map(drop),
        store.enable_user(&nobody, actor, NOW).await,
        store
            .disable_user(&nobody, actor, &disabling)
            .await
            .map(drop),
    ];

    for answer in answers {
        assert!(matches!(answer, Err(StoreError::NotFound)), "{answer:?}");
    }
}

#[tokio::test]
async fn a_password_change_during_a_refresh_leaves_one_chain_of_generations() {
    let test_store = TestStore::start().await;
    let replica = test_store.replica().await;

    for attempt in 0..20 {
        let user = test_store.user(&format!("user{attempt}")).await;
        let here = test_store.log_in(&user).await;
        let actor = as_actor(&user, Some(&here));
        let changing = revocation_for(RevokeReason::PasswordChanged, NOW);
        let password = new_password("second");

        let (outcome, set) = tokio::join!(
            test_store.present_token(&here, 0, NOW),
            replica.set_password(&user, &password, &actor, &changing),
        );

        let kept = set.unwrap().1.unwrap().session;
        assert_eq!(test_store.stored(&here).await, kept);
        assert_eq!(kept.csrf_epoch, kept.state.generation);
        match outcome {
            RotationOutcome::Rotated(current) => assert_eq!(current.session.state.generation, 1),
            RotationOutcome::Retried(current) => assert_eq!(current.session, kept),
            other => panic!("{other:?}"),
        }
        let late = test_store.present_token(&here, 0, NOW).await;
        assert!(
            matches!(&late, RotationOutcome::Retried(current) if current.session == kept),
            "{late:?}"
        );
    }
}

#[tokio::test]
async fn a_password_is_not_changed_in_a_session_that_has_ended() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let ended = test_store.log_in(&alice).await;
    test_store.log_out(&ended, NOW).await;
    let changing = revocation_for(RevokeReason::PasswordChanged, NOW);
    let (password, actor) = (new_password("second"), as_actor(&alice, Some(&ended)));

    let set = test_store
        .store
        .set_password(&alice, &password, &actor, &changing)
        .await;

    assert!(matches!(set, Err(StoreError::NotFound)), "{set:?}");
    let found = test_store
        .store
        .user_with_hash(&alice.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.password_hash.expose_secret(), "first");
}

#[tokio::test]
async fn every_cost_of_a_stored_password_is_listed_once() {
    let test_store = TestStore::start().await;
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
        let created = test_store.store.create_user(new, &Actor::Operator, NOW);
        created.await.unwrap();
    }

    let mut costs = test_store.store.password_costs().await.unwrap();

    costs.sort();
    assert_eq!(costs, ["m=19456,t=2,p=1", "m=64,t=1,p=1"]);
}

#[tokio::test]
async fn a_search_goes_on_after_the_last_name_of_a_page() {
    let test_store = TestStore::start().await;
    for name in ["ada", "alan", "albert", "alice", "bob"] {
        test_store.user(name).await;
    }
    let found = async |search: &str, after: &str| -> Vec<String> {
        let page = UserPageRequest {
            after: Some(after.to_owned()),
            search: Some(search.to_owned()),
            limit: 2,
        };
        let users = test_store.store.users(&page).await.unwrap();
        users.into_iter().map(|user| user.username).collect()
    };

    assert_eq!(found("al", "ada").await, ["alan", "albert"]);
    assert_eq!(found("AL", "Alan").await, ["albert", "alice"]);
    assert_eq!(found("al", "alice").await, [""; 0]);
    assert_eq!(found("al", "al").await, ["alan", "albert"]);
}
