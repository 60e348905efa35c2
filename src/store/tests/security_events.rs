//! Security events: each is recorded once, together with its change.

use super::super::{
    BudgetSubject, ChargeResult, EventFilter, FailureBudget, NewResetLink, UserReference,
};
use super::*;

/// Returns the kinds of all events, oldest first.
async fn kinds(test_store: &TestStore) -> Vec<EventKind> {
    let events = test_store.events().await.into_iter().rev();
    events.map(|event| event.kind).collect()
}

fn named(user: &User) -> UserReference {
    UserReference {
        id: user.id.clone(),
        username: Some(user.username.clone()),
    }
}

fn budget(key: &str, subject: BudgetSubject) -> FailureBudget {
    FailureBudget {
        key: key.to_owned(),
        limit: 3,
        window: MINUTE,
        subject,
    }
}

#[tokio::test]
async fn an_event_names_actor_kind_and_subject() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("Alice").await;
    let admin = test_store.administrator("admin").await;
    let session = test_store.log_in(&alice).await;
    let ending = revocation_for(RevokeReason::Admin, NOW + MINUTE);

    let by_admin = as_actor(&admin, None);
    let ended = test_store
        .store
        .revoke_session(&session.id, None, &ending, Some(&by_admin));
    ended.await.unwrap();

    let event = test_store.events().await.remove(0);
    assert_eq!(event.at, NOW + MINUTE);
    assert_eq!(event.kind, EventKind::SessionsEnded);
    assert_eq!(event.user, Some(named(&alice)));
    assert_eq!(event.session, Some(session.id));
    assert_eq!(event.actor, Some(named(&admin)));
    assert_eq!(event.ip.as_deref(), Some("192.0.2.7"));
}

#[tokio::test]
async fn a_change_without_effect_is_no_event() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let (store, id, actor) = (&test_store.store, &alice.id, &Actor::Operator);
    let session = test_store.log_in(&alice).await;

    for _ in 0..2 {
        let ending = revocation_for(RevokeReason::Admin, NOW);
        let one = store.revoke_session(&session.id, None, &ending, Some(actor));
        one.await.unwrap();
        store
            .revoke_all_sessions(id, None, &ending, actor)
            .await
            .unwrap();
    }
    test_store.log_in(&alice).await;
    for _ in 0..2 {
        let ending = revocation_for(RevokeReason::LogoutAll, NOW);
        store
            .revoke_all_sessions(id, None, &ending, actor)
            .await
            .unwrap();
    }
    for _ in 0..2 {
        let roles = ["writer".to_owned()];
        store
            .set_roles(id, &roles, actor, period(NOW))
            .await
            .unwrap();
    }
    for _ in 0..2 {
        let disabling = revocation_for(RevokeReason::Disabled, NOW);
        store.disable_user(id, actor, &disabling).await.unwrap();
    }
    for _ in 0..2 {
        store.enable_user(id, actor, NOW).await.unwrap();
    }

    let expected = [
        EventKind::UserCreated,
        EventKind::SessionsEnded,
        EventKind::SessionsEnded,
        EventKind::RolesChanged,
        EventKind::UserDisabled,
        EventKind::UserEnabled,
    ];
    assert_eq!(kinds(&test_store).await, expected);
}

#[tokio::test]
async fn a_refused_change_is_no_event() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let store = &test_store.store;
    let actor = &Actor::Operator;
    let password = new_password("second");
    let changing = revocation_for(RevokeReason::PasswordChanged, NOW + MINUTE);
    let set = store.set_password(&alice, &password, actor, &changing);
    set.await.unwrap();
    let before = kinds(&test_store).await;

    let late = store
        .set_password(&alice, &password, actor, &changing)
        .await;
    let taken = store.create_user(new_user("ALICE"), actor, NOW).await;
    let used = store.use_reset_link("unknown", &password, actor, &changing);
    let unused = used.await.unwrap();
    let unrevised = store.rotate_keys(|_| Vec::new(), actor, NOW).await;

    assert!(matches!(late, Err(StoreError::Conflict)), "{late:?}");
    assert!(matches!(taken, Err(StoreError::Conflict)), "{taken:?}");
    assert_eq!(unused, None);
    assert_eq!(unrevised.unwrap(), []);
    assert_eq!(kinds(&test_store).await, before);
}

#[tokio::test]
async fn logins_refreshes_and_logouts_are_no_events() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;
    test_store.present_token(&session, 0, NOW).await;
    test_store.present_token(&session, 0, NOW).await;
    test_store.log_out(&session, NOW).await;

    assert_eq!(kinds(&test_store).await, [EventKind::UserCreated]);
}

#[tokio::test]
async fn a_reuse_is_recorded_once_when_several_replicas_detect_it() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;
    test_store.present_token(&session, 0, NOW).await;
    test_store.present_token(&session, 1, NOW).await;
    let replica = test_store.replica().await;

    let stolen = PresentedRefreshToken {
        ip: Some(IP),
        ..presented_token(&session, 0)
    };
    run_concurrently((0..10).map(|index| {
        let store = [&test_store.store, &replica][index % 2].clone();
        let stolen = stolen.clone();
        async move {
            store
                .rotate(stolen, NOW + MINUTE, ROTATION_SETTINGS)
                .await
                .unwrap()
        }
    }))
    .await;

    let mut found = test_store.events().await;
    found.retain(|event| event.kind == EventKind::RefreshReused);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].session, Some(session.id));
    assert_eq!(found[0].ip.as_deref(), Some("192.0.2.7"));
    assert_eq!(found[0].actor, None);
}

