//! Every error response: one envelope, the documented code, no cause of a failure on the wire.

use serde_json::json;

use crate::support::http::{Http, HttpResponse};
use crate::support::local::InProcessServer;
use crate::support::postgres::Postgres;
use crate::support::{Backend, on_both};

on_both! {
    a_missing_token_is_reported_before_a_broken_body,
    odd_requests_are_refused_and_never_fail,
    bad_input_is_answered_with_the_field_named,
    errors_of_the_framework_are_problem_documents,
    only_a_presented_token_is_called_invalid,
}

/// Asserts what is true of every error response.
#[track_caller]
fn assert_envelope(answer: &HttpResponse) {
    let body = answer.json();
    assert_eq!(
        answer.header("content-type"),
        "application/problem+json",
        "{}",
        answer.text
    );
    for name in ["type", "title", "code", "detail", "request_id"] {
        assert!(
            body[name].as_str().is_some_and(|text| !text.is_empty()),
            "no {name} in {}",
            answer.text
        );
    }
    assert_eq!(body["status"], answer.status, "{}", answer.text);
    assert_eq!(
        answer.header("x-request-id"),
        body["request_id"].as_str().unwrap_or_default()
    );
}

async fn a_missing_token_is_reported_before_a_broken_body(backend: Backend) {
    let server = InProcessServer::start(&backend).await;

    let protected = [
        ("POST", "/v1/logout/all"),
        ("POST", "/v1/reauthenticate"),
        ("POST", "/v1/me/password"),
        ("GET", "/v1/me"),
        ("GET", "/v1/me/sessions"),
        ("DELETE", "/v1/me/sessions/x"),
        ("POST", "/v1/users"),
        ("GET", "/v1/users?limit=nonsense"),
        ("GET", "/v1/users/x"),
        ("GET", "/v1/sessions?limit=nonsense"),
    ];
    for (method, path) in protected {
        let request = server
            .http
            .request(method, path)
            .body("application/json", "{broken");
        let answer = request.send().await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, "missing_token"),
            "{method} {path}"
        );
        assert_envelope(&answer);
    }
}

/// Flask-JWT-Extended failed with 500 on each of these.
async fn odd_requests_are_refused_and_never_fail(backend: Backend) {
    let server = InProcessServer::start(&backend).await;

    for value in [
        " , , ",
        "",
        "Bearer",
        "Bearer ",
        "Bearer a b",
        "Bearer ..",
        "bearer \u{e9}",
        "Basic Og==",
    ] {
        let answer = server
            .http
            .get("/v1/me")
            .header("authorization", value)
            .send()
            .await;
        assert_eq!(answer.status, 401, "{value:?}: {}", answer.text);
        assert_envelope(&answer);
    }
    for path in ["/v1/login", "/v1/refresh"] {
        for body in [
            "[]",
            "null",
            "\"x\"",
            "7",
            "{",
            "",
            "{\"username\":[]}",
            "\u{0}",
            "[[[[[[[[",
        ] {
            let answer = server
                .http
                .post(path)
                .body("application/json", body)
                .send()
                .await;
            assert!(
                (400..=401).contains(&answer.status),
                "{path} {body:?}: {}",
                answer.text
            );
            assert_envelope(&answer);
        }
    }
    let request = server
        .http
        .post("/v1/refresh")
        .body("application/json", "{}");
    let answer = request
        .header("cookie", "latchet_rt=x; latchet_csrf=y")
        .header("x-csrf-token", "\u{e9}")
        .send()
        .await;
    assert!((400..=403).contains(&answer.status), "{}", answer.text);
    assert_envelope(&answer);
}

