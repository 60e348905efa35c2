//! Lifetimes of access tokens, announced by several servers of one database.

use super::*;
use crate::token_lifetimes::TokenLifetimes;

const LONG: Duration = Duration::from_mins(20);
const SHORT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_process_with_a_shorter_lifetime_denies_for_the_longest_announced_one() {
    let test_store = TestStore::start().await;
    let server = TokenLifetimes::new(test_store.store.clone(), LONG);
    let command_line = TokenLifetimes::new(test_store.replica().await, SHORT);

    assert_eq!(server.lifetime_to_issue().await.unwrap(), LONG);

    assert_eq!(command_line.longest_in_use().await.unwrap(), LONG);
    assert_eq!(server.longest_in_use().await.unwrap(), LONG);
}

#[tokio::test]
async fn without_announcements_the_own_setting_counts() {
    let test_store = TestStore::start().await;
    let command_line = TokenLifetimes::new(test_store.store.clone(), SHORT);

    assert_eq!(command_line.longest_in_use().await.unwrap(), SHORT);
    let announced = test_store.store.longest_lifetime().await.unwrap();
    assert_eq!(
        announced, None,
        "a process that issues no tokens announces nothing"
    );
}

#[tokio::test]
async fn a_longer_lifetime_is_announced_before_it_is_issued() {
    let test_store = TestStore::start().await;
    let before = TokenLifetimes::new(test_store.store.clone(), SHORT);
    let after = TokenLifetimes::new(test_store.replica().await, LONG);
    before.lifetime_to_issue().await.unwrap();

    let first = after.lifetime_to_issue().await.unwrap();

    assert_eq!(
        first, SHORT,
        "a revocation in progress may not know the longer one"
    );
    assert_eq!(after.longest_in_use().await.unwrap(), LONG);
    assert_eq!(before.lifetime_to_issue().await.unwrap(), SHORT);
}

#[tokio::test]
async fn a_shorter_lifetime_is_issued_at_once_and_the_longer_one_still_counts() {
    let test_store = TestStore::start().await;
    let before = TokenLifetimes::new(test_store.store.clone(), LONG);
    let after = TokenLifetimes::new(test_store.replica().await, SHORT);
    before.lifetime_to_issue().await.unwrap();

    assert_eq!(after.lifetime_to_issue().await.unwrap(), SHORT);
    assert_eq!(after.longest_in_use().await.unwrap(), LONG);
}

#[tokio::test]
async fn every_server_announces_a_longer_lifetime_before_using_it() {
    let test_store = TestStore::start().await;
    let before = TokenLifetimes::new(test_store.store.clone(), SHORT);
    before.lifetime_to_issue().await.unwrap();

    // The same setting on two replicas, and on one that is restarted at once.
    for _ in 0..3 {
        let after = TokenLifetimes::new(test_store.replica().await, LONG);
        assert_eq!(after.lifetime_to_issue().await.unwrap(), SHORT);
    }
}
