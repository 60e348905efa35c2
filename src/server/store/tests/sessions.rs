//! Creating, listing and revoking sessions.

use super::*;

#[tokio::test]
async fn a_session_is_stored_as_it_was_made() {
    let latchet = Latchet::start().await;

    let session = latchet.alice_logged_in().await;

    assert_eq!(latchet.stored(&session).await, session);
    assert_eq!(session.state.generation, 0);
    assert_eq!(session.state.rotated_at, NOW);
    assert_eq!(session.auth_time, NOW);
    assert_eq!(session.amr, ["pwd"]);
    assert_eq!(session.end(NOW), None);
}

#[tokio::test]
async fn a_long_user_agent_is_cut_between_characters() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let new = NewSession {
        device: Device {
            user_agent: format!("a{}", "é".repeat(200)),
            ..laptop()
        },
        ..new_session()
    };

    let session = latchet.store.create_session(&alice, new, &[], NOW).await;

    session.unwrap().unwrap();
    let listed = latchet.sessions_of(&alice, NOW).await;
    let user_agent = listed[0].device.user_agent.as_str();
    assert_eq!(user_agent, format!("a{}", "é".repeat(127)));
}

#[tokio::test]
async fn no_session_is_made_for_an_account_that_changed_since_it_was_checked() {
    let latchet = Latchet::start().await;
    let disabled = latchet.user("disabled").await;
    let changed = latchet.user("changed").await;
    let store = &latchet.store;
    let disabling = because(RevokeReason::Disabled, NOW);
    store
        .disable_user(&disabled.id, &Actor::Operator, &disabling)
        .await
        .unwrap();
    let changing = because(RevokeReason::PasswordChanged, NOW + MINUTE);
    let password = SecretString::from("second");
    let set = store.set_password(&changed, &password, &Actor::Operator, &changing);
    set.await.unwrap();

    for user in [&disabled, &changed] {
        let session = store.create_session(user, new_session(), &[], NOW).await;

        assert_eq!(session.unwrap(), None);
        assert_eq!(latchet.sessions_of(user, NOW).await, []);
    }
}

#[tokio::test]
async fn an_account_disabled_while_it_logs_in_is_left_without_sessions() {
    let latchet = Latchet::start().await;
    let replica = latchet.replica().await;

    for attempt in 0..20 {
        let user = latchet.user(&format!("user{attempt}")).await;
        let disabling = because(RevokeReason::Disabled, NOW);
        let (login, disabled) = tokio::join!(
            latchet.store.create_session(&user, new_session(), &[], NOW),
            replica.disable_user(&user.id, &Actor::Operator, &disabling),
        );
        login.unwrap();
        disabled.unwrap();

        let left = latchet.sessions_of(&user, NOW).await;
        assert_eq!(left, []);
    }
}

#[tokio::test]
async fn a_list_holds_the_live_sessions_of_one_user_newest_first() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let bob = latchet.user("bob").await;
    let store = &latchet.store;
    let create = |now| store.create_session(&alice, new_session(), &[], now);
    let older = create(NOW).await.unwrap().unwrap();
    let newer = create(NOW + MINUTE).await.unwrap().unwrap();
    let logged_out = create(NOW).await.unwrap().unwrap();
    latchet.log_out(&logged_out.current.session, NOW).await;
    latchet.login(&bob).await;

    let now = latchet.sessions_of(&alice, NOW + MINUTE).await;
    let rested = NOW + new_session().idle_limit;
    let later = latchet.sessions_of(&alice, rested).await;

    let newer = listed(&newer.current.session, NOW + MINUTE);
    assert_eq!(now, [newer.clone(), listed(&older.current.session, NOW)]);
    assert_eq!(later, [newer]);
}

#[tokio::test]
async fn revoking_one_session_leaves_the_others() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let phone = latchet.login(&alice).await;
    let laptop = latchet.login(&alice).await;

    let denials = latchet.log_out(&phone, NOW).await;

    assert_eq!(denials, [denial(&phone, NOW + ACCESS_TTL)]);
    assert!(latchet.is_denied(&phone).await);
    assert!(!latchet.is_denied(&laptop).await);
    assert_eq!(latchet.stored(&laptop).await, laptop);
}

#[tokio::test]
async fn revoking_again_denies_again_and_changes_nothing() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;
    latchet.log_out(&session, NOW).await;
    let first = latchet.stored(&session).await;

    let later = because(RevokeReason::Admin, NOW + MINUTE);
    let revoked = latchet
        .store
        .revoke_session(&session.id, None, &later, None);
    let denials = revoked.await.unwrap();

    assert_eq!(denials, [denial(&session, later.period.not_after)]);
    assert_eq!(latchet.stored(&session).await, first);
    assert_eq!(first.state.revoked, Some(RevokeReason::Logout));
    assert_eq!(latchet.revoked_at(&session).await, Some(NOW));
}

#[tokio::test]
async fn nobody_revokes_the_session_of_another_user_as_their_own() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;
    let bob = latchet.user("bob").await;
    let logout = because(RevokeReason::Logout, NOW);

    let revoked = latchet
        .store
        .revoke_session(&session.id, Some(&bob.id), &logout, None);

    assert_eq!(revoked.await.unwrap(), []);
    assert_eq!(latchet.stored(&session).await, session);
    assert!(!latchet.is_denied(&session).await);
}

#[tokio::test]
async fn revoking_all_spares_the_one_that_is_kept_and_other_users() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let kept = latchet.login(&alice).await;
    let gone = latchet.login(&alice).await;
    let bobs = latchet.login(&latchet.user("bob").await).await;
    let logout = because(RevokeReason::LogoutAll, NOW);

    let revoked = latchet
        .store
        .revoke_all(&alice.id, Some(&kept.id), &logout, &Actor::Operator);
    let denial = revoked.await.unwrap();

    assert_eq!(denial.not_after, NOW + ACCESS_TTL);
    assert_eq!(latchet.status(&gone, 0).await, TokenStatus::Outdated);
    assert_eq!(latchet.stored(&kept).await, kept);
    assert_eq!(latchet.stored(&bobs).await, bobs);
    let reason = latchet.stored(&gone).await.state.revoked;
    assert_eq!(reason, Some(RevokeReason::LogoutAll));
}

#[tokio::test]
async fn revoking_all_again_denies_again() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    latchet.login(&alice).await;
    let store = &latchet.store;
    let by = &Actor::Operator;
    let logout = |now| because(RevokeReason::LogoutAll, now);
    let first = store.revoke_all(&alice.id, None, &logout(NOW), by).await;

    let again = store
        .revoke_all(&alice.id, None, &logout(NOW + MINUTE), by)
        .await;

    let (first, again) = (first.unwrap(), again.unwrap());
    assert!(version(&again, &alice) > version(&first, &alice));
    assert_eq!(again.not_after, NOW + MINUTE + ACCESS_TTL);
}

#[tokio::test]
async fn a_password_proved_again_is_recorded_unless_the_session_was_revoked() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let live = latchet.login(&alice).await;
    let revoked = latchet.login(&alice).await;
    latchet.log_out(&revoked, NOW).await;

    for session in [&live, &revoked] {
        let set = latchet.store.set_auth_time(&session.id, NOW + MINUTE);
        set.await.unwrap();
    }

    assert_eq!(latchet.stored(&live).await.auth_time, NOW + MINUTE);
    assert_eq!(latchet.stored(&revoked).await.auth_time, NOW);
}
