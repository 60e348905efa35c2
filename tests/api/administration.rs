//! Permissions of administrators.

use serde_json::json;

use crate::support::client::{Session, claims};
use crate::support::local::InProcessServer;
use crate::support::{Backend, on_both};

mod authority;
mod events;
mod keys;
mod reset_links;
mod sessions;

on_both! {
    administration_is_for_administrators,
    users_are_listed_page_by_page,
    disabling_ends_access_at_once_and_enabling_restores_it,
    an_administrator_ends_the_sessions_of_a_user,
    roles_reach_the_next_token,
    a_taken_name_is_a_conflict_in_any_case,
    an_administrator_cannot_disable_or_demote_itself,
}

async fn administration_is_for_administrators(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await.login().await;
    let id = alice.user_id();

    let requests = [
        ("GET", "/v1/users".to_owned()),
        ("POST", "/v1/users".to_owned()),
        ("GET", format!("/v1/users/{id}")),
        ("POST", format!("/v1/users/{id}/disable")),
        ("POST", format!("/v1/users/{id}/enable")),
        ("PUT", format!("/v1/users/{id}/roles")),
        ("POST", format!("/v1/users/{id}/reset-link")),
        ("DELETE", format!("/v1/users/{id}/reset-link")),
        ("GET", "/v1/reset-links".to_owned()),
        ("GET", format!("/v1/users/{id}/sessions")),
        ("DELETE", format!("/v1/users/{id}/sessions")),
        ("GET", "/v1/sessions".to_owned()),
        ("DELETE", format!("/v1/sessions/{}", alice.id)),
        ("GET", "/v1/events".to_owned()),
        ("GET", "/v1/keys".to_owned()),
        ("POST", "/v1/keys/rotate".to_owned()),
    ];
    for (method, path) in requests {
        let answer = server
            .http
            .request(method, &path)
            .bearer(&alice.access)
            .send()
            .await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (403, "insufficient_scope"),
            "{method} {path}"
        );
    }
    alice.check().await.expect(200);
}

async fn users_are_listed_page_by_page(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    for name in ["alice", "bob", "carol", "dave"] {
        server.http.person(name).await;
    }
    let access = server.http.admin().login().await.access;

    let mut names = Vec::new();
    let mut path = "/v1/users?limit=2".to_owned();
    for _ in 0..5 {
        let page = server
            .http
            .get(&path)
            .bearer(&access)
            .send()
            .await
            .expect(200)
            .json();
        let users = page["items"].as_array().expect("a list").clone();
        assert!(users.len() <= 2, "{page}");
        names.extend(
            users
                .iter()
                .map(|user| user["username"].as_str().expect("a name").to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/users?limit=2&after={next}"),
            None => break,
        }
    }
    names.sort();

    assert_eq!(names, ["alice", "bob", "carol", "dave", "root-of-tests"]);
}

async fn disabling_ends_access_at_once_and_enabling_restores_it(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let session = alice.login().await;
    let id = session.user_id();
    let admin = server.http.admin().login().await.access;
    let change = async |what: &str| {
        server
            .http
            .post(&format!("/v1/users/{id}/{what}"))
            .bearer(&admin)
            .send()
            .await
    };

    change("disable").await.expect(200);
    session.check().await.expect_problem(401, "token_outdated");
    session
        .refresh()
        .await
        .expect_problem(401, "session_revoked");
    alice
        .try_login(&alice.password)
        .await
        .expect_problem(401, "invalid_credentials");

    change("enable").await.expect(200);
    session.check().await.expect_problem(401, "token_outdated");
    alice.login().await.check().await.expect(200);
}

async fn an_administrator_ends_the_sessions_of_a_user(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let session = alice.login().await;
    let id = session.user_id();
    let admin = server.http.admin().login().await;

    let path = format!("/v1/users/{id}/sessions");
    server
        .http
        .delete(&path)
        .bearer(&admin.access)
        .send()
        .await
        .expect(204);

    session.check().await.expect_problem(401, "token_outdated");
    admin.check().await.expect(200);
    alice.login().await;
}

async fn roles_reach_the_next_token(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let session = alice.login().await;
    let id = session.user_id();
    let admin = server.http.admin().login().await.access;

    let path = format!("/v1/users/{id}/roles");
    let body = json!({"roles": ["editor", "admin"]});
    server
        .http
        .request("PUT", &path)
        .bearer(&admin)
        .json(&body)
        .send()
        .await
        .expect(200);

    let session = session.rotate().await;
    assert_eq!(claims(&session.access)["roles"], json!(["admin", "editor"]));
    server
        .http
        .get("/v1/users")
        .bearer(&session.access)
        .send()
        .await
        .expect(200);
}

async fn a_taken_name_is_a_conflict_in_any_case(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    server.http.person("alice").await;
    let admin = server.http.admin().login().await.access;

    for name in ["alice", "ALICE", "Alice"] {
        let body = json!({"username": name, "password": "quite a long password"});
        let answer = server
            .http
            .post("/v1/users")
            .bearer(&admin)
            .json(&body)
            .send()
            .await;
        answer.expect_problem(409, "conflict");
    }
}

async fn an_administrator_cannot_disable_or_demote_itself(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let admin = server.http.admin().login().await;
    let other = server.http.administrator("other").await.login().await;
    let disable = async |by: &Session, whom: &Session| {
        let path = format!("/v1/users/{}/disable", whom.user_id());
        by.http.post(&path).bearer(&by.access).send().await
    };
    let set_roles = async |by: &Session, whom: &Session, roles: &[&str]| {
        let path = format!("/v1/users/{}/roles", whom.user_id());
        let request = by.http.request("PUT", &path).bearer(&by.access);
        request.json(&json!({"roles": roles})).send().await
    };

    disable(&admin, &admin)
        .await
        .expect_problem(409, "conflict");
    for roles in [&[][..], &["editor"]] {
        set_roles(&admin, &admin, roles)
            .await
            .expect_problem(409, "conflict");
    }
    set_roles(&admin, &admin, &["admin", "editor"])
        .await
        .expect(200);
    admin.rotate().await.check().await.expect(200);

    set_roles(&other, &admin, &["editor"]).await.expect(200);
    disable(&other, &admin).await.expect(200);
    admin.check().await.expect_problem(401, "token_outdated");
}
