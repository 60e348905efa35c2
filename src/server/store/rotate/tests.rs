//! Results of callers when the writer cannot serve them, and late writes.

use std::sync::Arc;

use futures_util::FutureExt;
use sea_orm::{ConnectionTrait, DbBackend};

use super::super::Inner;
use super::super::database::Database;
use super::super::tests::{Latchet, NOW, RULES, presented};
use super::statements::{DatabaseTime, Step};
use super::*;

/// A store without a writer, and the receiver of its queue.
fn without_writer(latchet: &Latchet) -> (Store, mpsc::Receiver<Job>) {
    let (sender, receiver) = mpsc::channel(QUEUED);
    let store = Store(Arc::new(Inner {
        url: latchet.store.0.url.clone(),
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
async fn the_writer_ends_with_its_queue() {
    let latchet = Latchet::start().await;
    let (sender, receiver) = mpsc::channel(QUEUED);
    drop(sender);

    let writer = write(latchet.store.0.connections.clone(), receiver);

    let ended = tokio::time::timeout(LIMIT, writer).await;
    assert!(ended.is_ok(), "it waits although its queue is closed");
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;
    let (store, _queue) = without_writer(&latchet);
    for _ in 0..QUEUED {
        let waiting = store.rotate(presented(&session, 0), NOW, RULES);
        let answer = waiting.now_or_never();
        assert!(answer.is_none(), "it did not wait: {answer:?}");
    }

    let answer = store.rotate(presented(&session, 0), NOW, RULES).await;

    assert!(is_unavailable(&answer), "{answer:?}");
}

#[tokio::test]
async fn what_waited_too_long_is_not_written() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;
    let (store, mut queue) = without_writer(&latchet);
    let connections = store.0.connections.clone();

    let late = async {
        let job = queue.recv().await.unwrap();
        let asked = job.asked.checked_sub(LIMIT).unwrap();
        batch::settle(connections, None, vec![Job { asked, ..job }]).await;
    };
    let (answer, ()) = tokio::join!(store.rotate(presented(&session, 0), NOW, RULES), late);

    assert!(is_unavailable(&answer), "{answer:?}");
    assert_eq!(latchet.stored(&session).await, session);
}

#[tokio::test]
async fn one_prepared_statement_serves_batches_of_several_sizes() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;
    let mut connection = latchet.hold().await;
    let ids = [&session.id].into();
    let (_, read_at) = statements::read(&mut connection, ids).await.unwrap();
    let next = session.state.rotated(None, NOW);
    let others: Vec<SessionId> = (0..4).map(|_| SessionId::random()).collect();

    for size in [4, 3, 4] {
        let steps: Vec<Step> = others[..size]
            .iter()
            .map(|id| Step {
                id,
                from: 0,
                to: &next,
                csrf_epoch: 0,
            })
            .collect();
        let moved = statements::advance(&mut connection, &steps, read_at + LIMIT).await;

        assert_eq!(moved.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_statement_that_reaches_the_database_late_writes_nothing() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;
    let mut connection = latchet.hold().await;
    let ids = [&session.id].into();
    let (_, read_at): (_, DatabaseTime) = statements::read(&mut connection, ids).await.unwrap();
    let next = session.state.rotated(None, NOW);
    let step = Step {
        id: &session.id,
        from: 0,
        to: &next,
        csrf_epoch: 0,
    };

    let late = statements::advance(&mut connection, &[step], read_at).await;

    assert_eq!(late.unwrap(), 0);
    assert_eq!(latchet.stored(&session).await, session);
}

/// Returns the result of rotating `session` after `sql` was run.
async fn advanced_after(
    latchet: &Latchet,
    session: &Session,
    sql: &str,
) -> Result<u64, StoreError> {
    let mut connection = latchet.hold().await;
    let ids = [&session.id].into();
    let (_, read_at) = statements::read(&mut connection, ids).await.unwrap();
    drop(connection);
    latchet
        .store
        .writer()
        .execute_unprepared(sql)
        .await
        .unwrap();
    let step = Step {
        id: &session.id,
        from: 0,
        to: &session.state.rotated(None, NOW),
        csrf_epoch: 0,
    };
    let mut connection = latchet.hold().await;
    statements::advance(&mut connection, &[step], read_at + LIMIT).await
}

#[tokio::test]
async fn a_database_that_fails_has_not_been_outrun() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;

    let gone = advanced_after(&latchet, &session, "ALTER TABLE sessions RENAME TO gone").await;

    assert!(gone.is_err(), "{gone:?}");
}

#[tokio::test]
async fn what_postgresql_ended_to_free_another_is_judged_anew() {
    let latchet = Latchet::start().await;
    if latchet.hold().await.backend() != DbBackend::Postgres {
        return; // SQLite has one writer, so there are no deadlocks.
    }
    let session = latchet.alice_logged_in().await;
    let ends_every_update = "
        CREATE FUNCTION end_it() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE deadlock_detected; END $$;
        CREATE TRIGGER ends_it BEFORE UPDATE ON sessions FOR EACH ROW EXECUTE FUNCTION end_it()";

    let moved = advanced_after(&latchet, &session, ends_every_update).await;

    assert_eq!(moved.unwrap(), 0);
}

#[tokio::test]
async fn a_writer_that_rests_holds_no_connection() {
    let latchet = Latchet::start().await;
    if latchet.hold().await.backend() != DbBackend::Postgres {
        return; // On SQLite the connection is returned after each batch.
    }
    let session = latchet.alice_logged_in().await;

    latchet.show(&session, 0, NOW).await;

    let Database::Postgres(pool, _) = latchet.store.writer() else {
        panic!("this is PostgreSQL");
    };
    let deadline = Instant::now() + LIMIT;
    while !pool.is_at_rest() {
        assert!(Instant::now() < deadline, "a connection is still in use");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
