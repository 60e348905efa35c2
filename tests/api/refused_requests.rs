//! Refusals name the limit, the type, the origin or the host, and have a bounded size.

use std::fmt::Write;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::Backend;
use crate::support::http::{Http, HttpResponse};
use crate::support::local::InProcessServer;
use crate::support::server::Replica;

/// Sends bytes and then no more, and returns all that comes back.
async fn raw(http: &Http, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(http.address()).await.unwrap();
    // A server that has read enough may close before it has read all.
    let _ = socket.write_all(bytes).await;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_too_long_or_malformed_is_answered_with_a_problem_and_logged() {
    let server = Replica::start(&Backend::sqlite()).await;
    let long = "x".repeat(70_000);
    let many: String = (0..100).fold(String::new(), |mut headers, number| {
        write!(headers, "x-{number}: 1\r\n").unwrap();
        headers
    });

    for (head, status, code) in [
        (
            format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
            414,
            "uri_too_long",
        ),
        (
            format!("GET /v1/me?q={long} HTTP/1.1\r\nHost: a\r\n\r\n"),
            414,
            "uri_too_long",
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {long}\r\n\r\n"),
            431,
            "headers_too_large",
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"),
            431,
            "headers_too_large",
        ),
        (
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n".to_owned(),
            400,
            "validation_failed",
        ),
        ("nonsense\r\n\r\n".to_owned(), 400, "validation_failed"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
                .to_owned(),
            400,
            "validation_failed",
        ),
    ] {
        let answer = raw(&server.http, head.as_bytes()).await;

        let shown = &head[..head.len().min(60)];
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{shown}: {answer}"
        );
        assert!(head.contains("application/problem+json"), "{shown}: {head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["code"], code, "{shown}");
        assert_eq!(body["status"], status, "{shown}");
        let id = body["request_id"].as_str().unwrap();
        server.log_line(id).await;
    }
    server.http.get("/livez").send().await.expect(200);
}

/// A login with a body that is not read.
async fn refused_login(http: &Http, headers: &[(&str, &str)], body: &[u8]) -> HttpResponse {
    let login = http.post("/v1/login").raw_body(body);
    let login = headers
        .iter()
        .fold(login, |login, (name, value)| login.raw_header(name, value));
    login.send().await
}

const TYPE: (&str, &str) = ("content-type", "application/json");
const CREDENTIALS: &[u8] = br#"{"username":"alice","password":"x"}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_of_a_body_name_its_type_and_its_coding() {
    let server = InProcessServer::start(&Backend::sqlite()).await;
    for (headers, body, parts) in [
        (
            vec![("content-type", "text/plain")],
            CREDENTIALS,
            ["`text/plain`", "`application/json`"],
        ),
        (
            vec![],
            CREDENTIALS,
            ["`Content-Type` is missing", "`application/json`"],
        ),
        (
            vec![TYPE, ("content-encoding", "gzip")],
            b"\x1f\x8b\x08",
            ["`Content-Encoding`", "`gzip`"],
        ),
        (
            vec![TYPE, ("content-encoding", "identity, BR")],
            CREDENTIALS,
            ["`Content-Encoding`", "`BR`"],
        ),
    ] {
        let answer = refused_login(&server.http, &headers, body).await;

        let answer = answer.expect_problem(415, "unsupported_media_type");
        for part in parts {
            let detail = answer.field("detail");
            assert!(detail.contains(part), "{part}: {detail}");
        }
    }
    let plain = [TYPE, ("content-encoding", "identity")];
    refused_login(&server.http, &plain, CREDENTIALS)
        .await
        .expect_problem(401, "invalid_credentials");
    let oauth = server.http.post("/oauth/token");
    let oauth = oauth.body("application/json", CREDENTIALS).send().await;
    let text = oauth.expect(415).text;
    assert!(
        text.contains("`application/x-www-form-urlencoded`"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refusal_of_a_large_body_names_the_limit() {
    let server =
        InProcessServer::start(&Backend::sqlite().with("LATCHET_BODY_LIMIT", "2000")).await;

    let answer = refused_login(&server.http, &[TYPE], &[b' '; 2001]).await;

    let answer = answer.expect_problem(413, "payload_too_large");
    for part in ["2000 bytes", "LATCHET_BODY_LIMIT"] {
        assert!(answer.field("detail").contains(part), "{}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_short_whatever_was_sent() {
    let server = Replica::start(&Backend::sqlite()).await;
    let unknown: serde_json::Map<_, _> = (0..5000)
        .map(|number| (format!("m{number}"), json!(1)))
        .collect();

    let many = server.http.post("/v1/login").json(&unknown).send().await;
    let many = many.expect_problem(400, "validation_failed");
    let path = format!("/v1/{}", "x".repeat(15_000));
    server.http.get(&path).send().await.expect(404);

    assert!(many.text.len() < 5000, "{} bytes", many.text.len());
    let last = many.json()["errors"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    assert!(
        last["detail"].as_str().unwrap().contains("more faults"),
        "{last}"
    );
    let longest = server.log().await.lines().map(str::len).max();
    assert!(longest < Some(1500), "{longest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_by_cookie_from_a_page_that_could_not_refresh_is_refused_at_once() {
    let server = Replica::start(&Backend::sqlite()).await;
    let admin = server.http.admin();
    let login = |transport: &str| {
        let body =
            json!({"username": admin.name, "password": admin.password, "transport": transport});
        server.http.post("/v1/login").json(&body)
    };

    for (name, value) in [
        // A development proxy that changes `Host`.
        ("origin", "http://localhost:5173"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let refused = login("cookie").raw_header(name, value).send().await;
        let refused = refused.expect_problem(403, "csrf_failed");
        let detail = refused.field("detail");
        for part in [
            value,
            server.http.base(),
            "LATCHET_PUBLIC_URL",
            "LATCHET_ALLOWED_ORIGINS",
        ] {
            assert!(detail.contains(part), "{part}: {detail}");
        }
        assert!(refused.set_cookies().is_empty(), "{:?}", refused.headers);
        login("body")
            .raw_header(name, value)
            .send()
            .await
            .expect(200);
        if name == "origin" {
            let line = server.log_line(&refused.field("request_id")).await;
            assert!(
                line.contains("csrf_failed") && line.contains(value),
                "{line}"
            );
        }
    }
    let own = login("cookie").raw_header("origin", server.http.base());
    own.send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_by_cookie_beyond_this_machine_is_refused_with_the_host() {
    let server = InProcessServer::start(&Backend::sqlite()).await;
    let body = json!({"username": "alice", "password": "x", "transport": "cookie"});

    let answer = server
        .http
        .post("/v1/login")
        .raw_header("host", "laptop.local:8080");
    let answer = answer.json(&body).send().await;

    let answer = answer.expect_problem(400, "validation_failed");
    assert!(
        answer.field("detail").contains("laptop.local:8080"),
        "{}",
        answer.text
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_line_of_a_refused_request_names_its_client() {
    let server = Replica::start(&Backend::sqlite()).await;
    let session = server.http.person("alice").await.login().await;
    let request = server.http.get("/v1/users").bearer(&session.access);

    let refused = request.raw_header("user-agent", "probe/7").send().await;

    let id = refused
        .expect_problem(403, "insufficient_scope")
        .field("request_id");
    let line = server.log_line(&id).await;
    for part in [
        "127.0.0.1",
        "probe/7",
        &session.user_id(),
        "insufficient_scope",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
}
