//! Security events, as administrators read them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{ADMIN, Session};
use crate::support::local::InProcessServer;
use crate::support::server::run;
use crate::support::{Backend, on_both};

on_both! {
    actions_of_administrators_are_events_with_their_actor,
    changes_of_the_own_account_are_events,
    reuse_of_a_refresh_token_is_an_event,
    a_throttled_account_is_one_event,
    actions_of_the_command_line_are_events_without_an_actor,
    events_are_listed_page_by_page,
}

async fn list(admin: &Session, query: &str) -> Value {
    let path = format!("/v1/events{query}");
    let answer = admin.http.get(&path).bearer(&admin.access).send().await;
    answer.expect(200).json()
}

/// All events, oldest first.
async fn events(admin: &Session) -> Vec<Value> {
    let listed = list(admin, "").await;
    let mut events = listed["items"].as_array().expect("a list").clone();
    events.reverse();
    events
}

/// Kind, user and actor of an event, empty where it has none.
fn summary(event: &Value) -> [&str; 3] {
    ["kind", "username", "by"].map(|name| event[name].as_str().unwrap_or_default())
}

async fn actions_of_administrators_are_events_with_their_actor(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let session = alice.login().await;
    let user = format!("/v1/users/{}", session.user_id());
    let admin = server.http.admin().login().await;
    let order = async |method: &str, path: &str, body: Value| {
        let request = admin.http.request(method, path).bearer(&admin.access);
        let answer = request.json(&body).send().await;
        assert!(answer.status < 300, "{method} {path}: {}", answer.text);
        answer
    };

    order("DELETE", &format!("/v1/sessions/{}", session.id), json!({})).await;
    alice.login().await;
    order("DELETE", &format!("{user}/sessions"), json!({})).await;
    order(
        "PUT",
        &format!("{user}/roles"),
        json!({"roles": ["editor"]}),
    )
    .await;
    let link = order("POST", &format!("{user}/reset-link"), json!({})).await;
    order("POST", &format!("{user}/disable"), json!({})).await;
    order("POST", &format!("{user}/enable"), json!({})).await;
    order("POST", "/v1/keys/rotate", json!({})).await;

    let events = events(&admin).await;
    let expected = [
        ["first_administrator", ADMIN.name, ""],
        ["user_created", "alice", ADMIN.name],
        ["sessions_ended", "alice", ADMIN.name],
        ["sessions_ended", "alice", ADMIN.name],
        ["roles_changed", "alice", ADMIN.name],
        ["reset_link_made", "alice", ADMIN.name],
        ["user_disabled", "alice", ADMIN.name],
        ["user_enabled", "alice", ADMIN.name],
        ["key_rotated", "", ADMIN.name],
    ];
    assert_eq!(events.iter().map(summary).collect::<Vec<_>>(), expected);
    assert_eq!(events[2]["session_id"], session.id.as_str());
    assert_eq!(events[3]["session_id"], Value::Null, "all of them");
    assert_eq!(events[3]["user_id"], session.user_id());
    assert!(events[1..].iter().all(|event| event["ip"] == "127.0.0.1"));
    let (_, secret) = link.text.split_once('#').expect("a link has a secret");
    let secret = secret.split('"').next().expect("it ends");
    assert!(!json!(events).to_string().contains(secret));
}

async fn changes_of_the_own_account_are_events(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let session = alice.login().await;
    let admin = server.http.admin().login().await;
    let new = "another long password of alice";

    let body = json!({"current_password": alice.password, "new_password": new});
    let request = session.http.post("/v1/me/password").bearer(&session.access);
    let changed = request.json(&body).send().await.expect(200);
    let session = Session::of(session.http.clone(), &changed);
    session.logout_everywhere().await.expect(204);
    let path = format!("/v1/users/{}/reset-link", session.user_id());
    let request = admin.http.post(&path).bearer(&admin.access);
    let link = request.send().await.expect(201).field("link");
    let (_, secret) = link.split_once('#').expect("a link has a secret");
    let body = json!({"link": secret, "password": alice.password});
    let request = server.http.post("/v1/password/reset").json(&body);
    request.send().await.expect(204);

    let events = events(&admin).await;
    let expected = [
        ["password_changed", "alice", "alice"],
        ["sessions_ended", "alice", "alice"],
        ["reset_link_made", "alice", ADMIN.name],
        ["password_reset", "alice", ""],
    ];
    let summary: Vec<_> = events.iter().map(summary).collect();
    assert_eq!(summary[2..], expected);
    assert_eq!(events[2]["session_id"], session.id.as_str());
    assert_eq!(events[5]["ip"], "127.0.0.1");
}

