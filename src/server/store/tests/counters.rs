//! Throttles.

use super::super::{Attempt, Counter};
use super::*;

fn three_a_minute(key: &str) -> Counter {
    Counter {
        key: key.to_owned(),
        attempts: 3,
        window: MINUTE,
        username: None,
    }
}

#[tokio::test]
async fn as_many_parallel_attempts_as_allowed_go_through_on_all_replicas_together() {
    let latchet = Latchet::start().await;
    let replica = latchet.replica().await;

    let attempts = at_once((0..40).map(|index| {
        let store = [&latchet.store, &replica][index % 2].clone();
        async move {
            store
                .attempt(&[three_a_minute("account:alice")], IP, NOW)
                .await
        }
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
    let attempt = async |key, now| latchet.store.attempt(&[three_a_minute(key)], IP, now).await;
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
    let counters = [three_a_minute("a"), three_a_minute("b")];

    for _ in 0..10 {
        let attempt = store.attempt(&counters, IP, NOW).await.unwrap();
        assert_eq!(attempt, Attempt::Allowed);
        store.give_back_attempt(&counters, NOW).await.unwrap();
    }
    store.give_back_attempt(&counters, NOW).await.unwrap();

    let mut allowed = 0;
    for _ in 0..10 {
        let attempt = store.attempt(&counters, IP, NOW).await.unwrap();
        allowed += u32::from(attempt == Attempt::Allowed);
    }
    assert_eq!(allowed, 3);
}

#[tokio::test]
async fn what_one_counter_refuses_the_next_does_not_count() {
    let latchet = Latchet::start().await;
    let store = &latchet.store;
    let (address, account) = (three_a_minute("address"), three_a_minute("account"));
    let both = [address, account.clone()];

    for _ in 0..10 {
        store.attempt(&both, IP, NOW).await.unwrap();
    }

    // Three were let through by the address and counted on the account, so it is used up.
    store
        .give_back_attempt(std::slice::from_ref(&account), NOW)
        .await
        .unwrap();
    let last = store
        .attempt(std::slice::from_ref(&account), IP, NOW)
        .await
        .unwrap();
    assert_eq!(last, Attempt::Allowed);
}
