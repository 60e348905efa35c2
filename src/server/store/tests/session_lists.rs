//! Lists of live sessions.

use super::super::{SessionPage, SessionPlace};
use super::*;

fn first_page() -> SessionPage {
    SessionPage {
        user: None,
        after: None,
        search: None,
        limit: 10,
    }
}

async fn ids(latchet: &Latchet, page: SessionPage, now: Time) -> Vec<SessionId> {
    let listed = latchet.store.sessions(&page, now).await.unwrap();
    let ids = listed.into_iter().map(|named| named.listed.session.id);
    ids.collect()
}

#[tokio::test]
async fn pages_follow_each_other_newest_login_first() {
    let latchet = Latchet::start().await;
    let alice = latchet.user("alice").await;
    let bob = latchet.user("bob").await;
    let mut sessions = Vec::new();
    for (user, now) in [(&alice, NOW), (&bob, NOW), (&alice, NOW + MINUTE)] {
        let made = latchet.store.create_session(user, new_session(), &[], now);
        sessions.push(listed(&made.await.unwrap().unwrap().current.session, now));
    }
    sessions.sort_by_key(|listed| (listed.created_at, listed.session.id.clone()));
    sessions.reverse();
    let expected = sessions.iter().map(|listed| listed.session.id.clone());
    let expected: Vec<SessionId> = expected.collect();

    let all = ids(&latchet, first_page(), NOW + MINUTE).await;
    for (index, session) in sessions.iter().enumerate() {
        let next = SessionPage {
            after: Some(SessionPlace::of(session)),
            limit: 1,
            ..first_page()
        };
        let found = ids(&latchet, next, NOW + MINUTE).await;
        let following = expected.get(index + 1).cloned();
        assert_eq!(found, Vec::from_iter(following));
    }

    assert_eq!(all, expected);
}

#[tokio::test]
async fn a_list_of_all_names_the_users_and_leaves_out_what_has_ended() {
    let latchet = Latchet::start().await;
    let session = latchet.alice_logged_in().await;
    let logged_out = latchet.login(&latchet.user("bob").await).await;
    latchet.log_out(&logged_out, NOW).await;

    let listed = latchet.store.sessions(&first_page(), NOW).await.unwrap();
    let rested = NOW + new_session().idle_limit;
    let later = ids(&latchet, first_page(), rested).await;

    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].listed.session, session);
    assert_eq!(listed[0].username, "alice");
    assert_eq!(later, []);
}
