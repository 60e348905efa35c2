//! Creating, listing and revoking sessions.

use sea_orm::DbBackend;

use super::super::authority::raise_version;
use super::*;

#[tokio::test]
async fn a_session_is_stored_as_it_was_created() {
    let test_store = TestStore::start().await;

    let session = test_store.log_in_alice().await;

    assert_eq!(test_store.stored(&session).await, session);
    assert_eq!(session.state.generation, 0);
    assert_eq!(session.state.rotated_at, NOW);
    assert_eq!(session.auth_time, NOW);
    assert_eq!(session.amr, ["pwd"]);
    assert_eq!(session.end(NOW), None);
}

#[tokio::test]
async fn a_long_user_agent_is_truncated_between_characters() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let new = NewSession {
        device: LoginDevice {
            user_agent: format!("a{}", "é".repeat(200)),
            ..laptop()
        },
        ..new_session()
    };

    let session = test_store.store.create_session(&alice, new, &[], NOW).await;

    session.unwrap().unwrap();
    let listed = test_store.sessions_of(&alice, NOW).await;
    let user_agent = listed[0].device.user_agent.as_str();
    assert_eq!(user_agent, format!("a{}", "é".repeat(127)));
}

#[tokio::test]
async fn no_session_is_created_for_an_account_that_changed_since_its_password_was_verified() {
    let test_store = TestStore::start().await;
    let disabled = test_store.user("disabled").await;
    let changed = test_store.user("changed").await;
    let store = &test_store.store;
    let disabling = revocation_for(RevokeReason::Disabled, NOW);
    store
        .disable_user(&disabled.id, &Actor::Operator, &disabling)
        .await
        .unwrap();
    let changing = revocation_for(RevokeReason::PasswordChanged, NOW + MINUTE);
    let password = new_password("second");
    let set = store.set_password(&changed, &password, &Actor::Operator, &changing);
    set.await.unwrap();

    for user in [&disabled, &changed] {
        let session = store.create_session(user, new_session(), &[], NOW).await;

        assert_eq!(session.unwrap(), None);
        assert_eq!(test_store.sessions_of(user, NOW).await, []);
    }
}

#[tokio::test]
async fn an_account_disabled_during_a_login_has_no_sessions() {
    let test_store = TestStore::start().await;
    let replica = test_store.replica().await;

    for attempt in 0..20 {
        let user = test_store.user(&format!("user{attempt}")).await;
        let disabling = revocation_for(RevokeReason::Disabled, NOW);
        let (login, disabled) = tokio::join!(
            test_store
                .store
                .create_session(&user, new_session(), &[], NOW),
            replica.disable_user(&user.id, &Actor::Operator, &disabling),
        );
        login.unwrap();
        disabled.unwrap();

        let left = test_store.sessions_of(&user, NOW).await;
        assert_eq!(left, []);
    }
}

#[tokio::test]
async fn a_list_holds_the_live_sessions_of_one_user_newest_first() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let bob = test_store.user("bob").await;
    let store = &test_store.store;
    let create = |now| store.create_session(&alice, new_session(), &[], now);
    let older = create(NOW).await.unwrap().unwrap();
    let newer = create(NOW + MINUTE).await.unwrap().unwrap();
    let logged_out = create(NOW).await.unwrap().unwrap();
    test_store.log_out(&logged_out.current.session, NOW).await;
    test_store.log_in(&bob).await;

    let now = test_store.sessions_of(&alice, NOW + MINUTE).await;
    let after_idle_limit = NOW + new_session().idle_limit;
    let later = test_store.sessions_of(&alice, after_idle_limit).await;

    let newer = listed(&newer.current.session, NOW + MINUTE);
    assert_eq!(now, [newer.clone(), listed(&older.current.session, NOW)]);
    assert_eq!(later, [newer]);
}

#[tokio::test]
async fn revoking_one_session_leaves_the_others() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let phone = test_store.log_in(&alice).await;
    let laptop = test_store.log_in(&alice).await;

    let denials = test_store.log_out(&phone, NOW).await;

    assert_eq!(denials, [denial(&phone, NOW + ACCESS_TTL)]);
    assert!(test_store.is_denied(&phone).await);
    assert!(!test_store.is_denied(&laptop).await);
    assert_eq!(test_store.stored(&laptop).await, laptop);
}

