//! Ambiguous requests, and requests that only look ambiguous.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::browser::{Browser, CSRF_COOKIE, REFRESH_COOKIE};
use crate::support::client::Session;
use crate::support::http::{Http, HttpResponse};
use crate::support::local::InProcessServer;
use crate::support::{Backend, on_both};

on_both! {
    a_json_body_that_names_a_member_twice_is_refused,
    an_access_token_beside_the_refresh_token_does_not_matter,
    one_refresh_token_in_two_places_is_one,
    two_refresh_tokens_are_refused_with_their_places,
    a_session_ends_by_its_refresh_token_after_its_access_token_has_expired,
    tokens_of_two_sessions_end_neither,
    an_access_token_beside_the_refresh_token_is_accepted_at_refresh_and_logout,
}

/// Sends bytes, and returns all that comes back.
async fn raw(http: &Http, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(http.address()).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_has_one_host() {
    let server = InProcessServer::start(&Backend::sqlite()).await;
    for (version, hosts, status) in [
        ("1.1", "", "400"),
        ("1.1", "Host: a\r\nHost: a\r\n", "400"),
        ("1.1", "Host: a\r\nhost: b\r\n", "400"),
        ("1.1", "Host: a b\r\n", "400"),
        ("1.1", "Host: localhost\r\n", "200"),
        ("1.1", "Host:\r\n", "200"),
        ("1.0", "", "200"),
    ] {
        for path in ["/livez", "/account", "/v1/nowhere", "/client/latchet.js"] {
            let request = format!("GET {path} HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n");

            let answer = raw(&server.http, request.as_bytes()).await;

            let got = &answer[9..12];
            if path == "/v1/nowhere" && status == "200" {
                assert_eq!(got, "404", "{request}");
                continue;
            }
            assert_eq!(got, status, "{request}: {answer}");
            if status == "400" {
                assert!(answer.contains("application/problem+json"), "{answer}");
                assert!(answer.contains("`Host`"), "{answer}");
            }
        }
    }
}

async fn a_json_body_that_names_a_member_twice_is_refused(backend: Backend) {
    let server = InProcessServer::start(&backend.with("LATCHET_COMPAT_FLASK_JWT", "true")).await;
    let alice = server.http.person("alice").await;
    let (name, password) = (&alice.name, &alice.password);
    let session = alice.login().await;
    let token = &session.refresh;

    for (path, body, field) in [
        (
            "/v1/login",
            format!(r#"{{"username":"{name}","password":"{password}","username":"root"}}"#),
            "username",
        ),
        (
            "/v1/login",
            format!(r#"{{"username":"{name}","\u0075sername":"{name}","password":"{password}"}}"#),
            "username",
        ),
        (
            "/v1/login",
            format!(r#"{{"username":"{name}","password":"{password}","password":"{password}"}}"#),
            "password",
        ),
        (
            "/v1/login",
            format!(r#"{{"username":"{name}","password":"{password}","label":{{"a":1,"a":2}}}}"#),
            "label.a",
        ),
        (
            "/v1/refresh",
            format!(r#"{{"refresh_token":"{token}","refresh_token":"{token}"}}"#),
            "refresh_token",
        ),
        (
            "/v1/logout",
            format!(r#"{{"refresh_token":null,"refresh_token":"{token}"}}"#),
            "refresh_token",
        ),
        (
            "/auth",
            format!(r#"{{"username":"{name}","password":"x","password":"{password}"}}"#),
            "password",
        ),
    ] {
        let request = server
            .http
            .post(path)
            .body("application/json", body.clone());

        let answer = request
            .send()
            .await
            .expect_problem(400, "validation_failed");

        assert_eq!(answer.json()["errors"][0]["field"], field, "{body}");
        assert!(answer.text.contains("twice"), "{}", answer.text);
        assert!(!answer.text.contains(password), "{}", answer.text);
    }
    session.refresh().await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parameter_or_a_header_that_is_given_twice_is_refused() {
    let server = InProcessServer::start(&Backend::sqlite()).await;
    let admin = server.http.admin().login().await.access;

    for path in [
        "/v1/users?limit=1&limit=2",
        "/v1/verify?sign_in=/a&sign_in=/b",
    ] {
        let answer = server.http.get(path).bearer(&admin).send().await;
        answer.expect_problem(400, "validation_failed");
    }
    let body = json!({"username": "alice", "password": "x"}).to_string();
    for name in ["content-type", "origin", "x-csrf-token", "sec-fetch-site"] {
        let request = server.http.post("/v1/login");
        let request = request
            .raw_header("content-type", "application/json")
            .raw_header(name, "a")
            .raw_header(name, "b");
        let answer = request.raw_body(body.clone()).send().await;
        let answer = answer.expect_problem(400, "validation_failed");
        assert!(answer.field("detail").contains("twice"), "{}", answer.text);
    }
}

/// Sends a refresh or a logout with tokens in `Authorization` and in the body.
async fn send(http: &Http, path: &str, header: Option<&str>, body: Option<&str>) -> HttpResponse {
    let request = http.post(path);
    let request = match header {
        Some(value) => request.raw_header("authorization", value),
        None => request,
    };
    match body {
        Some(token) => request.json(&json!({"refresh_token": token})),
        None => request.json(&json!({})),
    }
    .send()
    .await
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

async fn an_access_token_beside_the_refresh_token_does_not_matter(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let expired = alice.login().await.access;
    server.pass(Duration::from_mins(16));
    let mut session = alice.login().await;
    let others = alice.login().await.access;

    for header in [
        bearer(&session.access),
        bearer(&others),
        bearer(&expired),
        bearer("null"),
        bearer("undefined"),
        bearer("a.b.c"),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Basic Og==".to_owned(),
        "\u{fc}".to_owned(),
        format!("{}, {}", bearer(&session.access), bearer(&expired)),
    ] {
        let answer = send(
            &server.http,
            "/v1/refresh",
            Some(&header),
            Some(&session.refresh),
        )
        .await;

        assert_eq!(answer.status, 200, "{header}: {}", answer.text);
        session = Session::of(server.http.clone(), &answer);
    }
    let alone = send(
        &server.http,
        "/v1/refresh",
        Some(&bearer(&session.access)),
        None,
    )
    .await;
    alone.expect_problem(401, "wrong_token_type");
    let in_body = send(&server.http, "/v1/refresh", None, Some(&session.access)).await;
    in_body.expect_problem(401, "wrong_token_type");
    send(&server.http, "/v1/refresh", None, None)
        .await
        .expect_problem(401, "missing_token");
}

async fn one_refresh_token_in_two_places_is_one(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let session = alice.login().await;
    let header = bearer(&session.refresh);

    let answer = send(
        &server.http,
        "/v1/refresh",
        Some(&header),
        Some(&session.refresh),
    )
    .await;
    let next = Session::of(server.http.clone(), &answer.expect(200));
    let both = format!("{}, {}", bearer(&next.refresh), bearer(&next.access));
    send(&server.http, "/v1/refresh", Some(&both), None)
        .await
        .expect(200);

    // A client with a jar for cookies, which also sends the token itself.
    let browser = Browser::login(&alice).await;
    let token = browser.jar[REFRESH_COOKIE].clone();
    let request = browser.cookies_only("POST", "/v1/refresh");
    let answer = request.json(&json!({"refresh_token": token})).send().await;
    let answer = answer.expect(200);
    let mut later = browser.clone();
    later.take(&answer);
    assert_eq!(later.jar[REFRESH_COOKIE], answer.field("refresh_token"));
    later.refresh().await.expect(200);
}

async fn two_refresh_tokens_are_refused_with_their_places(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let (one, two) = (alice.login().await, alice.login().await);
    let browser = Browser::login(&alice).await;

    let in_both = send(
        &server.http,
        "/v1/refresh",
        Some(&bearer(&one.refresh)),
        Some(&two.refresh),
    )
    .await;
    let in_both = in_both.expect_problem(400, "validation_failed");
    for place in ["the body", "`Authorization`"] {
        assert!(in_both.field("detail").contains(place), "{}", in_both.text);
    }
    let beside = browser.page("POST", "/v1/refresh");
    let beside = beside
        .json(&json!({"refresh_token": one.refresh}))
        .send()
        .await;
    let beside = beside.expect_problem(400, "validation_failed");
    for place in ["the body", "a cookie"] {
        assert!(beside.field("detail").contains(place), "{}", beside.text);
    }
    let header = format!("{}, {}", bearer(&one.refresh), bearer(&two.refresh));
    let twice = send(&server.http, "/v1/refresh", Some(&header), None).await;
    twice.expect_problem(400, "validation_failed");
    for session in [&one, &two] {
        session.refresh().await.expect(200);
    }
    browser.refresh().await.expect(200);
}

async fn a_session_ends_by_its_refresh_token_after_its_access_token_has_expired(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let sessions = [
        alice.login().await,
        alice.login().await,
        alice.login().await,
    ];
    let browser = Browser::login(&alice).await;
    let (page_a, page_b) = (Browser::login(&alice).await, Browser::login(&alice).await);
    server.pass(Duration::from_mins(16));

    let alone = sessions[0].logout().await;
    alone.expect_problem(401, "token_expired");
    let expired = bearer(&sessions[0].access);
    send(
        &server.http,
        "/v1/logout",
        Some(&expired),
        Some(&sessions[0].refresh),
    )
    .await
    .expect(204);
    send(&server.http, "/v1/logout", None, Some(&sessions[1].refresh))
        .await
        .expect(204);
    let header = format!("Bearer, {}", bearer(&sessions[2].refresh));
    send(&server.http, "/v1/logout", Some(&header), None)
        .await
        .expect(204);
    let page = browser.page("POST", "/v1/logout").bearer(&browser.access);
    page.json(&json!({})).send().await.expect(204);

    for session in &sessions {
        session
            .refresh()
            .await
            .expect_problem(401, "session_revoked");
    }
    browser
        .refresh()
        .await
        .expect_problem(401, "session_revoked");
    // The page got its token when the browser had another session.
    let page = page_a.page("POST", "/v1/logout").bearer(&page_b.access);
    let refused = page.json(&json!({})).send().await;
    refused.expect_problem(401, "token_expired");
    page_a.refresh().await.expect(200);
}

async fn tokens_of_two_sessions_end_neither(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let (one, two) = (alice.login().await, alice.login().await);

    for header in [bearer(&one.access), bearer(&one.refresh)] {
        let answer = send(
            &server.http,
            "/v1/logout",
            Some(&header),
            Some(&two.refresh),
        )
        .await;
        answer.expect_problem(400, "validation_failed");
    }

    for session in [&one, &two] {
        session.check().await.expect(200);
    }
    let whole = send(
        &server.http,
        "/v1/logout",
        Some(&bearer(&one.access)),
        Some(&one.refresh),
    )
    .await;
    whole.expect(204);
    one.check().await.expect(401);
    two.check().await.expect(200);
}

async fn an_access_token_beside_the_refresh_token_is_accepted_at_refresh_and_logout(
    backend: Backend,
) {
    let server = InProcessServer::start(&backend).await;
    let mut browser = Browser::login(&server.http.person("alice").await).await;

    for _ in 0..2 {
        let request = browser.page("POST", "/v1/refresh").bearer(&browser.access);
        let answer = request.json(&json!({})).send().await.expect(200);
        assert!(answer.json()["refresh_token"].is_null(), "{}", answer.text);
        browser.take(&answer);
    }
    let unproven = browser.cookies_only("POST", "/v1/refresh");
    let unproven = unproven.bearer(&browser.access).json(&json!({}));
    unproven.send().await.expect_problem(403, "csrf_failed");
    let logout = browser.page("POST", "/v1/logout").bearer(&browser.access);
    browser.take(&logout.json(&json!({})).send().await.expect(204));
    assert!(!browser.jar.contains_key(CSRF_COOKIE), "{:?}", browser.jar);
}
