//! Sessions of others, as administrators see and end them.

use serde_json::{Value, json};

use crate::support::client::{ADMIN, Session};
use crate::support::local::InProcessServer;
use crate::support::{Backend, on_both};

on_both! {
    an_administrator_sees_the_devices_of_a_user,
    all_sessions_are_listed_page_by_page,
    sessions_are_found_by_the_name_of_their_user,
    an_invalid_cursor_is_refused,
    an_administrator_ends_one_session_of_anybody,
}

async fn list(admin: &Session, path: &str) -> Value {
    let answer = admin.http.get(path).bearer(&admin.access).send().await;
    answer.expect(200).json()
}

fn ids(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().expect("a list");
    items
        .iter()
        .map(|item| item["id"].as_str().expect("an id"))
        .collect()
}

async fn an_administrator_sees_the_devices_of_a_user(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let (phone, laptop) = (alice.login().await, alice.login().await);
    laptop.logout().await.expect(204);
    let admin = server.http.admin().login().await;

    let listed = list(&admin, &format!("/v1/users/{}/sessions", phone.user_id())).await;

    assert_eq!(ids(&listed), [phone.id.as_str()], "{listed}");
    let session = &listed["items"][0];
    assert_eq!(session["user_id"], phone.user_id());
    assert_eq!(session["username"], "alice");
    assert_eq!(session["ip"], "127.0.0.1");
    admin
        .http
        .get("/v1/users/c2Vzc2lvbi1vZi1hZGEtMQ/sessions")
        .bearer(&admin.access)
        .send()
        .await
        .expect_problem(404, "not_found");
}

async fn all_sessions_are_listed_page_by_page(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let admin = server.http.admin().login().await;
    let mut expected = Vec::new();
    for name in ["alice", "bob"] {
        let person = server.http.person(name).await;
        expected.push(person.login().await.id);
        expected.push(person.login().await.id);
    }
    let gone = server.http.person("carol").await.login().await;
    gone.logout().await.expect(204);

    let mut found = Vec::new();
    let mut path = "/v1/sessions?limit=3".to_owned();
    for _ in 0..5 {
        let page = list(&admin, &path).await;
        assert!(ids(&page).len() <= 3, "{page}");
        let users = page["items"].as_array().expect("a list").iter();
        found.extend(
            users
                .filter(|session| session["username"] != ADMIN.name)
                .map(|session| session["id"].as_str().expect("an id").to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/sessions?limit=3&after={next}"),
            None => break,
        }
    }

    // Logins of one millisecond are in any order.
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

async fn sessions_are_found_by_the_name_of_their_user(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("Alice").await.login().await;
    server.http.person("bob").await.login().await;
    let admin = server.http.admin().login().await;

    let found = list(&admin, "/v1/sessions?search=ALI").await;
    let nobody = list(&admin, "/v1/sessions?search=%25").await;

    assert_eq!(ids(&found), [alice.id.as_str()], "{found}");
    assert_eq!(found["items"][0]["username"], "Alice");
    assert_eq!(nobody, json!({"items": []}));
}

async fn an_invalid_cursor_is_refused(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let admin = server.http.admin().login().await;

    for after in ["x", "1", "1.%00", "a.b"] {
        let path = format!("/v1/sessions?after={after}");
        let answer = admin.http.get(&path).bearer(&admin.access).send().await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "validation_failed"),
            "{after}: {}",
            answer.text
        );
    }
}

async fn an_administrator_ends_one_session_of_anybody(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let (phone, laptop) = (alice.login().await, alice.login().await);
    let admin = server.http.admin().login().await;
    let end = async |id: &str| {
        let path = format!("/v1/sessions/{id}");
        admin.http.delete(&path).bearer(&admin.access).send().await
    };

    end(&phone.id).await.expect(204);

    phone.check().await.expect_problem(401, "token_revoked");
    phone.refresh().await.expect_problem(401, "session_revoked");
    laptop.check().await.expect(200);
    for id in ["c2Vzc2lvbi1vZi1hZGEtMQ", "x"] {
        end(id).await.expect_problem(404, "not_found");
    }
}