async fn reuse_of_a_refresh_token_is_an_event(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("alice").await.login().await;
    session.rotate().await.rotate().await;
    server.pass(Duration::from_secs(11));

    for code in ["refresh_reused", "session_revoked"] {
        session.refresh().await.expect_problem(401, code);
    }

    let admin = server.http.admin().login().await;
    let events = events(&admin).await;
    let last = events.last().expect("events");
    assert_eq!(summary(last), ["refresh_reused", "alice", ""]);
    assert_eq!(last["session_id"], session.id.as_str());
    assert_eq!(last["ip"], "127.0.0.1");
    assert_eq!(summary(&events[events.len() - 2])[0], "user_created");
}

async fn a_throttled_account_is_one_event(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("Alice").await;

    for _ in 0..15 {
        alice.try_login("wrong, but long enough").await;
    }
    alice
        .try_login(&alice.password)
        .await
        .expect_problem(429, "too_many_requests");

    let admin = server.http.admin().login().await;
    let mut events = events(&admin).await;
    events.retain(|event| event["kind"] == "login_throttled");
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(summary(&events[0]), ["login_throttled", "Alice", ""]);
    assert_eq!(events[0]["ip"], "127.0.0.1");
}

async fn actions_of_the_command_line_are_events_without_an_actor(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    server.http.person("alice").await.login().await;
    for arguments in [
        &["user", "sessions-end", "alice"][..],
        &["user", "disable", "alice"],
        &["user", "enable", "alice"],
        &["user", "roles", "alice", "editor"],
        &["user", "reset-link", "alice"],
        &["key", "rotate"],
    ] {
        run(&backend, arguments);
    }

    let admin = server.http.admin().login().await;
    let events = events(&admin).await;
    let expected = [
        ["sessions_ended", "alice", ""],
        ["user_disabled", "alice", ""],
        ["user_enabled", "alice", ""],
        ["roles_changed", "alice", ""],
        ["reset_link_made", "alice", ""],
        ["key_rotated", "", ""],
    ];
    let summary: Vec<_> = events.iter().map(summary).collect();
    assert_eq!(summary[2..], expected);
    assert!(events[2..].iter().all(|event| event["ip"].is_null()));
}

async fn events_are_listed_page_by_page(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    for name in ["alice", "bob"] {
        server.http.person(name).await;
    }
    let admin = server.http.admin().login().await;

    let first = list(&admin, "?limit=2").await;
    let next = first["next"].as_str().expect("another page");
    let last = list(&admin, &format!("?limit=2&after={next}")).await;

    let names = |page: &Value| {
        let events = page["items"].as_array().expect("a list").clone();
        let names = events.iter().map(|event| event["username"].clone());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(&first), ["bob", "alice"]);
    assert_eq!(names(&last), [ADMIN.name]);
    assert_eq!(last["next"], Value::Null);
    let request = admin.http.get("/v1/events?after=x").bearer(&admin.access);
    request
        .send()
        .await
        .expect_problem(400, "validation_failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_administrator_is_an_event_with_the_address() {
    let backend = Backend::sqlite()
        .without("LATCHET_BOOTSTRAP_ADMIN")
        .without("LATCHET_BOOTSTRAP_ADMIN_PASSWORD_FILE");
    let server = InProcessServer::start(&backend).await;
    let link = server.setup_link().await;

    let body = json!({"link": link, "username": ADMIN.name, "password": ADMIN.password});
    let request = server.http.post("/v1/setup").json(&body);
    request.send().await.expect(201);

    let events = events(&server.http.admin().login().await).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(summary(&events[0]), ["first_administrator", ADMIN.name, ""]);
    assert_eq!(events[0]["ip"], "127.0.0.1");
}
