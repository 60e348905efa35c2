use super::*;
use crate::clock_check::{ClockCheck, ClockState};
use latchet_guard::clock::Clock;

#[tokio::test]
async fn only_the_clock_of_a_database_server_can_deviate() {
    let test_store = TestStore::start().await;
    let clock = Clock::system();
    let check = ClockCheck::new(test_store.store.clone(), clock.clone());
    assert_eq!(check.state().await.unwrap(), ClockState::Agrees);

    clock.shift(20 * 60 * 1000);

    let state = check.state().await.unwrap();
    let has_clock = test_store.store.database_time().await.unwrap().is_some();
    assert_eq!(matches!(state, ClockState::Deviates(_)), has_clock);
    assert_eq!(check.require_agreement().await.is_err(), has_clock);
}

#[tokio::test]
async fn a_fast_clock_neither_deletes_nor_skips_revocations_that_the_database_still_needs() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    // SQLite uses the clock of the caller, so the clocks cannot differ.
    let Some(now) = store.database_time().await.unwrap() else {
        return assert_eq!(test_store.url.kind(), DatabaseKind::Sqlite);
    };
    store
        .revoke_token("a", now + ACCESS_TTL, now)
        .await
        .unwrap();
    let ahead = now + MINUTE * 20;

    let deleted = store.delete_expired_rows(ahead).await.unwrap();
    let followed = store.revocations_after(0, 500, ahead).await.unwrap();

    assert_eq!(deleted, 0);
    assert_eq!(followed.len(), 1);
    let ids = TokenIds {
        sid: None,
        jti: "a",
        sub: "a user",
        authority_version: 0,
    };
    let status = store.token_status(ids).await.unwrap();
    assert_eq!(status, TokenStatus::Revoked);
}