#[tokio::test]
async fn revoking_again_denies_again_and_changes_nothing() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;
    test_store.log_out(&session, NOW).await;
    let first = test_store.stored(&session).await;

    let later = revocation_for(RevokeReason::Admin, NOW + MINUTE);
    let revoked = test_store
        .store
        .revoke_session(&session.id, None, &later, None);
    let denials = revoked.await.unwrap();

    assert_eq!(denials, [denial(&session, later.period.not_after)]);
    assert_eq!(test_store.stored(&session).await, first);
    assert_eq!(first.state.revoked, Some(RevokeReason::Logout));
    assert_eq!(test_store.revoked_at(&session).await, Some(NOW));
}

#[tokio::test]
async fn a_user_cannot_revoke_the_session_of_another_user() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;
    let bob = test_store.user("bob").await;
    let logout = revocation_for(RevokeReason::Logout, NOW);

    let revoked = test_store
        .store
        .revoke_session(&session.id, Some(&bob.id), &logout, None);

    assert_eq!(revoked.await.unwrap(), []);
    assert_eq!(test_store.stored(&session).await, session);
    assert!(!test_store.is_denied(&session).await);
}

#[tokio::test]
async fn revoking_all_spares_the_one_that_is_kept_and_other_users() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let kept = test_store.log_in(&alice).await;
    let gone = test_store.log_in(&alice).await;
    let bobs = test_store.log_in(&test_store.user("bob").await).await;
    let logout = revocation_for(RevokeReason::LogoutAll, NOW);

    let revoked =
        test_store
            .store
            .revoke_all_sessions(&alice.id, Some(&kept.id), &logout, &Actor::Operator);
    let denial = revoked.await.unwrap();

    assert_eq!(denial.not_after, NOW + ACCESS_TTL);
    assert_eq!(test_store.status(&gone, 0).await, TokenStatus::Outdated);
    assert_eq!(test_store.stored(&kept).await, kept);
    assert_eq!(test_store.stored(&bobs).await, bobs);
    let reason = test_store.stored(&gone).await.state.revoked;
    assert_eq!(reason, Some(RevokeReason::LogoutAll));
}

#[tokio::test]
async fn revoking_all_again_denies_again() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    test_store.log_in(&alice).await;
    let store = &test_store.store;
    let actor = &Actor::Operator;
    let logout = |now| revocation_for(RevokeReason::LogoutAll, now);
    let first = store
        .revoke_all_sessions(&alice.id, None, &logout(NOW), actor)
        .await;

    let again = store
        .revoke_all_sessions(&alice.id, None, &logout(NOW + MINUTE), actor)
        .await;

    let (first, again) = (first.unwrap(), again.unwrap());
    assert!(denied_below(&again, &alice) > denied_below(&first, &alice));
    assert_eq!(again.not_after, NOW + MINUTE + ACCESS_TTL);
}

#[tokio::test]
async fn a_repeated_password_check_is_recorded_unless_the_session_was_revoked() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let live = test_store.log_in(&alice).await;
    let revoked = test_store.log_in(&alice).await;
    test_store.log_out(&revoked, NOW).await;

    for session in [&live, &revoked] {
        let set = test_store.store.set_auth_time(&session.id, NOW + MINUTE);
        set.await.unwrap();
    }

    assert_eq!(test_store.stored(&live).await.auth_time, NOW + MINUTE);
    assert_eq!(test_store.stored(&revoked).await.auth_time, NOW);
}

