//! Open registration.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use super::{behind_a_proxy, wait_of};
use crate::support::http::{Http, HttpResponse};
use crate::support::local::InProcessServer;
use crate::support::{Backend, on_both};

on_both! {
    one_address_registers_a_few_accounts_and_not_hundreds,
    probing_for_taken_names_is_throttled,
    a_password_that_is_refused_is_not_counted,
    logins_go_on_while_hundreds_register,
}

async fn register(http: &Http, name: &str, address: &str) -> HttpResponse {
    let body = json!({"username": name, "password": "a long password of somebody new"});
    let request = http.post("/v1/register").json(&body);
    request.header("x-forwarded-for", address).send().await
}

fn open(backend: &Backend, rate: &str) -> Backend {
    behind_a_proxy(backend)
        .with("LATCHET_REGISTRATION", "open")
        .with("LATCHET_THROTTLE_REGISTRATION", rate)
}

async fn one_address_registers_a_few_accounts_and_not_hundreds(backend: Backend) {
    let server = InProcessServer::start(&open(&backend, "3/1h")).await;
    for name in ["a", "b", "c"] {
        register(&server.http, name, "198.51.100.1")
            .await
            .expect(201);
    }

    let refused = register(&server.http, "d", "198.51.100.1").await;

    let wait = wait_of(&refused.expect_problem(429, "too_many_requests"));
    assert!(wait <= Duration::from_hours(1), "{wait:?}");
    register(&server.http, "d", "198.51.100.2")
        .await
        .expect(201);
    server.pass(wait);
    register(&server.http, "e", "198.51.100.1")
        .await
        .expect(201);
}

async fn probing_for_taken_names_is_throttled(backend: Backend) {
    let server = InProcessServer::start(&open(&backend, "3/1h")).await;
    server.http.person("alice").await;
    for _ in 0..3 {
        register(&server.http, "alice", "198.51.100.1")
            .await
            .expect_problem(409, "conflict");
    }

    register(&server.http, "alice", "198.51.100.1")
        .await
        .expect_problem(429, "too_many_requests");
}

async fn a_password_that_is_refused_is_not_counted(backend: Backend) {
    let server = InProcessServer::start(&open(&backend, "1/1h")).await;
    for _ in 0..5 {
        let body = json!({"username": "alice", "password": "short"});
        let request = server.http.post("/v1/register").json(&body);
        let refused = request.header("x-forwarded-for", "198.51.100.1").send();
        refused.await.expect_problem(400, "weak_password");
    }

    register(&server.http, "alice", "198.51.100.1")
        .await
        .expect(201);
}

async fn logins_go_on_while_hundreds_register(backend: Backend) {
    let backend = open(&backend, "1000/1h").with("LATCHET_PASSWORD_THREADS", "1");
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let mut registrations = JoinSet::new();
    for number in 0..200 {
        let http = server.http.clone();
        registrations.spawn(async move {
            let answer = register(&http, &format!("user{number}"), "198.51.100.1").await;
            assert!([201, 503].contains(&answer.status), "{}", answer.text);
        });
    }
    registrations
        .join_next()
        .await
        .expect("there are some")
        .unwrap();

    // None is refused as busy.
    for _ in 0..5 {
        alice.login().await;
    }

    registrations.join_all().await;
}
