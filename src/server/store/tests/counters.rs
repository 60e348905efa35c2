//! Throttles.

use super::super::{Allowance, Attempt};
use super::*;

const THREE_A_MINUTE: Allowance = Allowance {
    attempts: 3,
    window: MINUTE,
};

#[tokio::test]
async fn as_many_parallel_attempts_as_allowed_go_through_on_all_replicas_together() {
    let latchet = Latchet::start().await;
    let replica = latchet.replica().await;

    let attempts = at_once((0..40).map(|index| {
        let store = [&latchet.store, &replica][index % 2].clone();
        async move { store.attempt("account:alice", THREE_A_MINUTE, NOW).await }
    }))
    .await;

    let allowed = attempts
        .iter()
        .filter(|attempt| matches!(attempt, Ok(Attempt::Allowed)));
    assert_eq!(allowed.count(), 3);
}

#[tokio::test]
async fn a_window_ends_and_refusals_do_not_lengthen_it() {
    let latchet = Latchet::start().await;
    let attempt = |key, now| latchet.store.attempt(key, THREE_A_MINUTE, now);
    for _ in 0..3 {
        assert_eq!(attempt("a", NOW).await.unwrap(), Attempt::Allowed);
    }

    let refused = attempt("a", NOW + MINUTE / 2).await.unwrap();
    let other = attempt("b", NOW).await.unwrap();
    let after = attempt("a", NOW + MINUTE).await.unwrap();

    let retry_after = MINUTE / 2;
    assert_eq!(refused, Attempt::Refused { retry_after });
    assert_eq!(other, Attempt::Allowed);
    assert_eq!(after, Attempt::Allowed);
}

#[tokio::test]
async fn honest_attempts_are_given_back() {
    let latchet = Latchet::start().await;
    let store = &latchet.store;

    for _ in 0..10 {
        let attempt = store.attempt("a", THREE_A_MINUTE, NOW).await.unwrap();
        assert_eq!(attempt, Attempt::Allowed);
        store.give_back_attempt("a", NOW).await.unwrap();
    }
    store.give_back_attempt("a", NOW).await.unwrap();

    let mut allowed = 0;
    for _ in 0..10 {
        let attempt = store.attempt("a", THREE_A_MINUTE, NOW).await.unwrap();
        allowed += u32::from(attempt == Attempt::Allowed);
    }
    assert_eq!(allowed, 3);
}
