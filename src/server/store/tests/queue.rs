//! What callers see when the writer cannot serve them.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::super::Inner;
use super::super::rotate::{Job, QUEUED, Queue};
use super::*;

/// A store whose rotations nobody settles, and where they end up.
fn without_writer(latchet: &Latchet) -> (Store, mpsc::Receiver<Job>) {
    let (sender, receiver) = mpsc::channel(QUEUED);
    let store = Store(Arc::new(Inner {
        connections: latchet.store.0.connections.clone(),
        rotations: Queue(sender),
    }));
    (store, receiver)
}

fn is_unavailable(answer: &Result<Rotation, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Unavailable(_)))
}

#[tokio::test]
async fn a_batch_that_is_lost_fails_its_callers_at_once() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;
    let (store, mut queue) = without_writer(&latchet);

    let (answer, ()) = tokio::join!(store.rotate(presented(&session, 0), NOW, RULES), async {
        drop(queue.recv().await);
    },);

    assert!(is_unavailable(&answer), "{answer:?}");
}

#[tokio::test]
async fn without_a_writer_callers_fail_at_once() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;
    let (store, queue) = without_writer(&latchet);
    drop(queue);

    let answer = store.rotate(presented(&session, 0), NOW, RULES).await;

    assert!(is_unavailable(&answer), "{answer:?}");
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;
    let (store, _queue) = without_writer(&latchet);
    for _ in 0..QUEUED {
        let waiting = store.rotate(presented(&session, 0), NOW, RULES);
        let answer = tokio::time::timeout(Duration::ZERO, waiting).await;
        assert!(answer.is_err(), "it did not wait: {answer:?}");
    }

    let answer = store.rotate(presented(&session, 0), NOW, RULES).await;

    assert!(is_unavailable(&answer), "{answer:?}");
}
