//! Budgets of failed attempts.

use super::super::{BudgetReservation, BudgetSubject, ChargeResult, FailureBudget};
use super::*;

fn three_a_minute(key: &str) -> FailureBudget {
    FailureBudget {
        key: key.to_owned(),
        limit: 3,
        window: MINUTE,
        subject: BudgetSubject::Logins,
    }
}

async fn charge(store: &Store, keys: &[&str], now: Time) -> ChargeResult {
    let budgets: Vec<FailureBudget> = keys.iter().map(|key| three_a_minute(key)).collect();
    store.charge(&budgets, now).await.unwrap()
}

#[track_caller]
fn reserved(charge: ChargeResult) -> Vec<BudgetReservation> {
    match charge {
        ChargeResult::Reserved(reservations) => reservations,
        other => panic!("{other:?}"),
    }
}

/// Makes a failed attempt, and returns whether the budgets allowed it.
async fn fail_attempt(store: &Store, keys: &[&str], now: Time) -> bool {
    match charge(store, keys, now).await {
        ChargeResult::Reserved(reservations) => {
            store.record_failure(&reservations, IP, now).await.unwrap();
            true
        }
        ChargeResult::Exhausted { .. } => false,
        ChargeResult::FullyReserved => panic!("nothing is in flight"),
    }
}

#[tokio::test]
async fn parallel_attempts_on_all_replicas_share_one_budget() {
    let test_store = TestStore::start().await;
    let replica = test_store.replica().await;

    let charges = run_concurrently((0..40).map(|index| {
        let store = [&test_store.store, &replica][index % 2].clone();
        async move { charge(&store, &["account:alice"], NOW).await }
    }))
    .await;

    let is_reserved = |charge: &&ChargeResult| matches!(charge, ChargeResult::Reserved(_));
    assert_eq!(charges.iter().filter(is_reserved).count(), 3);
    let is_fully_reserved = |charge: &&ChargeResult| matches!(charge, ChargeResult::FullyReserved);
    assert_eq!(charges.iter().filter(is_fully_reserved).count(), 37);
}

#[tokio::test]
async fn only_failures_use_a_budget_up() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;

    for _ in 0..10 {
        let reservations = reserved(charge(store, &["a", "b"], NOW).await);
        store.refund_attempt(&reservations).await.unwrap();
        // A second time changes nothing.
        store.refund_attempt(&reservations).await.unwrap();
    }
    let mut failures = 0;
    for _ in 0..10 {
        failures += u32::from(fail_attempt(store, &["a", "b"], NOW).await);
    }

    assert_eq!(failures, 3);
}

#[tokio::test]
async fn a_failure_on_one_replica_refuses_at_the_other() {
    let test_store = TestStore::start().await;
    let replica = test_store.replica().await;
    for _ in 0..3 {
        assert!(fail_attempt(&test_store.store, &["a"], NOW).await);
    }

    let refused = charge(&replica, &["a"], NOW + MINUTE / 2).await;

    let resets_at = NOW + MINUTE;
    assert_eq!(
        refused,
        ChargeResult::Exhausted {
            budget: 0,
            resets_at
        }
    );
}

#[tokio::test]
async fn consecutive_used_up_windows_double_up_to_a_maximum() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    let mut now = NOW;
    let mut lengths = Vec::new();

    for _ in 0..5 {
        while fail_attempt(store, &["a"], now).await {}
        let ChargeResult::Exhausted { resets_at, .. } = charge(store, &["a"], now).await else {
            panic!("the budget is used up");
        };
        lengths.push(resets_at.since(now) / 60);
        now = resets_at;
    }

    let seconds = [1, 2, 4, 4, 4].map(Duration::from_secs);
    assert_eq!(lengths, seconds);
    // After an unused window of the same length, the next window has the initial length.
    now = now + 4 * MINUTE;
    while fail_attempt(store, &["a"], now).await {}
    let refused = charge(store, &["a"], now).await;
    let resets_at = now + MINUTE;
    assert_eq!(
        refused,
        ChargeResult::Exhausted {
            budget: 0,
            resets_at
        }
    );
}

#[tokio::test]
async fn a_window_with_a_success_does_not_make_the_next_one_longer() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    for _ in 0..2 {
        fail_attempt(store, &["a"], NOW).await;
    }
    let reservations = reserved(charge(store, &["a"], NOW).await);
    store.refund_attempt(&reservations).await.unwrap();

    let after = NOW + MINUTE;
    while fail_attempt(store, &["a"], after).await {}

    let refused = charge(store, &["a"], after).await;
    let resets_at = after + MINUTE;
    assert_eq!(
        refused,
        ChargeResult::Exhausted {
            budget: 0,
            resets_at
        }
    );
}

#[tokio::test]
async fn an_attempt_refused_by_one_budget_is_counted_on_none() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    while fail_attempt(store, &["account"], NOW).await {}

    for _ in 0..10 {
        let refused = charge(store, &["address", "account"], NOW).await;
        assert!(
            matches!(refused, ChargeResult::Exhausted { budget: 1, .. }),
            "{refused:?}"
        );
    }

    for _ in 0..3 {
        assert!(fail_attempt(store, &["address"], NOW).await);
    }
}

