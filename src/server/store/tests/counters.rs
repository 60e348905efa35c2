//! Budgets of failed attempts.

use super::super::{Budget, Charge, Counter, Protected};
use super::*;

fn three_a_minute(key: &str) -> Budget {
    Budget {
        key: key.to_owned(),
        limit: 3,
        window: MINUTE,
        protects: Protected::Logins,
    }
}

async fn charge(store: &Store, keys: &[&str], now: Time) -> Charge {
    let budgets: Vec<Budget> = keys.iter().map(|key| three_a_minute(key)).collect();
    store.charge(&budgets, now).await.unwrap()
}

#[track_caller]
fn placed(charge: Charge) -> Vec<Counter> {
    match charge {
        Charge::Placed(counters) => counters,
        other => panic!("{other:?}"),
    }
}

/// Makes a failed attempt, and returns whether the budgets allowed it.
async fn guess(store: &Store, keys: &[&str], now: Time) -> bool {
    match charge(store, keys, now).await {
        Charge::Placed(counters) => {
            store.record_failure(&counters, IP, now).await.unwrap();
            true
        }
        Charge::UsedUp { .. } => false,
        Charge::Occupied => panic!("nothing is in flight"),
    }
}

#[tokio::test]
async fn as_many_parallel_attempts_as_allowed_go_through_on_all_replicas_together() {
    let latchet = Latchet::start().await;
    let replica = latchet.replica().await;

    let charges = at_once((0..40).map(|index| {
        let store = [&latchet.store, &replica][index % 2].clone();
        async move { charge(&store, &["account:alice"], NOW).await }
    }))
    .await;

    let is_placed = |charge: &&Charge| matches!(charge, Charge::Placed(_));
    assert_eq!(charges.iter().filter(is_placed).count(), 3);
    let is_occupied = |charge: &&Charge| matches!(charge, Charge::Occupied);
    assert_eq!(charges.iter().filter(is_occupied).count(), 37);
}

#[tokio::test]
async fn only_failures_use_a_budget_up() {
    let latchet = Latchet::start().await;
    let store = &latchet.store;

    for _ in 0..10 {
        let counters = placed(charge(store, &["a", "b"], NOW).await);
        store.give_back_attempt(&counters).await.unwrap();
        // A second time changes nothing.
        store.give_back_attempt(&counters).await.unwrap();
    }
    let mut guesses = 0;
    for _ in 0..10 {
        guesses += u32::from(guess(store, &["a", "b"], NOW).await);
    }

    assert_eq!(guesses, 3);
}

#[tokio::test]
async fn a_failure_on_one_replica_refuses_at_the_other() {
    let latchet = Latchet::start().await;
    let replica = latchet.replica().await;
    for _ in 0..3 {
        assert!(guess(&latchet.store, &["a"], NOW).await);
    }

    let refused = charge(&replica, &["a"], NOW + MINUTE / 2).await;

    let resets_at = NOW + MINUTE;
    assert_eq!(
        refused,
        Charge::UsedUp {
            budget: 0,
            resets_at
        }
    );
}

#[tokio::test]
async fn windows_that_are_used_up_in_a_row_double_and_then_no_more() {
    let latchet = Latchet::start().await;
    let store = &latchet.store;
    let mut now = NOW;
    let mut lengths = Vec::new();

    for _ in 0..5 {
        while guess(store, &["a"], now).await {}
        let Charge::UsedUp { resets_at, .. } = charge(store, &["a"], now).await else {
            panic!("the budget is used up");
        };
        lengths.push(resets_at.since(now) / 60);
        now = resets_at;
    }

    let seconds = [1, 2, 4, 4, 4].map(Duration::from_secs);
    assert_eq!(lengths, seconds);
    // After an unused window of the same length, the next window has the initial length.
    now = now + 4 * MINUTE;
    while guess(store, &["a"], now).await {}
    let refused = charge(store, &["a"], now).await;
    let resets_at = now + MINUTE;
    assert_eq!(
        refused,
        Charge::UsedUp {
            budget: 0,
            resets_at
        }
    );
}

