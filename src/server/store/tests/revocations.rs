//! Revocations, the denylist epoch, and the deletion of old rows.

use super::super::Epoch;
use super::*;

#[tokio::test]
async fn what_is_revoked_is_denied_and_nothing_else() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;
    let store = &latchet.store;
    latchet.log_out(&session, NOW).await;
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

    let denied = Denied::Token("t1".to_owned());
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
    let latchet = Latchet::start().await;
    let store = &latchet.store;
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
    let token = |jti: &str| Denied::Token(jti.to_owned());
    let expected: [Vec<_>; 4] = [
        vec![token("a"), token("b")],
        vec![token("c")],
        vec![],
        vec![token("d")],
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_number_is_not_used_again_after_its_row_was_deleted() {
    let latchet = Latchet::start().await;
    let store = &latchet.store;
    store.revoke_token("a", NOW + MINUTE, NOW).await.unwrap();
    let first = store.revocations_after(0, 1, NOW).await.unwrap();
    let later = NOW + 2 * MINUTE;
    store.collect_garbage(later).await.unwrap();

    store
        .revoke_token("b", later + MINUTE, later)
        .await
        .unwrap();

    let second = store.revocations_after(0, 1, later).await.unwrap();
    assert!(second[0].seq > first[0].seq);
}

#[tokio::test]
async fn an_epoch_replaces_the_one_before() {
    let latchet = Latchet::start().await;
    let store = &latchet.store;
    let before = store.epoch().await.unwrap();
    let next = Epoch {
        epoch: "e1".to_owned(),
        run_id: "r1".to_owned(),
        changed_at: NOW,
    };

    store.begin_epoch(&next).await.unwrap();

    assert_eq!(before.epoch, "");
    assert_eq!(latchet.replica().await.epoch().await.unwrap(), next);
}

#[tokio::test]
async fn garbage_is_what_ended_a_week_ago() {
    const WEEK: Duration = Duration::from_hours(7 * 24);
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let live = latchet.login(&alice).await;
    let logged_out = latchet.login(&alice).await;
    latchet.log_out(&logged_out, NOW).await;
    let store = &latchet.store;
    let ended = live.state.expires_at;

    let early = store.collect_garbage(NOW + ACCESS_TTL).await.unwrap();
    let revocation = store.collect_garbage(NOW + WEEK).await.unwrap();
    let revoked = store.collect_garbage(NOW + WEEK + MINUTE).await.unwrap();
    let kept = store.collect_garbage(ended + WEEK).await.unwrap();
    let expired = store.collect_garbage(ended + WEEK + MINUTE).await.unwrap();

    assert_eq!([early, revocation, revoked, kept, expired], [0, 1, 1, 0, 1]);
    assert_eq!(store.session(&live.id).await.unwrap(), None);
    assert!(store.user(&alice.id).await.unwrap().is_some());
}
