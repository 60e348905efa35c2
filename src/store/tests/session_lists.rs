//! Lists of live sessions.

use super::super::{SessionCursor, SessionPageRequest};
use super::*;

fn first_page() -> SessionPageRequest {
    SessionPageRequest {
        user: None,
        after: None,
        search: None,
        limit: 10,
    }
}

async fn ids(test_store: &TestStore, page: SessionPageRequest, now: Time) -> Vec<SessionId> {
    let listed = test_store.store.sessions(&page, now).await.unwrap();
    let ids = listed.into_iter().map(|named| named.listed.session.id);
    ids.collect()
}

#[tokio::test]
async fn pages_follow_each_other_newest_login_first() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let bob = test_store.user("bob").await;
    let mut sessions = Vec::new();
    for (user, now) in [(&alice, NOW), (&bob, NOW), (&alice, NOW + MINUTE)] {
        let created = test_store
            .store
            .create_session(user, new_session(), &[], now);
        sessions.push(listed(
            &created.await.unwrap().unwrap().current.session,
            now,
        ));
    }
    sessions.sort_by_key(|listed| (listed.created_at, listed.session.id.clone()));
    sessions.reverse();
    let expected = sessions.iter().map(|listed| listed.session.id.clone());
    let expected: Vec<SessionId> = expected.collect();

    let all = ids(&test_store, first_page(), NOW + MINUTE).await;
    for (index, session) in sessions.iter().enumerate() {
        let next = SessionPageRequest {
            after: Some(SessionCursor::of(session)),
            limit: 1,
            ..first_page()
        };
        let found = ids(&test_store, next, NOW + MINUTE).await;
        let following = expected.get(index + 1).cloned();
        assert_eq!(found, Vec::from_iter(following));
    }

    assert_eq!(all, expected);
}

#[tokio::test]
async fn a_list_of_all_sessions_names_their_users_and_omits_ended_ones() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;
    let logged_out = test_store.log_in(&test_store.user("bob").await).await;
    test_store.log_out(&logged_out, NOW).await;

    let listed = test_store.store.sessions(&first_page(), NOW).await.unwrap();
    let after_idle_limit = NOW + new_session().idle_limit;
    let later = ids(&test_store, first_page(), after_idle_limit).await;

    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].listed.session, session);
    assert_eq!(listed[0].username, "alice");
    assert_eq!(later, []);
}
