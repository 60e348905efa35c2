//! Replicas whose clock is far from that of the database.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use latchet::clock_skew::MAX_DEVIATION;
use latchet::store::Store;
use latchet_guard::clock::Clock;

use crate::support::local::InProcessServer;
use crate::support::postgres::Postgres;
use crate::support::server::{Replica, command};
use crate::support::{Backend, poll};

const TWENTY_MINUTES: Duration = Duration::from_mins(20);

/// Returns the library that sets the clock of one process, where packages put it.
fn libfaketime() -> PathBuf {
    let places = "ls /usr/lib*/faketime/libfaketimeMT.so.1 /usr/lib/*/faketime/libfaketimeMT.so.1 \
                  /usr/local/lib/faketime/libfaketimeMT.so.1 2>/dev/null | head -n 1";
    let found = Command::new("sh").args(["-c", places]).output().unwrap();
    let path = String::from_utf8(found.stdout).unwrap();
    assert!(
        !path.trim().is_empty(),
        "`libfaketime` is not installed; `scripts/test` installs it"
    );
    path.trim().into()
}

/// Returns the program with a clock that is set by so many seconds.
fn with_clock_set(backend: &Backend, seconds: &str) -> Command {
    let mut command = command(backend);
    command
        .env("LATCHET_LISTEN", "127.0.0.1:0")
        .env("LD_PRELOAD", libfaketime())
        .env("FAKETIME", seconds)
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1");
    command
}

#[test]
fn a_server_whose_clock_is_wrong_refuses_to_start_and_says_how_to_fix_it() {
    let backend = Backend::postgres_alone();

    for seconds in ["+1200", "-1200"] {
        let output = with_clock_set(&backend, seconds).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{seconds}: it starts");
        let times = text.matches(':').count() >= 4 && text.matches('T').count() >= 2;
        assert!(times, "both times are named: {text}");
        assert!(text.contains("NTP"), "{text}");
    }
    let keys = Postgres::shared().sql(&backend.database(), "SELECT count(*) FROM keys");
    assert_eq!(keys.trim(), "0", "nothing with a time was created");
}

#[test]
fn the_doctor_reports_a_clock_that_keeps_a_server_from_starting() {
    let backend = Backend::postgres_alone();
    crate::support::server::run(&backend, &["migrate"]);

    let output = with_clock_set(&backend, "+1200").arg("doctor").output();

    let output = output.unwrap();
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success(), "{report}");
    assert!(report.contains("no server starts"), "{report}");
    assert!(report.contains("NTP"), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_collected_by_a_fast_clock_revives_no_token() {
    let backend = Backend::postgres_alone();
    let server = Replica::start(&backend).await;
    let session = server.http.person("alice").await.login().await;
    session.logout().await.expect(204);
    session.check().await.expect(401);
    let url = backend.settings()["DATABASE_URL"].parse().unwrap();
    let store = Store::open(&url).await.unwrap();
    let ahead = Clock::system().now() + TWENTY_MINUTES;

    store.delete_expired_rows(ahead).await.unwrap();

    session.check().await.expect_problem(401, "token_revoked");
    let followed = store.revocations_after(0, 500, ahead).await.unwrap();
    assert!(
        !followed.is_empty(),
        "a copy made by this clock is complete"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_steps_ahead_makes_a_server_not_ready_and_stops_it_from_deleting() {
    let backend = Backend::postgres().with("LATCHET_COLLECT_EVERY", "1s");
    let server = InProcessServer::start(&backend).await;
    let database = backend.database();
    let old = || {
        let sql = "SELECT count(*) FROM throttles WHERE key = 'old'";
        Postgres::shared().sql(&database, sql).trim() == "1"
    };
    let make_old = || {
        let sql = "INSERT INTO throttles (key, attempts, resets_at) VALUES ('old', 1, 1)";
        Postgres::shared().sql(&database, sql)
    };

    server.pass(TWENTY_MINUTES);

    let answer = server.http.get("/readyz").send().await.expect(503);
    let parts = ["status", "database", "clock"].map(|part| answer.field(part));
    assert_eq!(parts, ["failing", "ok", "failing"]);
    make_old();
    // Rounds come every second.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(old(), "nothing is deleted by a clock that is wrong");

    server.set_back(TWENTY_MINUTES);

    server.http.ready().await;
    poll::until("the old row to be deleted", || !old());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_difference_within_the_bound_leaves_a_server_ready() {
    let server = InProcessServer::start(&Backend::postgres_alone()).await;

    server.pass(MAX_DEVIATION.checked_sub(Duration::from_secs(5)).unwrap());

    let answer = server.http.get("/readyz").send().await.expect(200);
    assert_eq!(answer.field("clock"), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_the_clock_check_is_skipped() {
    let server = InProcessServer::start(&Backend::sqlite()).await;

    server.pass(TWENTY_MINUTES);

    let answer = server.http.get("/readyz").send().await.expect(200);
    assert_eq!(answer.field("clock"), "ok");
}

#[test]
fn a_sqlite_file_is_opened_at_any_clock_time() {
    let backend = Backend::sqlite();
    crate::support::server::run(&backend, &["migrate"]);

    let output = with_clock_set(&backend, "+1200")
        .args(["user", "list"])
        .output()
        .unwrap();

    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
}
