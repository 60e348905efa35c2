//! Rotation by the writer of batches.

use std::sync::Arc;

use futures_util::FutureExt;

use super::super::Current;
use super::*;
use crate::server::rotation::{End, KeyHash};

const SECOND: Duration = Duration::from_secs(1);

fn current(rotation: Rotation) -> Arc<Current> {
    match rotation {
        Rotation::Rotated(current) | Rotation::Replayed(current) => current,
        other => panic!("no successor: {other:?}"),
    }
}

#[tokio::test]
async fn the_current_token_gets_a_successor_that_is_stored() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;

    let rotation = latchet.show(&session, 0, NOW + MINUTE).await;

    let Rotation::Rotated(current) = rotation else {
        panic!("{rotation:?}")
    };
    assert_eq!(
        current.session.state,
        session.state.rotated(None, NOW + MINUTE)
    );
    assert_eq!(current.session, latchet.stored(&session).await);
    assert_eq!(current.owner.roles, ["reader"]);
    assert_eq!(current.owner.disabled_at, None);
}

#[tokio::test]
async fn a_superseded_token_is_answered_with_the_same_successor_inside_grace() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;
    let first = current(latchet.show(&session, 0, NOW + MINUTE).await);

    let again = latchet.show(&session, 0, NOW + MINUTE + 9 * SECOND).await;

    assert_eq!(again, Rotation::Replayed(first));
}

#[tokio::test]
async fn a_key_is_stored_with_the_rotation_and_forgotten_with_the_next() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;
    let key = Some(KeyHash::new([7; 32]));
    let show = async |key: Option<KeyHash>, generation: u64, now: Time| {
        let shown = Presented {
            key,
            ..presented(&session, generation)
        };
        latchet.store.rotate(shown, now, RULES).await.unwrap()
    };
    let first = current(show(key, 0, NOW).await);
    let hours_later = NOW + Duration::from_hours(8);

    let stored = latchet.stored(&session).await;
    let again = show(key, 0, hours_later).await;
    show(None, 1, hours_later).await;
    let after = latchet.stored(&session).await;

    assert_eq!(stored.state.key, key);
    assert_eq!(again, Rotation::Replayed(first));
    assert_eq!(after.state.key, None);
}

#[tokio::test]
async fn reuse_revokes_the_session_and_denies_it() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;
    latchet.show(&session, 0, NOW).await;
    let late = NOW + 10 * SECOND;

    let reused = latchet.show(&session, 0, late).await;
    let after = latchet.show(&session, 1, late).await;

    let denials = vec![denial(&session, late + ACCESS_TTL)];
    let user = session.user_id.clone();
    assert_eq!(reused, Rotation::Reused { user, denials });
    let revoked = End::Revoked(RevokeReason::Reuse);
    assert_eq!(after, Rotation::Ended(revoked));
    assert!(latchet.is_denied(&session).await);
    assert_eq!(latchet.revoked_at(&session).await, Some(late));
}

#[tokio::test]
async fn reuse_in_one_session_leaves_the_others_of_its_user() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let stolen = latchet.login(&alice).await;
    let other = latchet.login(&alice).await;
    latchet.show(&stolen, 0, NOW).await;

    latchet.show(&stolen, 0, NOW + MINUTE).await;

    assert!(!latchet.is_denied(&other).await);
    let rotation = latchet.show(&other, 0, NOW + MINUTE).await;
    assert!(matches!(rotation, Rotation::Rotated(_)), "{rotation:?}");
}

#[tokio::test]
async fn a_generation_that_was_never_made_changes_nothing() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;

    for generation in [1, 16, u64::MAX] {
        let rotation = latchet.show(&session, generation, NOW).await;

        assert_eq!(rotation, Rotation::Unknown);
    }
    assert_eq!(latchet.stored(&session).await, session);
}

#[tokio::test]
async fn an_ended_session_says_how_it_ended() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let logged_out = latchet.login(&alice).await;
    let rested = latchet.login(&alice).await;
    latchet.log_out(&logged_out, NOW).await;

    let revoked = latchet.show(&logged_out, 0, NOW).await;
    let expired = latchet
        .show(&rested, 0, NOW + Duration::from_hours(336))
        .await;

    let logout = End::Revoked(RevokeReason::Logout);
    assert_eq!(revoked, Rotation::Ended(logout));
    assert_eq!(expired, Rotation::Ended(End::Expired));
    assert_eq!(latchet.stored(&rested).await, rested);
}

