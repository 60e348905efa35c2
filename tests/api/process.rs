//! The program as a process: starting, stopping, and clients that behave badly.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::Backend;
use crate::support::server::{Replica, command, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_signal_lets_running_requests_finish() {
    let backend = Backend::sqlite();
    let mut server = Replica::start(&backend).await;
    let mut stream = TcpStream::connect(server.http.address()).await.unwrap();
    let body = json!({"username": "nobody", "password": "a password that is long"}).to_string();
    let head = format!(
        "POST /v1/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // Reports that the handler runs and waits for the body.
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");

    server.terminate();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();

    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(server.wait().success(), "{}", server.written_log());
    assert!(TcpStream::connect(server.http.address()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_it_drains_the_server_says_that_it_is_not_ready() {
    let backend = Backend::sqlite().with("LATCHET_DRAIN_DELAY", "60s");
    let server = Replica::start(&backend).await;

    server.terminate();

    crate::support::poll::until_some("readyz to refuse", async || {
        // A connection that rests at this moment may be closed.
        let answer = server.http.get("/readyz").try_send().await.ok()?;
        (answer.status == 503).then_some(())
    })
    .await;
    server.http.get("/livez").send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_sent_requests_are_closed() {
    let backend = Backend::sqlite()
        .with("LATCHET_HEADER_TIMEOUT", "300ms")
        .with("LATCHET_REQUEST_TIMEOUT", "600ms");
    let server = Replica::start(&backend).await;
    let halves = [
        "",
        "GET /livez HTTP/1.1\r\nhost: loc",
        "POST /v1/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{\"user",
    ];

    for half in halves {
        let mut stream = TcpStream::connect(server.http.address()).await.unwrap();
        stream.write_all(half.as_bytes()).await.unwrap();
        let start = Instant::now();
        let mut answer = Vec::new();
        let read =
            tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "{half:?} is open after {:?}", start.elapsed());
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
            "{half:?}: {answer}"
        );
    }
    server.http.get("/livez").send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_settings_a_link_creates_the_first_administrator() {
    let backend = Backend::sqlite()
        .without("LATCHET_BOOTSTRAP_ADMIN")
        .without("LATCHET_BOOTSTRAP_ADMIN_PASSWORD_FILE")
        .without("LATCHET_DATA_DIR");
    let server = Replica::start(&backend).await;

    let link = server.setup_link();
    let (_, link) = link.split_once('#').unwrap();
    let body = json!({"link": link, "username": "root-of-tests", "password": "a long password of the administrator"});
    server
        .http
        .post("/v1/setup")
        .json(&body)
        .send()
        .await
        .expect(201);
    let again =
        json!({"link": link, "username": "mallory", "password": "a long password of mallory"});
    let refused = server.http.post("/v1/setup").json(&again).send().await;

    assert!(
        (400..500).contains(&refused.status),
        "a link works once: {}",
        refused.text
    );
    let admin = server.http.admin().login().await;
    server
        .http
        .get("/v1/users")
        .bearer(&admin.access)
        .send()
        .await
        .expect(200);
    for secret in ["data/root-secret", "data/latchet.db"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(backend.folder.path().join(secret))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{secret} has mode {mode:o}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_secret_is_logged() {
    let backend = Backend::sqlite().with("LATCHET_LOG_LEVEL", "trace");
    let server = Replica::start(&backend).await;
    let alice = server.http.person("alice").await;
    let session = alice.login().await.rotate().await;
    session.check().await.expect(200);
    alice.try_login("a wrong password 4711").await.expect(401);
    session.logout().await.expect(204);

    let log = server.log().await;

    let root = std::fs::read_to_string(backend.folder.path().join("data/root-secret")).unwrap();
    for secret in [
        &*session.refresh,
        &session.access,
        &alice.password,
        "a wrong password 4711",
        root.trim(),
        "$argon2id",
    ] {
        assert!(!log.contains(secret), "{secret:?} is in the log");
    }
    let lines = log.lines().filter(|line| line.starts_with('{')).count();
    assert!(
        lines > 3,
        "JSON lines where the output is no terminal: {log}"
    );
}

#[test]
fn unsafe_or_unknown_settings_refuse_to_start() {
    let refused = [
        ("LATCHET_ACCESS_TTL", "0s", "access"),
        ("LATCHET_GRACE", "61s", "grace"),
        ("LATCHET_ROOT_SECRET", "changeme", "secret"),
        ("LATCHET_ROOT_SECRET", "short", "secret"),
        ("LATCHET_ACESS_TTL", "15m", "LATCHET_ACCESS_TTL"),
        ("LATCHET_ARGON2_MEMORY_KIB", "64", "argon2"),
        ("LATCHET_MIN_PASSWORD", "4", "password"),
        ("LATCHET_PUBLIC_URL", "http://auth.example.org", "https"),
        ("DATABASE_URL", "mysql://x", "DATABASE_URL"),
    ];

    for (name, value, told) in refused {
        let backend = Backend::sqlite().with(name, value);
        let output = command(&backend)
            .env("LATCHET_LISTEN", "127.0.0.1:0")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).to_lowercase();
        assert!(!output.status.success(), "{name}={value} starts");
        assert!(
            text.contains(&told.to_lowercase()),
            "{name}={value}: {text}"
        );
        assert!(!text.contains("panicked"), "{name}={value}: {text}");
    }
}

#[test]
fn a_newer_schema_refuses_to_start() {
    let backend = Backend::postgres_alone();
    run(&backend, &["migrate"]);
    let postgres = crate::support::postgres::Postgres::shared();
    postgres.sql(
        &backend.database(),
        "INSERT INTO seaql_migrations VALUES ('m99991231_000001_from_the_future', 0)",
    );

    let output = command(&backend)
        .env("LATCHET_LISTEN", "127.0.0.1:0")
        .output()
        .unwrap();

    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("newer"), "{text}");
}
