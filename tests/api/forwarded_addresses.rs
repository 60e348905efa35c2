//! Addresses of clients behind proxies, in every form in which proxies write them.

use serde_json::json;

use crate::support::local::InProcessServer;
use crate::support::server::Replica;
use crate::support::{Backend, on_both};

on_both! {
    clients_behind_a_proxy_are_distinguished_by_address_without_port,
    the_address_of_a_session_is_what_the_proxy_has_appended,
}

fn behind_a_proxy(backend: &Backend) -> Backend {
    let backend = backend.clone();
    backend.with("LATCHET_TRUSTED_PROXIES", "127.0.0.0/8")
}

async fn clients_behind_a_proxy_are_distinguished_by_address_without_port(backend: Backend) {
    let backend = behind_a_proxy(&backend).with("LATCHET_THROTTLE_IP", "3/15m");
    let server = InProcessServer::start(&backend).await;
    let login = async |name: &str, header: &str, address: &str| {
        let body = json!({"username": name, "password": "wrong, but long enough"});
        let request = server.http.post("/v1/login").raw_header(header, address);
        request.json(&body).send().await.status
    };

    // Each client uses up its budget by four guesses, and the next one has its own.
    for (header, begin, end) in [
        ("x-forwarded-for", "203.0.113.3:5000", ""),
        ("x-forwarded-for", "203.0.113.4:5000", ""),
        ("x-forwarded-for", "[2001:db8:1::1]:5000", ""),
        ("x-forwarded-for", "[2001:db8:2::1]:5000", ""),
        ("x-forwarded-for", "\u{fc}, 203.0.113.5:5000", ""),
        ("forwarded", "for=203.0.113.6:5000", ";proto=https"),
        ("forwarded", "For=\"[2001:db8:3::1]:5000", "\""),
        ("forwarded", "for=\"[2001:db8:4::1]:5000", "\";by=_proxy"),
    ] {
        let mut statuses = Vec::new();
        for port in 1..=4 {
            let address = format!("{begin}{port}{end}");
            statuses.push(login(&format!("nobody{port}"), header, &address).await);
        }

        assert_eq!(statuses, [401, 401, 401, 429], "{header}: {begin}");
    }
}

async fn the_address_of_a_session_is_what_the_proxy_has_appended(backend: Backend) {
    let server = InProcessServer::start(&behind_a_proxy(&backend)).await;
    let alice = server.http.person("alice").await;

    for (header, value, address) in [
        (
            "x-forwarded-for",
            b"junk, 203.0.113.9".as_slice(),
            "203.0.113.9",
        ),
        ("x-forwarded-for", b"\xff, 203.0.113.10", "203.0.113.10"),
        ("x-forwarded-for", b"[2001:db8::1]:443", "2001:db8::1"),
        (
            "forwarded",
            b"for=\"\xff, for=\"[2001:db8::2]:443\"",
            "2001:db8::2",
        ),
        ("x-forwarded-for", b"unknown", "127.0.0.1"),
        ("forwarded", b"for=_hidden", "127.0.0.1"),
    ] {
        let body = json!({"username": alice.name, "password": alice.password});
        let login = server.http.post("/v1/login").raw_header(header, value);
        let login = login.json(&body).send().await.expect(200);

        let sessions = server.http.get("/v1/me/sessions");
        let sessions = sessions.bearer(&login.field("access_token")).send().await;

        assert_eq!(sessions.json()["items"][0]["ip"], address);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_is_not_trusted_is_reported_once() {
    let backend = Backend::sqlite();
    let server = Replica::start(&backend).await;

    for _ in 0..3 {
        let request = server.http.get("/v1/me");
        request
            .raw_header("x-forwarded-for", "203.0.113.9")
            .send()
            .await
            .expect(401);
    }

    let log = server.log().await;
    assert_eq!(log.matches("LATCHET_TRUSTED_PROXIES").count(), 1, "{log}");
}
