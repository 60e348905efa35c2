//! Rotation by the writer of batches.

use std::sync::Arc;

use futures_util::FutureExt;

use super::super::SessionWithOwner;
use super::*;
use crate::rotation::{RetryKeyHash, SessionEnd};

const SECOND: Duration = Duration::from_secs(1);

fn current(rotation: RotationOutcome) -> Arc<SessionWithOwner> {
    match rotation {
        RotationOutcome::Rotated(current) | RotationOutcome::Retried(current) => current,
        other => panic!("no successor: {other:?}"),
    }
}

#[tokio::test]
async fn the_current_token_gets_a_successor_that_is_stored() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;

    let rotation = test_store.present_token(&session, 0, NOW + MINUTE).await;

    let RotationOutcome::Rotated(current) = rotation else {
        panic!("{rotation:?}")
    };
    assert_eq!(
        current.session.state,
        session.state.rotated(None, NOW + MINUTE)
    );
    assert_eq!(current.session, test_store.stored(&session).await);
    assert_eq!(current.owner.roles, ["reader"]);
    assert_eq!(current.owner.disabled_at, None);
}

#[tokio::test]
async fn a_superseded_token_receives_the_same_successor_inside_grace() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;
    let first = current(test_store.present_token(&session, 0, NOW + MINUTE).await);

    let again = test_store
        .present_token(&session, 0, NOW + MINUTE + 9 * SECOND)
        .await;

    assert_eq!(again, RotationOutcome::Retried(first));
}

#[tokio::test]
async fn a_retry_key_is_stored_with_the_rotation_and_removed_by_the_next() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;
    let retry_key = Some(RetryKeyHash::new([7; 32]));
    let present_token = async |retry_key: Option<RetryKeyHash>, generation: u64, now: Time| {
        let token = PresentedRefreshToken {
            retry_key: retry_key.map(Into::into),
            ..presented_token(&session, generation)
        };
        test_store
            .store
            .rotate(token, now, ROTATION_SETTINGS)
            .await
            .unwrap()
    };
    let first = current(present_token(retry_key, 0, NOW).await);
    let hours_later = NOW + Duration::from_hours(8);

    let stored = test_store.stored(&session).await;
    let again = present_token(retry_key, 0, hours_later).await;
    present_token(None, 1, hours_later).await;
    let after = test_store.stored(&session).await;

    assert_eq!(stored.state.retry_key, retry_key);
    assert_eq!(again, RotationOutcome::Retried(first));
    assert_eq!(after.state.retry_key, None);
}

#[tokio::test]
async fn reuse_revokes_the_session_and_denies_it() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;
    test_store.present_token(&session, 0, NOW).await;
    let late = NOW + 10 * SECOND;

    let reused = test_store.present_token(&session, 0, late).await;
    let after = test_store.present_token(&session, 1, late).await;

    let denials = vec![denial(&session, late + ACCESS_TTL)];
    let user = session.user_id.clone();
    assert_eq!(reused, RotationOutcome::Reused { user, denials });
    let revoked = SessionEnd::Revoked(RevokeReason::Reuse);
    assert_eq!(after, RotationOutcome::Ended(revoked));
    assert!(test_store.is_denied(&session).await);
    assert_eq!(test_store.revoked_at(&session).await, Some(late));
}

#[tokio::test]
async fn reuse_in_one_session_leaves_the_others_of_its_user() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let stolen = test_store.log_in(&alice).await;
    let other = test_store.log_in(&alice).await;
    test_store.present_token(&stolen, 0, NOW).await;

    test_store.present_token(&stolen, 0, NOW + MINUTE).await;

    assert!(!test_store.is_denied(&other).await);
    let rotation = test_store.present_token(&other, 0, NOW + MINUTE).await;
    assert!(
        matches!(rotation, RotationOutcome::Rotated(_)),
        "{rotation:?}"
    );
}

#[tokio::test]
async fn a_generation_that_does_not_exist_changes_nothing() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;

    for generation in [1, 16, u64::MAX] {
        let rotation = test_store.present_token(&session, generation, NOW).await;

        assert_eq!(rotation, RotationOutcome::UnknownGeneration);
    }
    assert_eq!(test_store.stored(&session).await, session);
}

#[tokio::test]
async fn an_ended_session_reports_the_reason_of_its_end() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let logged_out = test_store.log_in(&alice).await;
    let after_idle_limit = test_store.log_in(&alice).await;
    test_store.log_out(&logged_out, NOW).await;

    let revoked = test_store.present_token(&logged_out, 0, NOW).await;
    let expired = test_store
        .present_token(&after_idle_limit, 0, NOW + Duration::from_hours(336))
        .await;

    let logout = SessionEnd::Revoked(RevokeReason::Logout);
    assert_eq!(revoked, RotationOutcome::Ended(logout));
    assert_eq!(expired, RotationOutcome::Ended(SessionEnd::Expired));
    assert_eq!(test_store.stored(&after_idle_limit).await, after_idle_limit);
}