#[tokio::test]
async fn a_login_does_not_wait_for_the_locked_row_of_another_user() {
    let test_store = TestStore::start().await;
    if test_store.store.reader().get_database_backend() == DbBackend::Sqlite {
        // A lock is one of the whole database.
        return;
    }
    let (alice, bob) = (test_store.user("alice").await, test_store.user("bob").await);
    let replica = test_store.replica().await;
    let change = replica.begin().await.unwrap();
    let raise = raise_version(&change, &alice.id, period(NOW));
    let denial = raise.await.unwrap();

    let log_in = |user: &User| {
        let (store, user) = (test_store.store.clone(), user.clone());
        async move { store.create_session(&user, new_session(), &[], NOW).await }
    };
    let of_alice = run_concurrently([log_in(&alice)]);
    let mut of_alice = std::pin::pin!(of_alice);
    let of_bob = tokio::select! {
        _ = &mut of_alice => panic!("the row of alice is locked"),
        of_bob = log_in(&bob) => of_bob,
    };

    assert!(of_bob.unwrap().is_some());
    change.commit().await.unwrap();
    let of_alice = of_alice.await.remove(0).unwrap().unwrap().current;
    let version = denied_below(&denial, &alice);
    assert_eq!(of_alice.owner.authority_version, version);
}

#[tokio::test]
async fn concurrent_logins_at_two_replicas_leave_one_session_of_one() {
    let test_store = TestStore::start().await;
    let replica = test_store.replica().await;
    let alice = test_store.user("alice").await;
    let new = NewSession {
        limit: NonZeroU32::MIN,
        ..new_session()
    };

    for _ in 0..10 {
        let started = run_concurrently([&test_store.store, &replica].map(|store| {
            let (store, alice, new) = (store.clone(), alice.clone(), new.clone());
            async move { store.create_session(&alice, new, &[], NOW).await }
        }))
        .await;

        for session in started {
            session.unwrap().unwrap();
        }
        assert_eq!(test_store.sessions_of(&alice, NOW).await.len(), 1);
    }
}

#[tokio::test]
async fn concurrent_logouts_end_their_sessions_and_no_others() {
    let test_store = TestStore::start().await;
    let (alice, bob) = (test_store.user("alice").await, test_store.user("bob").await);
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(test_store.log_in(&alice).await);
        sessions.push(test_store.log_in(&bob).await);
    }
    let other = test_store.log_in(&alice).await;

    // Alice cannot end the sessions of Bob; each logout is sent twice.
    let logouts = sessions.iter().chain(&sessions).map(|session| {
        let (store, id, alice) = (
            test_store.store.clone(),
            session.id.clone(),
            alice.id.clone(),
        );
        let logout = revocation_for(RevokeReason::Logout, NOW);
        async move { store.revoke_session(&id, Some(&alice), &logout, None).await }
    });
    let denials = run_concurrently(logouts).await;

    for (session, denials) in sessions.iter().chain(&sessions).zip(denials) {
        let is_own = session.user_id == alice.id;
        assert_eq!(denials.unwrap().len(), usize::from(is_own));
        assert_eq!(test_store.is_denied(session).await, is_own);
        assert_eq!(test_store.revoked_at(session).await.is_some(), is_own);
    }
    assert!(!test_store.is_denied(&other).await);
}

#[tokio::test]
async fn a_logout_does_not_wait_for_the_locked_row_of_another_session() {
    let test_store = TestStore::start().await;
    if test_store.store.reader().get_database_backend() == DbBackend::Sqlite {
        return;
    }
    let alice = test_store.user("alice").await;
    let (locked, free) = (
        test_store.log_in(&alice).await,
        test_store.log_in(&alice).await,
    );
    let replica = test_store.replica().await;
    let change = replica.begin().await.unwrap();
    let sql = format!("UPDATE sessions SET label = 'x' WHERE id = '{}'", locked.id);
    change.execute_unprepared(&sql).await.unwrap();

    let log_out = |session: &Session| {
        let (store, id) = (test_store.store.clone(), session.id.clone());
        let logout = revocation_for(RevokeReason::Logout, NOW);
        async move { store.revoke_session(&id, None, &logout, None).await }
    };
    let of_locked = run_concurrently([log_out(&locked)]);
    let mut of_locked = std::pin::pin!(of_locked);
    tokio::select! {
        _ = &mut of_locked => panic!("the session is locked"),
        of_free = log_out(&free) => assert_eq!(of_free.unwrap().len(), 1),
    }

    assert!(!test_store.is_denied(&locked).await, "it has not ended yet");
    change.commit().await.unwrap();
    assert_eq!(of_locked.await.remove(0).unwrap().len(), 1);
    for session in [&locked, &free] {
        assert!(test_store.revoked_at(session).await.is_some());
        assert!(test_store.is_denied(session).await);
    }
}
