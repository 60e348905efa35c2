//! The end of everything, after a restore or a leak of the root secret.

use super::super::{DenylistEpoch, EndCause, EndOfEverything, StoredSigningKey};
use super::*;
use crate::rotation::SessionEnd;

pub(super) fn end() -> EndOfEverything {
    EndOfEverything {
        cause: EndCause::Restored,
        period: period(NOW),
        epoch: DenylistEpoch {
            epoch: "after the restore".to_owned(),
            run_id: String::new(),
            changed_at: NOW,
        },
    }
}

fn key(kid: &str) -> StoredSigningKey {
    StoredSigningKey {
        kid: kid.to_owned(),
        algorithm: "EdDSA".to_owned(),
        public_jwk: "{}".to_owned(),
        sealed_private: "sealed".to_owned(),
        created_at: NOW,
        active_from: NOW,
        retiring_from: None,
        gone_from: None,
    }
}

async fn version_of(store: &Store, user: &User) -> u64 {
    let found = entity::user::Entity::find_by_id(user.id.as_str());
    let row = found.one(store.writer()).await.unwrap().unwrap();
    u64::try_from(row.authority_version).unwrap()
}

#[tokio::test]
async fn a_restore_outdates_versions_that_the_backup_does_not_know() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    let alice = test_store.user("alice").await;
    let session = test_store.log_in(&alice).await;
    let known = version_of(store, &alice).await;

    store.end_everything(&end(), |_| Vec::new()).await.unwrap();

    // The clock of the database was ahead by a month when these were issued, after the backup.
    let month = 30 * 24 * 60 * 60 * 1000;
    for version in [0, known, known + 1, known + month] {
        let status = test_store.status(&session, version).await;
        assert_eq!(status, TokenStatus::Outdated, "{version}");
    }
    let new = version_of(store, &alice).await;
    let later = test_store.log_in(&alice).await;
    let status = test_store.status(&later, new).await;
    assert_eq!(status, TokenStatus::NotDenied);
}

#[tokio::test]
async fn a_restore_ends_every_session_also_one_that_was_kept() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    let (alice, bob) = (test_store.user("alice").await, test_store.user("bob").await);
    let sessions = [
        test_store.log_in(&alice).await,
        test_store.log_in(&bob).await,
    ];
    let revocation = Revocation {
        reason: RevokeReason::PasswordChanged,
        period: period(NOW),
    };
    let kept = store.revoke_all_sessions(
        &alice.id,
        Some(&sessions[0].id),
        &revocation,
        &Actor::Operator,
    );
    kept.await.unwrap();
    assert_eq!(test_store.stored(&sessions[0]).await.end(NOW), None);

    let users = store.end_everything(&end(), |_| Vec::new()).await.unwrap();

    assert_eq!(users, 2);
    for session in &sessions {
        let ended = SessionEnd::Revoked(RevokeReason::Restored);
        assert_eq!(test_store.stored(session).await.end(NOW), Some(ended));
        for generation in [0, 7] {
            let outcome = test_store.present_token(session, generation, NOW).await;
            assert_eq!(outcome, RotationOutcome::Ended(ended), "{generation}");
        }
    }
    let later = test_store.log_in(&alice).await;
    assert_eq!(test_store.stored(&later).await.end(NOW), None);
}

#[tokio::test]
async fn a_restore_replaces_the_keys_and_the_epoch_and_records_one_event() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    let seen = store
        .revise_keys(|_| vec![key("in the backup")])
        .await
        .unwrap();
    assert_eq!(seen.len(), 1);

    let revise = |present: &[StoredSigningKey]| {
        let gone = StoredSigningKey {
            gone_from: Some(NOW),
            ..present[0].clone()
        };
        vec![gone, key("new")]
    };
    store.end_everything(&end(), revise).await.unwrap();

    let keys = store.keys().await.unwrap();
    let gone: Vec<_> = keys
        .iter()
        .map(|key| (key.kid.as_str(), key.gone_from))
        .collect();
    assert_eq!(gone, [("in the backup", Some(NOW)), ("new", None)]);
    assert_eq!(store.epoch().await.unwrap(), end().epoch);
    let page = EventPageRequest {
        after: None,
        limit: 10,
    };
    let kinds = store.events(&page).await.unwrap();
    let kinds: Vec<_> = kinds.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::DatabaseRestored]);
}
