//! `Idempotency-Key`: a lost response is repeated for a day, to a client with the key.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::browser::{Browser, REFRESH_COOKIE};
use crate::support::client::Session;
use crate::support::http::{Http, HttpResponse, Request};
use crate::support::local::InProcessServer;
use crate::support::poll;
use crate::support::postgres::Postgres;
use crate::support::proxy::{NetworkFault, Proxy};
use crate::support::server::Replica;
use crate::support::{Backend, on_both};

on_both! {
    a_retry_by_key_after_a_night_succeeds,
    a_retry_by_key_gets_the_same_successor_in_every_transport,
    a_retry_by_key_succeeds_at_another_replica_without_grace,
    reuse_without_the_key_is_detected,
    an_idempotency_key_ends_when_the_successor_is_used,
    an_idempotency_key_expires_after_a_day,
    an_idempotency_key_does_not_revive_an_ended_session,
    an_invalid_idempotency_key_is_refused_and_rotates_nothing,
    retries_at_once_get_one_successor,
}

const KEY: &str = "key-of-the-laptop-1";
const NIGHT: Duration = Duration::from_hours(8);

impl Session {
    fn refresh_with(&self, key: &str) -> Request {
        let body = json!({"refresh_token": self.refresh});
        let request = self.http.post("/v1/refresh").json(&body);
        request.header("idempotency-key", key)
    }

    /// Presents the refresh token with a key, and returns the response.
    async fn rotate_with(&self, key: &str) -> Self {
        let answer = self.refresh_with(key).send().await.expect(200);
        Self::of(self.http.clone(), &answer)
    }
}

async fn a_retry_by_key_after_a_night_succeeds(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("alice").await.login().await;
    let proxy = Proxy::start(server.http.address()).await;
    proxy.set(NetworkFault::LoseAnswers);
    let far = Http::new(format!("http://{}", proxy.address()));
    let lost = session.at(&far).refresh_with(KEY).try_send().await;
    assert!(lost.is_err(), "the answer was lost: {lost:?}");
    let lost = proxy.lost().await;
    server.pass(NIGHT);

    let retried = session.rotate_with(KEY).await;
    let again = session.rotate_with(KEY).await;

    assert!(lost.contains(&retried.refresh), "it gets what was lost");
    assert_eq!(again.refresh, retried.refresh);
    retried.check().await.expect(200);
    retried.rotate_with("key-of-the-laptop-2").await;
}

async fn a_retry_by_key_gets_the_same_successor_in_every_transport(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let person = server.http.person("alice").await;
    let (header, form) = (person.login().await, person.login().await);
    let in_header = async || {
        let request = server.http.post("/v1/refresh").bearer(&header.refresh);
        request.header("idempotency-key", KEY).send().await
    };
    let in_form = async || {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", form.refresh.as_str()),
        ];
        let request = server.http.post("/oauth/token").form(&fields);
        request.header("idempotency-key", KEY).send().await
    };
    let browser = Browser::login(&person).await;
    let in_cookie = async || {
        let request = browser.page("POST", "/v1/refresh").json(&json!({}));
        request.header("idempotency-key", KEY).send().await
    };
    let lost = [in_header().await, in_form().await, in_cookie().await];
    server.pass(NIGHT);

    let retried = [in_header().await, in_form().await, in_cookie().await];

    for (lost, retried) in lost.into_iter().zip(retried) {
        assert_eq!(
            successor(&lost.expect(200)),
            successor(&retried.expect(200))
        );
    }
}

/// Returns the refresh token of a response, from the body or the cookie.
#[track_caller]
fn successor(answer: &HttpResponse) -> String {
    let mut cookies = answer.set_cookies().into_iter();
    let found = cookies.find_map(|cookie| cookie.split(';').next()?.strip_prefix(REFRESH_COOKIE));
    found.map_or_else(|| answer.field("refresh_token"), str::to_owned)
}

async fn a_retry_by_key_succeeds_at_another_replica_without_grace(backend: Backend) {
    let backend = backend.with("LATCHET_GRACE", "0s");
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("alice").await.login().await;
    let lost = session.rotate_with(KEY).await;
    server.stop().await;

    let server = InProcessServer::start(&backend).await;
    server.pass(NIGHT);
    let retried = session.at(&server.http).rotate_with(KEY).await;

    assert_eq!(retried.refresh, lost.refresh);
}

async fn reuse_without_the_key_is_detected(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let person = server.http.person("alice").await;
    let other = person.login().await;
    other.rotate_with("key-of-the-other-device").await;

    for key in [
        None,
        Some("another-key-of-a-thief"),
        Some("key-of-the-other-device"),
        Some("key-of-the-parent-of-it"),
    ] {
        let session = person.login().await;
        let session = session.rotate_with("key-of-the-parent-of-it").await;
        let lost = session.rotate_with(KEY).await;
        server.pass(NIGHT);

        let stolen = match key {
            None => session.refresh().await,
            Some(key) => session.refresh_with(key).send().await,
        };

        stolen.expect_problem(401, "refresh_reused");
        let retried = session.refresh_with(KEY).send().await;
        retried.expect_problem(401, "session_revoked");
        lost.refresh().await.expect_problem(401, "session_revoked");
    }
}