async fn bad_input_is_answered_with_the_field_named(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let admin = server.http.admin().login().await.access;
    let create = async |body: serde_json::Value| {
        server
            .http
            .post("/v1/users")
            .bearer(&admin)
            .json(&body)
            .send()
            .await
    };

    let bad = [
        (json!({"password": "a password that is long"}), "username"),
        (json!({"username": "alice"}), "password"),
        (
            json!({"username": "", "password": "a password that is long"}),
            "username",
        ),
        (
            json!({"username": "a\u{0}b", "password": "a password that is long"}),
            "username",
        ),
        (
            json!({"username": 7, "password": "a password that is long"}),
            "username",
        ),
    ];
    for (body, field) in bad {
        let answer = create(body.clone()).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "validation_failed"),
            "{body}: {}",
            answer.text
        );
        assert!(answer.text.contains(field), "{body}: {}", answer.text);
        assert_envelope(&answer);
    }
    let weak = ["short", "passwordpassword", "alice alice alice"];
    for password in &weak[..1] {
        let answer = create(json!({"username": "alice", "password": password})).await;
        assert_eq!(answer.code(), "weak_password", "{}", answer.text);
    }
    let users = server
        .http
        .get("/v1/users")
        .bearer(&admin)
        .send()
        .await
        .expect(200);
    assert!(
        !users.text.contains("alice"),
        "nothing was written: {}",
        users.text
    );
}

async fn errors_of_the_framework_are_problem_documents(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let http = &server.http;

    let requests = [
        (http.get("/nowhere"), 404, "not_found"),
        (http.get("/v1/nowhere"), 404, "not_found"),
        (http.request("PUT", "/v1/login"), 405, "method_not_allowed"),
        (
            http.post("/v1/login").body("text/plain", "hello"),
            415,
            "unsupported_media_type",
        ),
        (
            http.post("/v1/login").body("application/json", "{"),
            400,
            "validation_failed",
        ),
        (
            http.post("/v1/login")
                .body("application/json", vec![b' '; 100_000]),
            413,
            "payload_too_large",
        ),
    ];
    for (request, status, code) in requests {
        let answer = request.send().await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{}",
            answer.text
        );
        assert_envelope(&answer);
    }
}

/// RFC 6750 section 3.1: clients retry on exactly this.
async fn only_a_presented_token_is_called_invalid(backend: Backend) {
    let server = InProcessServer::start(&backend).await;

    let absent = server
        .http
        .get("/v1/me")
        .send()
        .await
        .expect_problem(401, "missing_token");
    assert!(
        absent.header("www-authenticate").starts_with("Bearer"),
        "{:?}",
        absent.headers
    );
    assert!(
        !absent.header("www-authenticate").contains("error="),
        "{:?}",
        absent.headers
    );

    let refused = server
        .http
        .get("/v1/me")
        .bearer("a.b.c")
        .send()
        .await
        .expect(401);
    assert!(
        refused
            .header("www-authenticate")
            .contains("error=\"invalid_token\""),
        "{:?}",
        refused.headers
    );
    assert_envelope(&refused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_5xx_body_contains_its_cause() {
    let postgres = Postgres::start();
    let server = InProcessServer::start(&Backend::on(&postgres)).await;
    let session = server.http.person("alice").await.login().await;

    postgres.kill();

    let logout = session.logout().await;
    for answer in [
        alice_login(&server.http).await,
        session.refresh().await,
        session.check().await,
        logout,
    ] {
        answer.clone().expect_problem(503, "unavailable");
        assert_envelope(&answer);
        assert_ne!(answer.header("retry-after"), "");
        // Three letters come about in random ones.
        let text = answer.text.replace(&answer.field("request_id"), "");
        let text = text.to_lowercase();
        for cause in [
            "postgres",
            "sqlx",
            "sea",
            "connection",
            "127.0.0.1",
            "os error",
            "pool",
            "select",
            "redis",
        ] {
            assert!(!text.contains(cause), "{cause:?} in {}", answer.text);
        }
    }

    postgres.resume();
    crate::support::poll::until_some("the server to recover", async || {
        (session.check().await.status == 200).then_some(())
    })
    .await;
    session.rotate().await;
}

async fn alice_login(http: &Http) -> HttpResponse {
    let body = json!({"username": "alice", "password": "a long password of alice"});
    http.post("/v1/login").json(&body).send().await
}
