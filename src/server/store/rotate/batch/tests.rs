//! Batches whose sessions another replica writes between reading and writing.

use std::time::Duration;

use sea_orm::DbBackend;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::super::LIMIT;
use super::super::super::RotationRules;
use super::super::super::tests::{Latchet, NOW, RULES, presented};
use super::*;
use crate::clock::Time;
use crate::server::rotation::{Grace, SessionState, Superseded};

const LATER: Time = Time::from_millis(NOW.millis() + 60_000);

fn job(session: &Session, generation: u64, now: Time) -> Job {
    Job {
        presented: presented(session, generation),
        now,
        rules: RULES,
        asked: Instant::now(),
        answer: oneshot::channel().0,
    }
}

/// Returns the pending writes of a replica that has read these sessions and decided about the first token of
/// each.
async fn about_to_write(
    latchet: &Latchet,
    sessions: &[&Session],
    now: Time,
) -> (Entries, DatabaseTime) {
    let ids = sessions.iter().map(|session| &session.id).collect();
    let mut connection = latchet.hold().await;
    let (mut entries, read_at) = statements::read(&mut connection, ids).await.unwrap();
    for session in sessions {
        let entry = entries.get_mut(&session.id).unwrap();
        entry.judge(&job(session, 0, now));
    }
    (entries, read_at + LIMIT)
}

#[tokio::test]
async fn what_somebody_is_told_stays_when_the_session_moves_on_in_the_same_batch() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;
    let ids = [&session.id].into();
    let mut connection = latchet.hold().await;
    let (mut entries, _) = statements::read(&mut connection, ids).await.unwrap();
    let entry = entries.get_mut(&session.id).unwrap();

    let told = [0, 1, 0].map(|generation| entry.judge(&job(&session, generation, LATER)));

    let told = told.map(|rotation| match rotation {
        Rotation::Rotated(current) => ("rotated", current.session.state.generation),
        Rotation::Replayed(current) => ("replayed", current.session.state.generation),
        other => panic!("no successor: {other:?}"),
    });
    assert_eq!(told, [("rotated", 1), ("rotated", 2), ("replayed", 2)]);
    let step = entry.step().unwrap();
    assert_eq!((step.from, step.to.generation), (0, 2));
}

#[tokio::test]
async fn who_was_outrun_is_judged_anew_and_nobody_else() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let outrun = latchet.login(&alice).await;
    let alone = latchet.login(&alice).await;
    let (entries, deadline) = about_to_write(&latchet, &[&outrun, &alone], LATER).await;
    latchet.show(&outrun, 0, NOW).await;

    let mut fates = Fates::new();
    rotate(latchet.hold().await, &entries, deadline, &mut fates).await;

    assert!(matches!(fates.get(&outrun.id), Some(Fate::Outrun)));
    assert_eq!(fates.len(), 1);
    let stored = latchet.stored(&outrun).await;
    assert_eq!(stored.state, outrun.state.rotated(None, NOW));
    let stored = latchet.stored(&alone).await;
    assert_eq!(stored.state, alone.state.rotated(None, LATER));
}

#[tokio::test]
async fn without_grace_one_of_two_replicas_that_rotate_in_one_millisecond_is_outrun() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    for (grace, is_outrun) in [(Grace::STRICT, true), (Grace::TEN_SECONDS, false)] {
        // With another session, so that each batch writes at least one row.
        let shared = latchet.login(&alice).await;
        let own = [latchet.login(&alice).await, latchet.login(&alice).await];
        let mut batches = Vec::new();
        for own in &own {
            let ids = [&shared.id, &own.id].into();
            let mut connection = latchet.hold().await;
            let read = statements::read(&mut connection, ids).await;
            let (mut entries, read_at) = read.unwrap();
            for session in [&shared, own] {
                let rules = RotationRules { grace, ..RULES };
                let job = Job {
                    rules,
                    ..job(session, 0, LATER)
                };
                entries.get_mut(&session.id).unwrap().judge(&job);
            }
            batches.push((entries, read_at + LIMIT));
        }

        let mut outrun = Vec::new();
        for (entries, deadline) in &batches {
            let mut fates = Fates::new();
            rotate(latchet.hold().await, entries, *deadline, &mut fates).await;
            outrun.push(fates.into_keys().collect::<Vec<_>>());
        }

        let expected = if is_outrun { vec![shared.id] } else { vec![] };
        assert_eq!(outrun, [vec![], expected], "{grace:?}");
    }
}

#[tokio::test]
async fn a_reuse_is_recorded_by_the_replica_that_ends_the_session() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let stolen = latchet.login(&alice).await;
    let ended = latchet.login(&alice).await;
    for session in [&stolen, &ended] {
        latchet.show(session, 0, NOW).await;
    }
    let (entries, _) = about_to_write(&latchet, &[&stolen, &ended], LATER).await;
    latchet.log_out(&ended, NOW).await;

    let mut fates = Fates::new();
    revoke(&latchet.store.0.connections, &entries, &mut fates).await;

    assert!(fates.is_empty());
    let reuse = Some(RevokeReason::Reuse);
    assert_eq!(latchet.stored(&stolen).await.state.revoked, reuse);
    let logout = Some(RevokeReason::Logout);
    assert_eq!(latchet.stored(&ended).await.state.revoked, logout);
    assert_eq!(latchet.told_of(EventKind::RefreshReused).await, [stolen.id]);
}

#[test]
fn a_step_has_led_to_its_own_state_alone() {
    let read = SessionState {
        generation: 0,
        rotated_at: NOW,
        superseded: Superseded::default(),
        key: None,
        expires_at: Time::MAX,
        idle_limit: Duration::from_hours(1),
        revoked: None,
    };
    let to = read.rotated(None, LATER);
    let id = SessionId::random();
    let step = Step {
        id: &id,
        from: 0,
        to: &to,
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
            key: Some(KeyHash::of_no_key()),
            ..to.clone()
        },
    ];

    assert!(step.has_led_to(&to, 0));
    assert!(!step.has_led_to(&to, 1), "the password was changed");
    for other in others {
        assert!(!step.has_led_to(&other, 0), "{other:?}");
    }
}

#[tokio::test]
async fn a_connection_is_kept_on_postgresql_unless_something_went_wrong() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;
    let is_postgres = latchet.hold().await.backend() == DbBackend::Postgres;
    let (entries, deadline) = about_to_write(&latchet, &[&session], LATER).await;
    let write = async || {
        let connection = latchet.hold().await;
        let kept = rotate(connection, &entries, deadline, &mut Fates::new()).await;
        kept.is_some()
    };

    assert_eq!(write().await, is_postgres, "written");
    assert_eq!(write().await, is_postgres, "conflict");
    let break_it = "ALTER TABLE sessions RENAME TO gone";
    let db = latchet.store.writer();
    db.execute_unprepared(break_it).await.unwrap();
    assert!(!write().await, "failed");
}