async fn an_idempotency_key_ends_when_the_successor_is_used(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("alice").await.login().await;
    // One key for all requests, as a careless client sends it.
    session.rotate_with(KEY).await.rotate_with(KEY).await;
    server.pass(NIGHT);

    let answer = session.refresh_with(KEY).send().await;

    answer.expect_problem(401, "refresh_reused");
}

async fn an_idempotency_key_expires_after_a_day(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let person = server.http.person("alice").await;
    let (early, late) = (person.login().await, person.login().await);
    let lost = early.rotate_with(KEY).await;
    late.rotate_with(KEY).await;

    server.pass(Duration::from_hours(23));
    let retried = early.rotate_with(KEY).await;
    server.pass(Duration::from_hours(1));
    let answer = late.refresh_with(KEY).send().await;

    assert_eq!(retried.refresh, lost.refresh);
    answer.expect_problem(401, "refresh_reused");
}

async fn an_idempotency_key_does_not_revive_an_ended_session(backend: Backend) {
    let backend = backend.with("LATCHET_IDLE_TTL", "4h");
    let server = InProcessServer::start(&backend).await;
    let person = server.http.person("alice").await;
    let (logged_out, rested) = (person.login().await, person.login().await);
    let lost = logged_out.rotate_with(KEY).await;
    rested.rotate_with(KEY).await;

    lost.logout().await.expect(204);
    let after_logout = logged_out.refresh_with(KEY).send().await;
    server.pass(NIGHT);
    let after_rest = rested.refresh_with(KEY).send().await;

    after_logout.expect_problem(401, "session_revoked");
    after_rest.expect_problem(401, "session_expired");
}

async fn an_invalid_idempotency_key_is_refused_and_rotates_nothing(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("alice").await.login().await;
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", session.refresh.as_str()),
    ];

    for key in [
        "",
        "fifteen-letters",
        "sixteen letters!",
        "sixteen-lettersä",
        &"x".repeat(256),
    ] {
        let answer = session.refresh_with(key).send().await;
        let answer = answer.expect_problem(400, "validation_failed");
        assert_eq!(answer.json()["errors"][0]["field"], "Idempotency-Key");
        let request = server.http.post("/oauth/token").form(&form);
        let answer = request.header("idempotency-key", key).send().await;
        assert_eq!(answer.expect(400).json()["error"], "invalid_request");
    }
    let two = session.refresh_with(KEY).header("idempotency-key", KEY);
    two.send().await.expect_problem(400, "validation_failed");

    server.pass(NIGHT);
    session.rotate_with(&"x".repeat(255)).await;
}

async fn retries_at_once_get_one_successor(backend: Backend) {
    let server = InProcessServer::start(&backend.with("LATCHET_GRACE", "0s")).await;
    let session = server.http.person("alice").await.login().await;
    let mut retries = JoinSet::new();
    for _ in 0..20 {
        let session = session.clone();
        retries.spawn(async move { session.rotate_with(KEY).await.refresh });
    }

    let mut successors = retries.join_all().await;

    successors.dedup();
    assert_eq!(successors.len(), 1, "{successors:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_neither_stored_nor_logged() {
    let backend = Backend::sqlite().with("LATCHET_LOG_LEVEL", "trace");
    let server = Replica::start(&backend).await;
    let session = server.http.person("alice").await.login().await;

    session.rotate_with(KEY).await;
    session.refresh_with("too-short").send().await.expect(400);

    let log = server.log().await;
    assert!(log.contains("/v1/refresh"));
    assert!(!log.contains(KEY));
    assert!(!log.contains("too-short"));
    let mut stored = Vec::new();
    for entry in std::fs::read_dir(backend.folder.path().join("data")).unwrap() {
        stored.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    assert!(contains(&stored, &session.id), "the session is there");
    assert!(!contains(&stored, KEY));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_in_neither_postgres_nor_redis() {
    let backend = Backend::postgres();
    let server = Replica::start(&backend).await;
    let session = server.http.person("alice").await.login().await;

    session.rotate_with(KEY).await.logout().await.expect(204);

    let rows = Postgres::shared().sql(&backend.database(), "SELECT * FROM sessions");
    assert!(rows.contains(&session.id), "the session is there: {rows}");
    assert!(!rows.contains(KEY), "{rows}");
    // Where Redis is slow, or its copy is not complete yet, the end is in SQL alone at first.
    let names = poll::until_some("the end of the session to be in Redis", async || {
        let names: Vec<String> = backend.redis().ask(&["KEYS", "*"]);
        let is_there = names.iter().any(|name| name.contains(&session.id));
        is_there.then_some(names)
    });
    for name in names.await {
        let value: Vec<u8> = backend.redis().ask(&["DUMP", &name]);
        assert!(!name.contains(KEY) && !contains(&value, KEY), "{name}");
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}