#[tokio::test]
async fn attempts_without_an_outcome_are_refunded_later() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    let mut abandoned = Vec::new();
    for _ in 0..3 {
        abandoned = reserved(charge_an_hour(store, NOW).await);
    }
    assert_eq!(
        charge_an_hour(store, NOW + MINUTE).await,
        ChargeResult::FullyReserved
    );

    let later = NOW + 2 * MINUTE;
    let reservations = reserved(charge_an_hour(store, later).await);
    store
        .record_failure(&reservations, IP, later)
        .await
        .unwrap();

    // A result that comes so late is refused, and changes nothing.
    let late = store.record_failure(&abandoned, IP, later).await;
    assert!(matches!(late, Err(StoreError::Conflict)), "{late:?}");
    for _ in 0..2 {
        let reservations = reserved(charge_an_hour(store, later).await);
        store
            .record_failure(&reservations, IP, later)
            .await
            .unwrap();
    }
    let refused = charge_an_hour(store, later).await;
    assert!(
        matches!(refused, ChargeResult::Exhausted { .. }),
        "{refused:?}"
    );
}

async fn charge_an_hour(store: &Store, now: Time) -> ChargeResult {
    let budget = FailureBudget {
        window: 60 * MINUTE,
        ..three_a_minute("hour")
    };
    store.charge(&[budget], now).await.unwrap()
}

#[tokio::test]
async fn an_attempt_that_ends_in_the_next_window_changes_nothing_there() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    let slow = reserved(charge(store, &["a"], NOW).await);
    let next = NOW + MINUTE;
    while fail_attempt(store, &["a"], next).await {}

    store.refund_attempt(&slow).await.unwrap();
    store.record_failure(&slow, IP, next).await.unwrap();

    assert!(!fail_attempt(store, &["a"], next).await);
}

#[tokio::test]
async fn a_count_of_the_previous_version_is_kept_until_its_window_ends() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    // The previous version had neither counts in flight nor levels.
    let counted = format!(
        "INSERT INTO throttles (key, attempts, resets_at) VALUES ('a', 3, {})",
        (NOW + MINUTE).millis()
    );
    store.writer().execute_unprepared(&counted).await.unwrap();

    let during = store.delete_expired_rows(NOW + MINUTE).await.unwrap();
    let refused = charge(store, &["a"], NOW + MINUTE / 2).await;
    let after = store.delete_expired_rows(NOW + 2 * MINUTE).await.unwrap();

    assert_eq!([during, after], [0, 1]);
    let resets_at = NOW + MINUTE;
    assert_eq!(
        refused,
        ChargeResult::Exhausted {
            budget: 0,
            resets_at
        }
    );
}

#[tokio::test]
async fn attempts_that_end_together_are_counted_one_by_one() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    let mut attempts = Vec::new();
    for _ in 0..3 {
        attempts.push(reserved(charge(store, &["network", "account"], NOW).await));
    }
    let refunded = attempts.pop().unwrap();

    let (failed, refund) = tokio::join!(
        run_concurrently(attempts.into_iter().map(|reservations| {
            let store = store.clone();
            async move { store.record_failure(&reservations, IP, NOW).await }
        })),
        store.refund_attempt(&refunded),
    );

    for result in failed {
        result.unwrap();
    }
    refund.unwrap();
    assert!(fail_attempt(store, &["network", "account"], NOW).await);
    assert!(!fail_attempt(store, &["network"], NOW).await);
    assert!(!fail_attempt(store, &["account"], NOW).await);
}

#[tokio::test]
async fn failures_that_use_a_budget_up_together_are_one_event() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    let mut attempts = Vec::new();
    for _ in 0..3 {
        attempts.push(reserved(charge(store, &["a", "b"], NOW).await));
    }

    run_concurrently(attempts.into_iter().map(|reservations| {
        let store = store.clone();
        async move { store.record_failure(&reservations, IP, NOW).await.unwrap() }
    }))
    .await;

    let events = test_store.events().await;
    let kinds: Vec<EventKind> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::LoginThrottled]);
}

#[tokio::test]
async fn a_login_refunds_its_attempt() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let store = &test_store.store;

    for _ in 0..10 {
        let reservations = reserved(charge(store, &["a", "b"], NOW).await);
        let started = store.create_session(&alice, new_session(), &reservations, NOW);
        started.await.unwrap().unwrap();
    }

    assert!(matches!(
        charge(store, &["a", "b"], NOW).await,
        ChargeResult::Reserved(_)
    ));
}

#[tokio::test]
async fn concurrent_attempts_on_all_replicas_never_exceed_a_budget_and_leave_nothing_in_flight() {
    let test_store = TestStore::start().await;
    let replica = test_store.replica().await;

    // Every third attempt succeeds. All share a network, and pairs of them an account.
    let attempts = (0..60).map(|index| {
        let store = [&test_store.store, &replica][index % 2].clone();
        async move {
            let account = format!("account {}", index / 2);
            let keys = ["network", account.as_str()];
            loop {
                match charge(&store, &keys, NOW).await {
                    ChargeResult::Reserved(reservations) if index % 3 == 0 => {
                        store.refund_attempt(&reservations).await.unwrap();
                        return 0;
                    }
                    ChargeResult::Reserved(reservations) => {
                        store.record_failure(&reservations, IP, NOW).await.unwrap();
                        return 1;
                    }
                    ChargeResult::Exhausted { .. } => return 0,
                    ChargeResult::FullyReserved => tokio::task::yield_now().await,
                }
            }
        }
    });
    let failures: u32 = run_concurrently(attempts).await.into_iter().sum();

    assert_eq!(failures, 3);
    let rows = entity::throttle::Entity::find();
    let rows = rows.all(test_store.store.reader()).await.unwrap();
    assert!(rows.iter().all(|row| row.in_flight == 0), "{rows:?}");
    let counted: i64 = rows.iter().map(|row| row.attempts).sum();
    // Each failure is counted for its network and its account.
    assert_eq!(counted, 6);
}