#[tokio::test]
async fn a_token_of_another_user_or_of_no_session_is_refused() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;
    let bob = test_store.user("bob").await;
    let of_bob = PresentedRefreshToken {
        user: bob.id,
        ..presented_token(&session, 0)
    };
    let of_none = PresentedRefreshToken {
        session: SessionId::random(),
        ..presented_token(&session, 0)
    };

    for token in [of_bob, of_none] {
        let rotation = test_store
            .store
            .rotate(token, NOW, ROTATION_SETTINGS)
            .await
            .unwrap();

        assert_eq!(rotation, RotationOutcome::NoSuchSession);
    }
    assert_eq!(test_store.stored(&session).await, session);
}

#[tokio::test]
async fn a_token_presented_concurrently_to_three_replicas_has_one_successor() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;
    let mut replicas = vec![test_store.store.clone()];
    replicas.push(test_store.replica().await);
    replicas.push(test_store.replica().await);

    let rotations = run_concurrently((0..100).map(|index| {
        let (store, session) = (replicas[index % 3].clone(), session.clone());
        async move { present_token(&store, &session, 0, NOW + MINUTE).await }
    }))
    .await;

    let successor = test_store.stored(&session).await;
    // Rotated once: of all replicas that rotated in this millisecond, one wrote the row.
    assert_eq!(successor.state, session.state.rotated(None, NOW + MINUTE));
    for rotation in rotations {
        assert_eq!(current(rotation).session, successor);
    }
}

#[tokio::test]
async fn large_batches_of_two_replicas_over_the_same_sessions_agree() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let mut sessions = Vec::new();
    for _ in 0..300 {
        sessions.push(test_store.log_in(&alice).await);
    }
    let replicas = [test_store.store.clone(), test_store.replica().await];

    for generation in 0..3 {
        let token = sessions.iter().flat_map(|session| {
            replicas.iter().map(|store| {
                let (store, session) = (store.clone(), session.clone());
                async move { present_token(&store, &session, generation, NOW + MINUTE).await }
            })
        });
        let rotations = run_concurrently(token.collect::<Vec<_>>()).await;

        let mut successors = rotations.into_iter().map(current);
        for session in &sessions {
            let (one, other) = (successors.next(), successors.next());
            assert_eq!(one, other);
            let successor = one.unwrap().session.clone();
            assert_eq!(successor.id, session.id);
            assert_eq!(successor.state.generation, generation + 1);
            assert_eq!(test_store.stored(session).await, successor);
        }
    }
}

#[tokio::test]
async fn a_session_logged_out_while_it_rotates_stays_logged_out() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let replica = test_store.replica().await;

    for _ in 0..30 {
        let session = test_store.log_in(&alice).await;
        let (store, other) = (test_store.store.clone(), replica.clone());
        let (rotating, id) = (session.clone(), session.id.clone());
        let race = async move {
            let logout = revocation_for(RevokeReason::Logout, NOW);
            tokio::join!(
                present_token(&store, &rotating, 0, NOW),
                present_token(&other, &rotating, 0, NOW),
                other.revoke_session(&id, None, &logout, None),
            )
        };
        let (_, _, denials) = race.await;

        assert_eq!(denials.unwrap(), [denial(&session, NOW + ACCESS_TTL)]);
        let ended = RotationOutcome::Ended(SessionEnd::Revoked(RevokeReason::Logout));
        for generation in [0, 1] {
            assert_eq!(
                test_store.present_token(&session, generation, NOW).await,
                ended
            );
        }
        assert!(test_store.is_denied(&session).await);
    }
}

#[tokio::test]
async fn a_thief_and_the_victim_in_one_batch_end_the_session() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;
    test_store.present_token(&session, 0, NOW).await;
    let late = NOW + MINUTE;

    let (victim, thief, again) = tokio::join!(
        test_store.present_token(&session, 1, late),
        test_store.present_token(&session, 0, late),
        test_store.present_token(&session, 2, late),
    );

    assert!(matches!(victim, RotationOutcome::Rotated(_)), "{victim:?}");
    assert!(matches!(thief, RotationOutcome::Reused { .. }), "{thief:?}");
    let ended = SessionEnd::Revoked(RevokeReason::Reuse);
    assert_eq!(again, RotationOutcome::Ended(ended));
    let stored = test_store.stored(&session).await;
    assert_eq!(stored.state.revoked, Some(RevokeReason::Reuse));
    assert!(test_store.is_denied(&session).await);
}

#[tokio::test]
async fn a_rotation_completes_when_its_caller_disconnects() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;

    // It is queued, and dropped before any other task runs.
    let hung_up = test_store.present_token(&session, 0, NOW).now_or_never();
    let again = test_store.present_token(&session, 0, NOW).await;

    assert_eq!(hung_up, None);
    assert!(matches!(again, RotationOutcome::Retried(_)), "{again:?}");
}
