//! Succession of signing keys.

use super::*;
use crate::test_app::TestApp;

const MINUTE: Duration = Duration::from_mins(1);
const START: Time = Time::from_secs(1_800_000_000);

fn key(kid: &str, active_from: Time) -> StoredSigningKey {
    StoredSigningKey {
        kid: kid.to_owned(),
        algorithm: "EdDSA".to_owned(),
        public_jwk: String::new(),
        sealed_private: String::new(),
        created_at: START,
        active_from,
        retiring_from: None,
        gone_from: None,
    }
}

fn states(keys: &[StoredSigningKey], now: Time) -> Vec<(&str, KeyState)> {
    keys.iter()
        .map(|key| (key.kid.as_str(), KeyState::of(key, now)))
        .collect()
}

#[test]
fn a_gradual_rollover_publishes_first_and_retires_later() {
    let old = key("old", START - MINUTE);
    let next = key("new", START + MINUTE);

    let keys = plan_takeover(&[old], next, Rollover::Gradual, START + MINUTE * 10);

    let at = |minutes| states(&keys, START + MINUTE * minutes);
    assert_eq!(at(0), [("old", KeyState::Active), ("new", KeyState::Next)]);
    assert_eq!(
        at(1),
        [("old", KeyState::Retiring), ("new", KeyState::Active)]
    );
    assert_eq!(at(10), [("old", KeyState::Gone), ("new", KeyState::Active)]);
}

#[test]
fn a_rollover_is_refused_while_another_one_is_pending() {
    let waiting = key("waiting", START + MINUTE);
    let next = key("new", START + MINUTE * 2);

    assert!(plan_takeover(&[waiting], next, Rollover::Gradual, START + MINUTE * 10).is_empty());
}

#[test]
fn a_leaked_key_and_all_waiting_keys_are_gone_at_once() {
    let leaked = key("leaked", START - MINUTE);
    let waiting = key("waiting", START + MINUTE);

    let keys = plan_takeover(
        &[leaked, waiting],
        key("new", START),
        Rollover::AtOnce,
        START,
    );

    let gone = KeyState::Gone;
    let expected = [
        ("leaked", gone),
        ("waiting", gone),
        ("new", KeyState::Active),
    ];
    assert_eq!(states(&keys, START), expected);
}

#[test]
fn a_leaked_key_is_gone_at_once_for_a_replica_whose_clock_is_behind() {
    let leaked = key("leaked", START - MINUTE * 60);
    let (active_from, gone_from) = takeover_times(Rollover::AtOnce, START, MINUTE * 15);

    let next = StoredSigningKey {
        created_at: START,
        ..key("new", active_from)
    };
    let keys = plan_takeover(&[leaked], next, Rollover::AtOnce, gone_from);

    let expected = [("leaked", KeyState::Gone), ("new", KeyState::Active)];
    assert_eq!(states(&keys, START - CLOCK_SKEW), expected);
    assert_eq!(states(&keys, START), expected);
}

#[test]
fn a_key_that_retires_already_is_not_kept_longer() {
    let retiring = StoredSigningKey {
        retiring_from: Some(START - MINUTE),
        gone_from: Some(START + MINUTE),
        ..key("retiring", START - MINUTE * 9)
    };

    let keys = plan_takeover(
        std::slice::from_ref(&retiring),
        key("new", START + MINUTE * 5),
        Rollover::Gradual,
        START + MINUTE * 20,
    );

    assert_eq!(keys[0], retiring);
}

/// A replica that reads the keys every few seconds logs each change once.
#[tokio::test]
async fn a_rotation_changes_the_keys_of_another_replica_once() {
    let test = TestApp::open(&[]).await;
    let keyring = &test.app.signing_keys.keyring;
    let now = test.app.clock.now();
    let before = keyring.loaded.load_full();
    for _ in 0..2 {
        keyring
            .rotate(Algorithm::EdDsa, Rollover::AtOnce, &Actor::Operator, now)
            .await
            .unwrap();
    }
    keyring.loaded.store(before);

    assert!(keyring.reload(now).await.unwrap());
    for _ in 0..2 {
        assert!(!keyring.reload(now).await.unwrap());
    }
}

#[test]
fn a_restore_keeps_the_algorithm_of_the_active_key_and_no_key() {
    let mut retiring = key("retiring", START - MINUTE * 2);
    retiring.retiring_from = Some(START - MINUTE);
    let mut active = key("active", START - MINUTE);
    active.algorithm = "ES256".to_owned();
    let present = [retiring, active, key("waiting", START + MINUTE)];
    let derived = &Arc::new(DerivedKeys::derive("a root secret of this test"));

    let replacement = KeyReplacement::generate(&present, Algorithm::EdDsa, derived, START).unwrap();
    let keys = replacement.revise(&present);

    let (last, old) = keys.split_last().unwrap();
    assert_eq!(last.algorithm, "ES256");
    assert_eq!(KeyState::of(last, START), KeyState::Active);
    assert_eq!(old.len(), 3);
    for key in old {
        assert_eq!(KeyState::of(key, START), KeyState::Gone, "{}", key.kid);
    }
    let first = KeyReplacement::generate(&[], Algorithm::EdDsa, derived, START).unwrap();
    assert_eq!(first.revise(&[])[0].algorithm, "EdDSA");
}