#[tokio::test]
async fn a_window_with_a_success_does_not_make_the_next_one_longer() {
    let latchet = Latchet::start().await;
    let store = &latchet.store;
    for _ in 0..2 {
        guess(store, &["a"], NOW).await;
    }
    let counters = placed(charge(store, &["a"], NOW).await);
    store.give_back_attempt(&counters).await.unwrap();

    let after = NOW + MINUTE;
    while guess(store, &["a"], after).await {}

    let refused = charge(store, &["a"], after).await;
    let resets_at = after + MINUTE;
    assert_eq!(
        refused,
        Charge::UsedUp {
            budget: 0,
            resets_at
        }
    );
}

#[tokio::test]
async fn what_one_budget_refuses_is_counted_on_none() {
    let latchet = Latchet::start().await;
    let store = &latchet.store;
    while guess(store, &["account"], NOW).await {}

    for _ in 0..10 {
        let refused = charge(store, &["address", "account"], NOW).await;
        assert!(
            matches!(refused, Charge::UsedUp { budget: 1, .. }),
            "{refused:?}"
        );
    }

    for _ in 0..3 {
        assert!(guess(store, &["address"], NOW).await);
    }
}

#[tokio::test]
async fn attempts_that_are_never_decided_are_given_back_after_a_while() {
    let latchet = Latchet::start().await;
    let store = &latchet.store;
    let mut lost = Vec::new();
    for _ in 0..3 {
        lost = placed(charge_an_hour(store, NOW).await);
    }
    assert_eq!(charge_an_hour(store, NOW + MINUTE).await, Charge::Occupied);

    let later = NOW + 2 * MINUTE;
    let counters = placed(charge_an_hour(store, later).await);
    store.record_failure(&counters, IP, later).await.unwrap();

    // A result that comes so late is refused, and changes nothing.
    let late = store.record_failure(&lost, IP, later).await;
    assert!(matches!(late, Err(StoreError::Conflict)), "{late:?}");
    for _ in 0..2 {
        let counters = placed(charge_an_hour(store, later).await);
        store.record_failure(&counters, IP, later).await.unwrap();
    }
    let refused = charge_an_hour(store, later).await;
    assert!(matches!(refused, Charge::UsedUp { .. }), "{refused:?}");
}

async fn charge_an_hour(store: &Store, now: Time) -> Charge {
    let budget = Budget {
        window: 60 * MINUTE,
        ..three_a_minute("hour")
    };
    store.charge(&[budget], now).await.unwrap()
}

#[tokio::test]
async fn an_attempt_that_is_decided_in_the_next_window_changes_nothing_there() {
    let latchet = Latchet::start().await;
    let store = &latchet.store;
    let slow = placed(charge(store, &["a"], NOW).await);
    let next = NOW + MINUTE;
    while guess(store, &["a"], next).await {}

    store.give_back_attempt(&slow).await.unwrap();
    store.record_failure(&slow, IP, next).await.unwrap();

    assert!(!guess(store, &["a"], next).await);
}

#[tokio::test]
async fn a_count_of_the_version_before_is_kept_until_its_window_ends() {
    let latchet = Latchet::start().await;
    let store = &latchet.store;
    // The previous version had neither counts in flight nor levels.
    let counted = format!(
        "INSERT INTO throttles (key, attempts, resets_at) VALUES ('a', 3, {})",
        (NOW + MINUTE).millis()
    );
    store.writer().execute_unprepared(&counted).await.unwrap();

    let during = store.collect_garbage(NOW + MINUTE).await.unwrap();
    let refused = charge(store, &["a"], NOW + MINUTE / 2).await;
    let after = store.collect_garbage(NOW + 2 * MINUTE).await.unwrap();

    assert_eq!([during, after], [0, 1]);
    let resets_at = NOW + MINUTE;
    assert_eq!(
        refused,
        Charge::UsedUp {
            budget: 0,
            resets_at
        }
    );
}
