//! Batches whose sessions another replica writes between reading and writing.

use std::time::Duration;

use sea_orm::DbBackend;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::super::QUERY_DEADLINE;
use super::super::super::RotationSettings;
use super::super::super::tests::{NOW, ROTATION_SETTINGS, TestStore, presented_token};
use super::*;
use crate::rotation::{Grace, SessionState, Superseded};
use latchet_guard::clock::Time;

const LATER: Time = Time::from_millis(NOW.millis() + 60_000);

fn request(session: &Session, generation: u64, now: Time) -> RotationRequest {
    RotationRequest {
        presented: presented_token(session, generation),
        now,
        settings: ROTATION_SETTINGS,
        received_at: Instant::now(),
        reply: oneshot::channel().0,
    }
}

/// Returns the pending writes of a replica that has read these sessions and decided about the first token of
/// each.
async fn pending_writes(
    test_store: &TestStore,
    sessions: &[&Session],
    now: Time,
) -> (BatchedSessions, DatabaseTime) {
    let ids = sessions.iter().map(|session| &session.id).collect();
    let mut connection = test_store.acquire_batch_connection().await;
    let (mut batched_sessions, read_at) = statements::read_sessions(&mut connection, ids)
        .await
        .unwrap();
    for session in sessions {
        let batched_session = batched_sessions.get_mut(&session.id).unwrap();
        batched_session.evaluate(&request(session, 0, now));
    }
    (batched_sessions, read_at + QUERY_DEADLINE)
}

#[tokio::test]
async fn a_result_is_unchanged_by_later_requests_of_the_same_batch() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;
    let ids = [&session.id].into();
    let mut connection = test_store.acquire_batch_connection().await;
    let (mut batched_sessions, _) = statements::read_sessions(&mut connection, ids)
        .await
        .unwrap();
    let batched_session = batched_sessions.get_mut(&session.id).unwrap();

    let results =
        [0, 1, 0].map(|generation| batched_session.evaluate(&request(&session, generation, LATER)));

    let results = results.map(|rotation| match rotation {
        RotationOutcome::Rotated(current) => ("rotated", current.session.state.generation),
        RotationOutcome::Retried(current) => ("replayed", current.session.state.generation),
        other => panic!("no successor: {other:?}"),
    });
    assert_eq!(results, [("rotated", 1), ("rotated", 2), ("replayed", 2)]);
    let update = batched_session.generation_update().unwrap();
    assert_eq!(
        (update.read_generation, update.next_state.generation),
        (0, 2)
    );
}

#[tokio::test]
async fn only_requests_that_met_a_conflict_are_repeated() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let conflicting = test_store.log_in(&alice).await;
    let alone = test_store.log_in(&alice).await;
    let (batched_sessions, deadline) =
        pending_writes(&test_store, &[&conflicting, &alone], LATER).await;
    test_store.present_token(&conflicting, 0, NOW).await;

    let mut failures = WriteFailures::new();
    write_rotations(
        test_store.acquire_batch_connection().await,
        &batched_sessions,
        deadline,
        &mut failures,
    )
    .await;

    assert!(matches!(
        failures.get(&conflicting.id),
        Some(WriteFailure::Conflict)
    ));
    assert_eq!(failures.len(), 1);
    let stored = test_store.stored(&conflicting).await;
    assert_eq!(stored.state, conflicting.state.rotated(None, NOW));
    let stored = test_store.stored(&alone).await;
    assert_eq!(stored.state, alone.state.rotated(None, LATER));
}

