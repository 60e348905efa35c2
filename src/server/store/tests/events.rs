//! Security events: each is recorded once, together with its change.

use super::super::{Budget, Charge, NamedUser, NewResetLink, Protected};
use super::*;

/// Returns the kinds of all events, oldest first.
async fn kinds(latchet: &Latchet) -> Vec<EventKind> {
    let events = latchet.events().await.into_iter().rev();
    events.map(|event| event.kind).collect()
}

fn named(user: &User) -> NamedUser {
    NamedUser {
        id: user.id.clone(),
        username: Some(user.username.clone()),
    }
}

fn budget(key: &str, protects: Protected) -> Budget {
    Budget {
        key: key.to_owned(),
        limit: 3,
        window: MINUTE,
        protects,
    }
}

#[tokio::test]
async fn an_event_says_who_did_what_to_whom() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("Alice").await;
    let admin = latchet.administrator("admin").await;
    let session = latchet.login(&alice).await;
    let ending = because(RevokeReason::Admin, NOW + MINUTE);

    let by_admin = by(&admin, None);
    let ended = latchet
        .store
        .revoke_session(&session.id, None, &ending, Some(&by_admin));
    ended.await.unwrap();

    let event = latchet.events().await.remove(0);
    assert_eq!(event.at, NOW + MINUTE);
    assert_eq!(event.kind, EventKind::SessionsEnded);
    assert_eq!(event.user, Some(named(&alice)));
    assert_eq!(event.session, Some(session.id));
    assert_eq!(event.by, Some(named(&admin)));
    assert_eq!(event.ip.as_deref(), Some("192.0.2.7"));
}

#[tokio::test]
async fn an_order_that_changes_nothing_is_no_event() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let (store, id, by) = (&latchet.store, &alice.id, &Actor::Operator);
    let session = latchet.login(&alice).await;

    for _ in 0..2 {
        let ending = because(RevokeReason::Admin, NOW);
        let one = store.revoke_session(&session.id, None, &ending, Some(by));
        one.await.unwrap();
        store.revoke_all(id, None, &ending, by).await.unwrap();
    }
    latchet.login(&alice).await;
    for _ in 0..2 {
        let ending = because(RevokeReason::LogoutAll, NOW);
        store.revoke_all(id, None, &ending, by).await.unwrap();
    }
    for _ in 0..2 {
        let roles = ["writer".to_owned()];
        store.set_roles(id, &roles, by, period(NOW)).await.unwrap();
    }
    for _ in 0..2 {
        let disabling = because(RevokeReason::Disabled, NOW);
        store.disable_user(id, by, &disabling).await.unwrap();
    }
    for _ in 0..2 {
        store.enable_user(id, by, NOW).await.unwrap();
    }

    let expected = [
        EventKind::UserCreated,
        EventKind::SessionsEnded,
        EventKind::SessionsEnded,
        EventKind::RolesChanged,
        EventKind::UserDisabled,
        EventKind::UserEnabled,
    ];
    assert_eq!(kinds(&latchet).await, expected);
}

#[tokio::test]
async fn what_was_refused_is_no_event() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let store = &latchet.store;
    let by = &Actor::Operator;
    let password = SecretString::from("second");
    let changing = because(RevokeReason::PasswordChanged, NOW + MINUTE);
    let set = store.set_password(&alice, &password, by, &changing);
    set.await.unwrap();
    let before = kinds(&latchet).await;

    let late = store.set_password(&alice, &password, by, &changing).await;
    let taken = store.create_user(new_user("ALICE"), by, NOW).await;
    let used = store.use_reset_link("unknown", &password, by, &changing);
    let unused = used.await.unwrap();
    let unrevised = store.rotate_keys(|_| Vec::new(), by, NOW).await;

    assert!(matches!(late, Err(StoreError::Conflict)), "{late:?}");
    assert!(matches!(taken, Err(StoreError::Conflict)), "{taken:?}");
    assert_eq!(unused, None);
    assert_eq!(unrevised.unwrap(), []);
    assert_eq!(kinds(&latchet).await, before);
}

