//! Requests that get no token for a third party.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{BANK, SHOP, ask, order, start};
use crate::support::client::Session;
use crate::support::http::Http;
use crate::support::{Backend, on_both};

on_both! {
    refused_users_and_anonymous_clients_get_the_reason,
    refused_services_get_the_reason,
    wrong_credentials_of_a_service_are_refused_before_the_body_is_read,
    wrong_credentials_are_throttled_like_logins,
}

async fn refused_users_and_anonymous_clients_get_the_reason(backend: Backend) {
    let server = start(backend).await;
    let http = &server.http;
    let alice = http.person("alice").await.login().await;
    let bob = http.person("bob").await.login().await;

    let stranger = http.post("/v1/tokens/iterable").send().await;
    stranger.expect_problem(401, "missing_token");
    let broken = http
        .post("/v1/tokens/iterable")
        .body("application/json", "{broken");
    broken.send().await.expect_problem(401, "missing_token");
    for (profile, status, code) in [
        ("nowhere", 404, "not_found"),
        ("partner", 403, "forbidden"),
        ("nightly", 403, "forbidden"),
    ] {
        ask(&alice, profile).await.expect_problem(status, code);
    }
    let for_bob = http
        .post("/v1/tokens/iterable")
        .bearer(&alice.access)
        .json(&about(&bob));
    let refused = for_bob
        .send()
        .await
        .expect_problem(400, "validation_failed");
    assert_eq!(refused.json()["errors"][0]["field"], "user_id");
    let for_alice = http
        .post("/v1/tokens/iterable")
        .bearer(&alice.access)
        .json(&about(&alice));
    for_alice.send().await.expect(200);
}

async fn refused_services_get_the_reason(backend: Backend) {
    let server = start(backend).await;
    let http = &server.http;
    let alice = http.person("alice").await.login().await;
    let bob = http.person("bob").await.login().await;
    disable(http, &bob.user_id()).await;

    let shop = ("shop", SHOP);
    let nobody = json!({"user_id": "AAAAAAAAAAAAAAAAAAAAAA"});
    let no_id = json!({"user_id": "alice"});
    for (profile, service, body, status, code) in [
        ("iterable", ("bank", BANK), about(&alice), 403, "forbidden"),
        ("partner", shop, about(&alice), 403, "forbidden"),
        ("nowhere", shop, about(&alice), 404, "not_found"),
        ("iterable", shop, nobody, 404, "not_found"),
        ("iterable", shop, no_id, 404, "not_found"),
        ("iterable", shop, about(&bob), 403, "forbidden"),
        ("iterable", shop, json!({}), 400, "validation_failed"),
    ] {
        let answer = order(http, profile, service, &body).await;
        answer.expect_problem(status, code);
    }
    let unnamed = order(http, "iterable", shop, &json!({})).await;
    assert_eq!(unnamed.json()["errors"][0]["field"], "user_id");
}

async fn wrong_credentials_of_a_service_are_refused_before_the_body_is_read(backend: Backend) {
    let server = start(backend).await;

    for pair in ["shop:", ":", "mall:", "shop", "\u{0}:\u{0}"] {
        refused(&server.http, &STANDARD.encode(pair)).await;
    }
    for (name, secret) in [("shop", BANK), ("mall", SHOP), ("Shop", SHOP)] {
        let pair = format!("{name}:{secret}");
        refused(&server.http, &STANDARD.encode(pair)).await;
    }
    refused(&server.http, "!").await;
}

async fn refused(http: &Http, basic: &str) {
    let request = http
        .post("/v1/tokens/iterable")
        .header("authorization", &format!("Basic {basic}"))
        .body("text/plain", "{broken");
    let answer = request.send().await;
    let answer = answer.expect_problem(401, "invalid_client");
    let challenge = answer.header("www-authenticate");
    assert!(challenge.starts_with("Basic"), "{challenge}");
}

fn about(session: &Session) -> Value {
    json!({"user_id": session.user_id()})
}

async fn disable(http: &Http, user: &str) {
    let admin = http.admin().login().await.access;
    let request = http.post(&format!("/v1/users/{user}/disable"));
    request.bearer(&admin).send().await.expect(200);
}

/// By the name as well as by the address; and the right secret is not shut out.
async fn wrong_credentials_are_throttled_like_logins(backend: Backend) {
    let backend = backend.with("LATCHET_THROTTLE_IP", "24/15m");
    let server = start(backend).await;
    let alice = server.http.person("alice").await.login().await;
    let body = json!({"user_id": alice.user_id()});
    let attempt = async |name: &str, secret: &str| {
        order(&server.http, "nightly", (name, secret), &body).await
    };
    for _ in 0..10 {
        let refused = attempt("shop", BANK).await;
        refused.expect_problem(401, "invalid_client");
    }

    let refused = attempt("shop", BANK).await;

    let refused = refused.expect_problem(429, "too_many_requests");
    let wait: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((1..=900).contains(&wait), "{wait}");
    attempt("shop", SHOP).await.expect(200);
    let others = [
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n",
    ];
    for name in others {
        attempt(name, BANK)
            .await
            .expect_problem(401, "invalid_client");
    }
    let refused = attempt("o", BANK).await;
    refused.expect_problem(429, "too_many_requests");
    let login = server
        .http
        .admin()
        .try_login("wrong, but long enough")
        .await;
    login.expect_problem(429, "too_many_requests");
    server.pass(Duration::from_secs(wait));
    attempt("shop", BANK)
        .await
        .expect_problem(401, "invalid_client");
}