#[tokio::test]
async fn without_grace_one_of_two_replicas_that_rotate_in_one_millisecond_meets_a_conflict() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    for (grace, meets_conflict) in [(Grace::STRICT, true), (Grace::TEN_SECONDS, false)] {
        // With another session, so that each batch writes at least one row.
        let shared = test_store.log_in(&alice).await;
        let own = [
            test_store.log_in(&alice).await,
            test_store.log_in(&alice).await,
        ];
        let mut batches = Vec::new();
        for own in &own {
            let ids = [&shared.id, &own.id].into();
            let mut connection = test_store.acquire_batch_connection().await;
            let read = statements::read_sessions(&mut connection, ids).await;
            let (mut batched_sessions, read_at) = read.unwrap();
            for session in [&shared, own] {
                let settings = RotationSettings {
                    grace,
                    ..ROTATION_SETTINGS
                };
                let request = RotationRequest {
                    settings,
                    ..request(session, 0, LATER)
                };
                batched_sessions
                    .get_mut(&session.id)
                    .unwrap()
                    .evaluate(&request);
            }
            batches.push((batched_sessions, read_at + QUERY_DEADLINE));
        }

        let mut conflicting = Vec::new();
        for (batched_sessions, deadline) in &batches {
            let mut failures = WriteFailures::new();
            write_rotations(
                test_store.acquire_batch_connection().await,
                batched_sessions,
                *deadline,
                &mut failures,
            )
            .await;
            conflicting.push(failures.into_keys().collect::<Vec<_>>());
        }

        let expected = if meets_conflict {
            vec![shared.id]
        } else {
            vec![]
        };
        assert_eq!(conflicting, [vec![], expected], "{grace:?}");
    }
}

#[tokio::test]
async fn a_reuse_is_recorded_by_the_replica_that_ends_the_session() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let stolen = test_store.log_in(&alice).await;
    let ended = test_store.log_in(&alice).await;
    for session in [&stolen, &ended] {
        test_store.present_token(session, 0, NOW).await;
    }
    let (batched_sessions, _) = pending_writes(&test_store, &[&stolen, &ended], LATER).await;
    test_store.log_out(&ended, NOW).await;

    let mut failures = WriteFailures::new();
    revoke_reused_sessions(
        &test_store.store.0.connections,
        &batched_sessions,
        &mut failures,
    )
    .await;

    assert!(failures.is_empty());
    let reuse = Some(RevokeReason::Reuse);
    assert_eq!(test_store.stored(&stolen).await.state.revoked, reuse);
    let logout = Some(RevokeReason::Logout);
    assert_eq!(test_store.stored(&ended).await.state.revoked, logout);
    assert_eq!(
        test_store
            .sessions_of_events(EventKind::RefreshReused)
            .await,
        [stolen.id]
    );
}

#[test]
fn an_update_leads_to_its_own_state_only() {
    let read = SessionState {
        generation: 0,
        rotated_at: NOW,
        superseded: Superseded::default(),
        retry_key: None,
        expires_at: Time::MAX,
        idle_limit: Duration::from_hours(1),
        revoked: None,
    };
    let to = read.rotated(None, LATER);
    let id = SessionId::random();
    let update = GenerationUpdate {
        id: &id,
        read_generation: 0,
        next_state: &to,
        csrf_epoch: 0,
    };
    let others = [
        SessionState {
            generation: 2,
            ..to.clone()
        },
        SessionState {
            rotated_at: NOW,
            ..to.clone()
        },
        SessionState {
            superseded: Superseded::default(),
            ..to.clone()
        },
        SessionState {
            retry_key: Some(RetryKeyHash::random()),
            ..to.clone()
        },
    ];

    assert!(update.leads_to(&to, 0));
    assert!(!update.leads_to(&to, 1), "the password was changed");
    for other in others {
        assert!(!update.leads_to(&other, 0), "{other:?}");
    }
}

#[tokio::test]
async fn on_postgresql_the_connection_is_reused_unless_the_batch_failed() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;
    let is_postgres = test_store.acquire_batch_connection().await.backend() == DbBackend::Postgres;
    let (batched_sessions, deadline) = pending_writes(&test_store, &[&session], LATER).await;
    let write = async || {
        let connection = test_store.acquire_batch_connection().await;
        let reusable = write_rotations(
            connection,
            &batched_sessions,
            deadline,
            &mut WriteFailures::new(),
        )
        .await;
        reusable.is_some()
    };

    assert_eq!(write().await, is_postgres, "written");
    assert_eq!(write().await, is_postgres, "conflict");
    let break_it = "ALTER TABLE sessions RENAME TO gone";
    let db = test_store.store.writer();
    db.execute_unprepared(break_it).await.unwrap();
    assert!(!write().await, "failed");
}
