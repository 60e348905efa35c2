//! Rotation of the root secret: interrupted, concurrent, and with the wrong secret.

use super::*;
use crate::App;
use crate::keyring::{KeyringError, Rollover};
use crate::security_events::{Actor, EventKind};
use crate::store::{EventPageRequest, StoredSigningKey};
use crate::test_app::TestApp;
use latchet_guard::keys::Algorithm;

const OLD: &str = "0123456789abcdefghijklmnopqrstuv";
const NEW: &str = "vutsrqponmlkjihgfedcba9876543210";

/// An app with three signing keys under the old secret.
async fn app() -> TestApp {
    let test = TestApp::open(&[("LATCHET_ROOT_SECRET", OLD)]).await;
    for _ in 0..2 {
        add_key(&test.app).await.unwrap();
    }
    test
}

async fn add_key(app: &App) -> Result<StoredSigningKey, KeyringError> {
    let keyring = &app.signing_keys.keyring;
    let now = app.clock.now();
    keyring
        .rotate(Algorithm::EdDsa, Rollover::AtOnce, &Actor::Operator, now)
        .await
}

fn rotation(test: &TestApp, previous: &str) -> RootSecretRotation {
    RootSecretRotation {
        store: test.app.store.clone(),
        derived: Arc::new(DerivedKeys::derive(NEW).with_previous(previous)),
        clock: test.app.clock.clone(),
        values_per_transaction: 1,
    }
}

async fn counts(rotation: &RootSecretRotation) -> (usize, usize, usize) {
    let counts = rotation.counts(SealedColumn::SigningKeys).await.unwrap();
    (counts.current, counts.previous, counts.neither.len())
}

async fn events(test: &TestApp) -> usize {
    let page = EventPageRequest {
        after: None,
        limit: 50,
    };
    let events = test.app.store.events(&page).await.unwrap();
    let rotated = |kind| kind == EventKind::RootSecretRotated;
    events.iter().filter(|event| rotated(event.kind)).count()
}

#[tokio::test]
async fn an_interrupted_rotation_is_completed_by_the_next_one() {
    let test = app().await;
    let rotation = rotation(&test, OLD);
    let now = Some(test.app.clock.now());
    let column = SealedColumn::SigningKeys;

    let first = rotation
        .reseal_page(column, "", now)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((first.previous, first.resealed), (1, 1));
    assert_eq!(counts(&rotation).await, (1, 2, 0));
    let completed = rotation.run().await.unwrap();

    assert_eq!(completed, 2);
    assert_eq!(counts(&rotation).await, (3, 0, 0));
    assert_eq!(events(&test).await, 2);
    assert_eq!(rotation.run().await.unwrap(), 0);
    assert_eq!(events(&test).await, 2, "nothing was sealed again");
    let new_alone = DerivedKeys::derive(NEW);
    for key in test.app.store.keys().await.unwrap() {
        assert!(new_alone.open(&key.kid, &key.sealed_private).is_ok());
    }
}

#[tokio::test]
async fn rotations_and_new_keys_at_the_same_time_lose_nothing() {
    let test = app().await;
    let (one, other) = (rotation(&test, OLD), rotation(&test, OLD));

    let (one_done, other_done, added) = tokio::join!(one.run(), other.run(), add_key(&test.app));

    one_done.unwrap();
    other_done.unwrap();
    added.unwrap();
    // The key of the server with the old secret may be newer than both passes.
    one.run().await.unwrap();
    assert_eq!(counts(&one).await, (4, 0, 0));
}

#[tokio::test]
async fn a_value_that_was_changed_meanwhile_is_not_replaced() {
    let test = app().await;
    let key = test.app.store.keys().await.unwrap().remove(0);
    let stale = ResealedValue {
        id: key.kid.clone(),
        old: "another text".to_owned(),
        new: "lost".to_owned(),
    };

    let column = SealedColumn::SigningKeys;
    let now = Some(test.app.clock.now());
    let replaced = test.app.store.reseal(column, &[stale], now).await.unwrap();

    assert_eq!(replaced, 0);
    assert_eq!(events(&test).await, 0);
    assert!(test.app.store.keys().await.unwrap().contains(&key));
}

#[tokio::test]
async fn with_a_wrong_previous_secret_nothing_changes() {
    let test = app().await;
    let before = test.app.store.keys().await.unwrap();
    let wrong = rotation(&test, "abcdefghijklmnopqrstuvwxyz012345");

    let error = wrong.run().await.unwrap_err();

    let RotationError::CannotOpen { id, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(before.iter().any(|key| key.kid == *id), "{error}");
    assert_eq!(test.app.store.keys().await.unwrap(), before);
    assert_eq!(events(&test).await, 0);
}
