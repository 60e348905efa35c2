//! Results of callers when the writer cannot serve them, and late writes.

use std::sync::Arc;

use futures_util::FutureExt;
use sea_orm::{ConnectionTrait, DbBackend};

use tokio::sync::mpsc;

use super::super::StoreInner;
use super::super::database::DatabaseHandle;
use super::super::tests::{NOW, ROTATION_SETTINGS, TestStore, presented_token};
use super::statements::{DatabaseTime, GenerationUpdate};
use super::*;

/// A store without a writer, and the receiver of its queue.
fn without_writer(test_store: &TestStore) -> (Store, mpsc::Receiver<RotationRequest>) {
    let (rotations, receiver) = BatchQueue::without_task();
    let shared = &test_store.store.0;
    let store = Store(Arc::new(StoreInner {
        rotations,
        ..StoreInner::new(shared.url.clone(), shared.connections.clone())
    }));
    (store, receiver)
}

fn is_unavailable(result: &Result<RotationOutcome, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unavailable(_)))
}

#[tokio::test]
async fn a_failed_batch_fails_its_callers_at_once() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;
    let (store, mut queue) = without_writer(&test_store);

    let (result, ()) = tokio::join!(
        store.rotate(presented_token(&session, 0), NOW, ROTATION_SETTINGS),
        async {
            drop(queue.recv().await);
        },
    );

    assert!(is_unavailable(&result), "{result:?}");
}

#[tokio::test]
async fn without_a_writer_callers_fail_at_once() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;
    let (store, queue) = without_writer(&test_store);
    drop(queue);

    let result = store
        .rotate(presented_token(&session, 0), NOW, ROTATION_SETTINGS)
        .await;

    assert!(is_unavailable(&result), "{result:?}");
}

#[tokio::test]
async fn a_full_queue_refuses_further_requests_at_once() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;
    let (store, _queue) = without_writer(&test_store);
    for _ in 0..store.refresh_queue().max {
        let waiting = store.rotate(presented_token(&session, 0), NOW, ROTATION_SETTINGS);
        let result = waiting.now_or_never();
        assert!(result.is_none(), "it did not wait: {result:?}");
    }

    let result = store
        .rotate(presented_token(&session, 0), NOW, ROTATION_SETTINGS)
        .await;

    assert!(is_unavailable(&result), "{result:?}");
}

#[tokio::test]
async fn a_request_that_waited_too_long_is_not_written() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;
    let (store, mut queue) = without_writer(&test_store);
    let connections = store.0.connections.clone();

    let late_batch = async {
        let request = queue.recv().await.unwrap();
        let received_at = request.received_at.checked_sub(QUERY_DEADLINE).unwrap();
        batch::process_batch(
            connections,
            None,
            vec![RotationRequest {
                received_at,
                ..request
            }],
        )
        .await;
    };
    let (result, ()) = tokio::join!(
        store.rotate(presented_token(&session, 0), NOW, ROTATION_SETTINGS),
        late_batch
    );

    assert!(is_unavailable(&result), "{result:?}");
    assert_eq!(test_store.stored(&session).await, session);
}

#[tokio::test]
async fn one_prepared_statement_serves_batches_of_several_sizes() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;
    let mut connection = test_store.acquire_batch_connection().await;
    let ids = [&session.id].into();
    let (_, read_at) = statements::read_sessions(&mut connection, ids)
        .await
        .unwrap();
    let next = session.state.rotated(None, NOW);
    let others: Vec<SessionId> = (0..4).map(|_| SessionId::random()).collect();

    for size in [4, 3, 4] {
        let updates: Vec<GenerationUpdate> = others[..size]
            .iter()
            .map(|id| GenerationUpdate {
                id,
                read_generation: 0,
                next_state: &next,
                csrf_epoch: 0,
            })
            .collect();
        let changed_rows =
            statements::update_generations(&mut connection, &updates, read_at + QUERY_DEADLINE)
                .await;

        assert_eq!(changed_rows.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_statement_after_its_deadline_writes_nothing() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;
    let mut connection = test_store.acquire_batch_connection().await;
    let ids = [&session.id].into();
    let (_, read_at): (_, DatabaseTime) = statements::read_sessions(&mut connection, ids)
        .await
        .unwrap();
    let next = session.state.rotated(None, NOW);
    let update = GenerationUpdate {
        id: &session.id,
        read_generation: 0,
        next_state: &next,
        csrf_epoch: 0,
    };

    let late_batch = statements::update_generations(&mut connection, &[update], read_at).await;

    assert_eq!(late_batch.unwrap(), 0);
    assert_eq!(test_store.stored(&session).await, session);
}

/// Returns the result of rotating `session` after `sql` was run.
async fn update_generations_after(
    test_store: &TestStore,
    session: &Session,
    sql: &str,
) -> Result<u64, StoreError> {
    let mut connection = test_store.acquire_batch_connection().await;
    let ids = [&session.id].into();
    let (_, read_at) = statements::read_sessions(&mut connection, ids)
        .await
        .unwrap();
    drop(connection);
    test_store
        .store
        .writer()
        .execute_unprepared(sql)
        .await
        .unwrap();
    let update = GenerationUpdate {
        id: &session.id,
        read_generation: 0,
        next_state: &session.state.rotated(None, NOW),
        csrf_epoch: 0,
    };
    let mut connection = test_store.acquire_batch_connection().await;
    statements::update_generations(&mut connection, &[update], read_at + QUERY_DEADLINE).await
}

#[tokio::test]
async fn a_database_error_is_not_a_conflict() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;

    let failed =
        update_generations_after(&test_store, &session, "ALTER TABLE sessions RENAME TO gone")
            .await;

    assert!(failed.is_err(), "{failed:?}");
}

#[tokio::test]
async fn a_statement_that_postgresql_aborted_because_of_a_deadlock_counts_as_a_conflict() {
    let test_store = TestStore::start().await;
    if test_store.acquire_batch_connection().await.backend() != DbBackend::Postgres {
        return; // SQLite has one writer, so there are no deadlocks.
    }
    let session = test_store.log_in_alice().await;
    let ends_every_update = "
        CREATE FUNCTION end_it() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE deadlock_detected; END $$;
        CREATE TRIGGER ends_it BEFORE UPDATE ON sessions FOR EACH ROW EXECUTE FUNCTION end_it()";

    let changed_rows = update_generations_after(&test_store, &session, ends_every_update).await;

    assert_eq!(changed_rows.unwrap(), 0);
}

#[tokio::test]
async fn an_idle_writer_holds_no_connection() {
    let test_store = TestStore::start().await;
    if test_store.acquire_batch_connection().await.backend() != DbBackend::Postgres {
        return; // On SQLite the connection is returned after each batch.
    }
    let session = test_store.log_in_alice().await;

    test_store.present_token(&session, 0, NOW).await;

    let DatabaseHandle::Postgres(pool, _) = test_store.store.writer() else {
        panic!("this is PostgreSQL");
    };
    let deadline = Instant::now() + QUERY_DEADLINE;
    while !pool.is_idle() {
        assert!(Instant::now() < deadline, "a connection is still in use");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