#[tokio::test]
async fn a_used_up_budget_is_recorded_once_per_window() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let flood = async |budget: FailureBudget, now: Time| {
        for _ in 0..20 {
            let charge = test_store.store.charge(std::slice::from_ref(&budget), now);
            if let ChargeResult::Reserved(counters) = charge.await.unwrap() {
                let failed = test_store.store.record_failure(&counters, IP, now);
                failed.await.unwrap();
            }
        }
    };

    let of_alice = budget("alice", BudgetSubject::Account(alice.id.clone()));
    for now in [NOW, NOW + MINUTE] {
        flood(of_alice.clone(), now).await;
    }
    flood(budget("nobody", BudgetSubject::Logins), NOW).await;
    flood(budget("registration", BudgetSubject::Unrecorded), NOW).await;

    let mut found = test_store.events().await;
    found.retain(|event| event.kind == EventKind::LoginThrottled);
    let users: Vec<_> = found.iter().map(|event| event.user.clone()).collect();
    assert_eq!(users, [None, Some(named(&alice)), Some(named(&alice))]);
    assert!(found.iter().all(|event| event.actor.is_none()));
    assert_eq!(found[0].ip.as_deref(), Some("192.0.2.7"));
}

#[tokio::test]
async fn pages_follow_each_other_newest_first() {
    let test_store = TestStore::start().await;
    for name in ["alice", "bob", "carol"] {
        test_store.user(name).await;
    }
    let all = test_store.events().await;

    let page = async |after: Option<i64>| {
        let page = EventPageRequest { after, limit: 2 };
        test_store.store.events(&page).await.unwrap()
    };
    assert_eq!(page(None).await, all[..2]);
    assert_eq!(page(Some(all[1].id)).await, all[2..]);
    assert_eq!(page(Some(all[2].id)).await, []);
    let names: Vec<_> = all.iter().flat_map(|event| &event.user).collect();
    assert_eq!(names[0].username.as_deref(), Some("carol"));
}

#[tokio::test]
async fn a_link_is_deleted_when_it_has_expired() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let store = &test_store.store;
    let link = NewResetLink {
        token_hash: "link".to_owned(),
        expires_at: NOW + MINUTE,
    };
    let created = store.create_reset_link(&alice.id, link, &Actor::Operator, NOW);
    created.await.unwrap();

    let early = store.delete_expired_rows(NOW + MINUTE).await.unwrap();
    let late = store.delete_expired_rows(NOW + 2 * MINUTE).await.unwrap();

    assert_eq!((early, late), (0, 1));
}

#[tokio::test]
async fn events_are_kept_for_their_retention_period() {
    let test_store = TestStore::start().await;
    test_store.user("alice").await;
    let store = &test_store.store;

    for retention in [MINUTE, 100 * MINUTE] {
        let kept = store.delete_old_events(NOW + retention, retention).await;
        assert_eq!(kept.unwrap(), 0);
    }
    assert_eq!(kinds(&test_store).await, [EventKind::UserCreated]);
    let deleted = store.delete_old_events(NOW + 2 * MINUTE, MINUTE).await;

    assert_eq!(deleted.unwrap(), 1);
    assert_eq!(kinds(&test_store).await, []);
}

#[tokio::test]
async fn events_after_another_are_listed_oldest_first_and_filtered() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let bob = test_store.user("bob").await;
    let store = &test_store.store;
    store
        .enable_user(&alice.id, &Actor::Operator, NOW)
        .await
        .unwrap();
    let disabling = revocation_for(RevokeReason::Disabled, NOW + MINUTE);
    let disabled = store.disable_user(&bob.id, &Actor::Operator, &disabling);
    disabled.await.unwrap();
    let list = async |after: i64, filter: &EventFilter, limit: u64| {
        let events = store.events_after(after, filter, limit).await.unwrap();
        let events = events.into_iter();
        let events = events.map(|event| (event.kind, event.user.and_then(|user| user.username)));
        events.collect::<Vec<_>>()
    };
    let all = EventFilter::default();
    let of_bob = EventFilter {
        user: Some(bob.id.clone()),
        ..EventFilter::default()
    };
    let created = EventFilter {
        kinds: vec![EventKind::UserCreated],
        ..EventFilter::default()
    };
    let late = EventFilter {
        since: Some(NOW + MINUTE),
        ..EventFilter::default()
    };
    let event = |kind, name: &str| (kind, Some(name.to_owned()));
    let (alice_created, bob_created, bob_disabled) = (
        event(EventKind::UserCreated, "alice"),
        event(EventKind::UserCreated, "bob"),
        event(EventKind::UserDisabled, "bob"),
    );

    let complete = [
        alice_created.clone(),
        bob_created.clone(),
        bob_disabled.clone(),
    ];
    assert_eq!(list(0, &all, 10).await, complete);
    let both = [bob_created.clone(), bob_disabled.clone()];
    assert_eq!(list(0, &of_bob, 10).await, both);
    let both = [alice_created.clone(), bob_created];
    assert_eq!(list(0, &created, 10).await, both);
    assert_eq!(list(0, &late, 10).await, [bob_disabled]);
    assert_eq!(list(0, &all, 1).await, [alice_created]);
    let first = store.events_after(0, &all, 1).await.unwrap()[0].id;
    assert_eq!(list(first, &all, 10).await, complete[1..]);
}