#[tokio::test]
async fn logins_refreshes_and_logouts_are_no_events() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;
    latchet.show(&session, 0, NOW).await;
    latchet.show(&session, 0, NOW).await;
    latchet.log_out(&session, NOW).await;

    assert_eq!(kinds(&latchet).await, [EventKind::UserCreated]);
}

#[tokio::test]
async fn a_reuse_is_told_once_however_many_replicas_see_it() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;
    latchet.show(&session, 0, NOW).await;
    latchet.show(&session, 1, NOW).await;
    let replica = latchet.replica().await;

    let stolen = Presented {
        ip: Some(IP),
        ..presented(&session, 0)
    };
    at_once((0..10).map(|index| {
        let store = [&latchet.store, &replica][index % 2].clone();
        let stolen = stolen.clone();
        async move { store.rotate(stolen, NOW + MINUTE, RULES).await.unwrap() }
    }))
    .await;

    let mut found = latchet.events().await;
    found.retain(|event| event.kind == EventKind::RefreshReused);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].session, Some(session.id));
    assert_eq!(found[0].ip.as_deref(), Some("192.0.2.7"));
    assert_eq!(found[0].by, None);
}

#[tokio::test]
async fn a_throttle_is_told_once_in_its_window_however_long_the_flood() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let flood = async |budget: Budget, now: Time| {
        for _ in 0..20 {
            let charge = latchet.store.charge(std::slice::from_ref(&budget), now);
            if let Charge::Placed(counters) = charge.await.unwrap() {
                let failed = latchet.store.record_failure(&counters, IP, now);
                failed.await.unwrap();
            }
        }
    };

    let of_alice = budget("alice", Protected::Account(alice.id.clone()));
    for now in [NOW, NOW + MINUTE] {
        flood(of_alice.clone(), now).await;
    }
    flood(budget("nobody", Protected::Logins), NOW).await;
    flood(budget("registration", Protected::Registration), NOW).await;

    let mut found = latchet.events().await;
    found.retain(|event| event.kind == EventKind::LoginThrottled);
    let users: Vec<_> = found.iter().map(|event| event.user.clone()).collect();
    assert_eq!(users, [None, Some(named(&alice)), Some(named(&alice))]);
    assert!(found.iter().all(|event| event.by.is_none()));
    assert_eq!(found[0].ip.as_deref(), Some("192.0.2.7"));
}

#[tokio::test]
async fn pages_follow_each_other_newest_first() {
    let latchet = Latchet::start().await;
    for name in ["alice", "bob", "carol"] {
        latchet.user(name).await;
    }
    let all = latchet.events().await;

    let page = async |after: Option<i64>| {
        let page = EventPage { after, limit: 2 };
        latchet.store.events(&page).await.unwrap()
    };
    assert_eq!(page(None).await, all[..2]);
    assert_eq!(page(Some(all[1].id)).await, all[2..]);
    assert_eq!(page(Some(all[2].id)).await, []);
    let names: Vec<_> = all.iter().flat_map(|event| &event.user).collect();
    assert_eq!(names[0].username.as_deref(), Some("carol"));
}

#[tokio::test]
async fn events_are_kept_for_ninety_days_and_links_until_they_expire() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let store = &latchet.store;
    let link = NewResetLink {
        token_hash: "link".to_owned(),
        expires_at: NOW + MINUTE,
    };
    let made = store.create_reset_link(&alice.id, link, &Actor::Operator, NOW);
    made.await.unwrap();
    let ninety_days = Duration::from_hours(90 * 24);

    let early = store.collect_garbage(NOW + MINUTE).await.unwrap();
    let kept = store.collect_garbage(NOW + ninety_days).await.unwrap();
    let still = kinds(&latchet).await.len();
    let late = store.collect_garbage(NOW + ninety_days + MINUTE).await;

    assert_eq!((early, kept, still, late.unwrap()), (0, 1, 2, 2));
    assert_eq!(kinds(&latchet).await, []);
}
