//! Revocations, the denylist epoch, and the deletion of old rows.

use super::super::DenylistEpoch;
use super::*;

#[tokio::test]
async fn only_revoked_sessions_and_tokens_are_denied() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;
    let store = &test_store.store;
    test_store.log_out(&session, NOW).await;
    let token = store.revoke_token("t1", NOW + MINUTE, NOW).await;

    let sid = session.id.as_str();
    let table = [
        (Some(sid), "any", true),
        (Some("other"), "t1", true),
        (None, "t1", true),
        (Some("other"), "t2", false),
        // The ids of sessions and tokens are separate.
        (None, sid, false),
        (Some("t1"), "t2", false),
    ];

    let denied = DenialTarget::Token("t1".to_owned());
    let not_after = NOW + MINUTE;
    assert_eq!(token.unwrap(), Denial { denied, not_after });
    for (sid, jti, expected) in table {
        let ids = TokenIds {
            sid,
            jti,
            sub: session.user_id.as_str(),
            authority_version: 0,
        };
        let status = store.token_status(ids).await.unwrap();
        let expected = if expected {
            TokenStatus::Revoked
        } else {
            TokenStatus::NotDenied
        };
        assert_eq!(status, expected, "{sid:?} {jti}");
    }
}

#[tokio::test]
async fn revocations_are_read_in_pages_and_followed() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    for jti in ["a", "b", "b", "c"] {
        store.revoke_token(jti, NOW + MINUTE, NOW).await.unwrap();
    }
    store.revoke_token("short", NOW, NOW).await.unwrap();

    let first = store.revocations_after(0, 2, NOW).await.unwrap();
    let second = store.revocations_after(first[1].seq, 2, NOW).await.unwrap();
    let end = store
        .revocations_after(second[0].seq, 2, NOW)
        .await
        .unwrap();
    store.revoke_token("d", NOW + MINUTE, NOW).await.unwrap();
    let followed = store
        .revocations_after(second[0].seq, 2, NOW)
        .await
        .unwrap();

    let seen: Vec<_> = [first, second, end, followed]
        .iter()
        .map(|page| {
            page.iter()
                .map(|entry| entry.denial.denied.clone())
                .collect::<Vec<_>>()
        })
        .collect();
    let token = |jti: &str| DenialTarget::Token(jti.to_owned());
    let expected: [Vec<_>; 4] = [
        vec![token("a"), token("b")],
        vec![token("c")],
        vec![],
        vec![token("d")],
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_sequence_number_is_not_reused_after_its_row_was_deleted() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    store.revoke_token("a", NOW + MINUTE, NOW).await.unwrap();
    let first = store.revocations_after(0, 1, NOW).await.unwrap();
    let later = NOW + 2 * MINUTE;
    store.delete_expired_rows(later).await.unwrap();

    store
        .revoke_token("b", later + MINUTE, later)
        .await
        .unwrap();

    let second = store.revocations_after(0, 1, later).await.unwrap();
    assert!(second[0].seq > first[0].seq);
}

#[tokio::test]
async fn a_new_epoch_replaces_the_previous_one() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    let before = store.epoch().await.unwrap();
    let next = DenylistEpoch {
        epoch: "e1".to_owned(),
        run_id: "r1".to_owned(),
        changed_at: NOW,
    };

    store.begin_epoch(&next).await.unwrap();

    assert_eq!(before.epoch, "");
    assert_eq!(test_store.replica().await.epoch().await.unwrap(), next);
}

#[tokio::test]
async fn sessions_are_deleted_a_week_after_their_end() {
    const WEEK: Duration = Duration::from_hours(7 * 24);
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let live = test_store.log_in(&alice).await;
    let logged_out = test_store.log_in(&alice).await;
    test_store.log_out(&logged_out, NOW).await;
    let store = &test_store.store;
    let ended = live.state.expires_at;

    let early = store.delete_expired_rows(NOW + ACCESS_TTL).await.unwrap();
    let revocation = store.delete_expired_rows(NOW + WEEK).await.unwrap();
    let revoked = store
        .delete_expired_rows(NOW + WEEK + MINUTE)
        .await
        .unwrap();
    let kept = store.delete_expired_rows(ended + WEEK).await.unwrap();
    let expired = store
        .delete_expired_rows(ended + WEEK + MINUTE)
        .await
        .unwrap();

    assert_eq!([early, revocation, revoked, kept, expired], [0, 1, 1, 0, 1]);
    assert_eq!(store.session(&live.id).await.unwrap(), None);
    assert!(store.user(&alice.id).await.unwrap().is_some());
}