#[tokio::test]
async fn a_token_of_another_user_or_of_no_session_is_refused() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;
    let bob = latchet.user("bob").await;
    let of_bob = Presented {
        user: bob.id,
        ..presented(&session, 0)
    };
    let of_none = Presented {
        session: SessionId::random(),
        ..presented(&session, 0)
    };

    for shown in [of_bob, of_none] {
        let rotation = latchet.store.rotate(shown, NOW, RULES).await.unwrap();

        assert_eq!(rotation, Rotation::NoSuchSession);
    }
    assert_eq!(latchet.stored(&session).await, session);
}

#[tokio::test]
async fn one_token_shown_a_hundred_times_at_once_to_three_replicas_has_one_successor() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;
    let mut replicas = vec![latchet.store.clone()];
    replicas.push(latchet.replica().await);
    replicas.push(latchet.replica().await);

    let rotations = at_once((0..100).map(|shown| {
        let (store, session) = (replicas[shown % 3].clone(), session.clone());
        async move { show(&store, &session, 0, NOW + MINUTE).await }
    }))
    .await;

    let successor = latchet.stored(&session).await;
    // Rotated once: of all replicas that rotated in this millisecond, one wrote the row.
    assert_eq!(successor.state, session.state.rotated(None, NOW + MINUTE));
    for rotation in rotations {
        assert_eq!(current(rotation).session, successor);
    }
}

#[tokio::test]
async fn large_batches_of_two_replicas_over_the_same_sessions_agree() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let mut sessions = Vec::new();
    for _ in 0..300 {
        sessions.push(latchet.login(&alice).await);
    }
    let replicas = [latchet.store.clone(), latchet.replica().await];

    for generation in 0..3 {
        let shown = sessions.iter().flat_map(|session| {
            replicas.iter().map(|store| {
                let (store, session) = (store.clone(), session.clone());
                async move { show(&store, &session, generation, NOW + MINUTE).await }
            })
        });
        let rotations = at_once(shown.collect::<Vec<_>>()).await;

        let mut successors = rotations.into_iter().map(current);
        for session in &sessions {
            let (one, other) = (successors.next(), successors.next());
            assert_eq!(one, other);
            let successor = one.unwrap().session.clone();
            assert_eq!(successor.id, session.id);
            assert_eq!(successor.state.generation, generation + 1);
            assert_eq!(latchet.stored(session).await, successor);
        }
    }
}

#[tokio::test]
async fn a_session_logged_out_while_it_rotates_stays_logged_out() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let replica = latchet.replica().await;

    for _ in 0..30 {
        let session = latchet.login(&alice).await;
        let (store, other) = (latchet.store.clone(), replica.clone());
        let (rotating, id) = (session.clone(), session.id.clone());
        let race = async move {
            let logout = because(RevokeReason::Logout, NOW);
            tokio::join!(
                show(&store, &rotating, 0, NOW),
                show(&other, &rotating, 0, NOW),
                other.revoke_session(&id, None, &logout, None),
            )
        };
        let (_, _, denials) = race.await;

        assert_eq!(denials.unwrap(), [denial(&session, NOW + ACCESS_TTL)]);
        let ended = Rotation::Ended(End::Revoked(RevokeReason::Logout));
        for generation in [0, 1] {
            assert_eq!(latchet.show(&session, generation, NOW).await, ended);
        }
        assert!(latchet.is_denied(&session).await);
    }
}

#[tokio::test]
async fn a_theft_and_its_victim_in_one_batch_end_the_session() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;
    latchet.show(&session, 0, NOW).await;
    let late = NOW + MINUTE;

    let (victim, thief, again) = tokio::join!(
        latchet.show(&session, 1, late),
        latchet.show(&session, 0, late),
        latchet.show(&session, 2, late),
    );

    assert!(matches!(victim, Rotation::Rotated(_)), "{victim:?}");
    assert!(matches!(thief, Rotation::Reused { .. }), "{thief:?}");
    let ended = End::Revoked(RevokeReason::Reuse);
    assert_eq!(again, Rotation::Ended(ended));
    let stored = latchet.stored(&session).await;
    assert_eq!(stored.state.revoked, Some(RevokeReason::Reuse));
    assert!(latchet.is_denied(&session).await);
}

#[tokio::test]
async fn a_rotation_finishes_when_its_caller_hangs_up() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;

    // It is queued, and dropped before any other task runs.
    let hung_up = latchet.show(&session, 0, NOW).now_or_never();
    let again = latchet.show(&session, 0, NOW).await;

    assert_eq!(hung_up, None);
    assert!(matches!(again, Rotation::Replayed(_)), "{again:?}");
}
