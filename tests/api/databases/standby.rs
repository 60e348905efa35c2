//! A streaming standby, which answers and takes no writes.

use crate::support::postgres::Postgres;
use crate::support::server::{Replica, run};
use crate::support::{Backend, poll};

use super::diagnosis::{assert_doctor_is_content, assert_doctor_says, refusal};
use super::{failure, name_of};

/// Waits until the standby has what the primary had when this was called.
fn catch_up(primary: &Postgres, standby: &Postgres) {
    let written = primary.sql("postgres", "SELECT pg_current_wal_lsn()");
    let has_it = format!(
        "SELECT pg_last_wal_replay_lsn() >= '{}'::pg_lsn",
        written.trim()
    );
    poll::until("the standby to follow", || {
        standby.sql("postgres", &has_it).trim() == "t"
    });
}

#[test]
fn a_standby_is_called_so_at_the_start_and_by_the_doctor() {
    let primary = Postgres::start();
    let url = primary.database();
    run(&Backend::at(&url), &["migrate"]);
    let standby = primary.standby();
    let address = |port: u16| format!("127.0.0.1:{port}");
    let (ours, theirs) = (address(primary.port()), address(standby.port()));
    let backend = Backend::at(&url.replace(&ours, &theirs));

    let said = refusal(&backend);

    assert!(said.contains("it is a standby"), "{said}");
    assert_doctor_says(&backend, "it is a standby");
    let said = failure(&backend, &["user", "list"]);
    assert!(said.contains("it is a standby"), "{said}");
    // As long as no other server is named, nothing else was asked for.
    let both = Backend::at(&url.replace(&ours, &format!("{theirs},{ours}")));
    assert_doctor_is_content(&both);
    run(&both, &["user", "list"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_waits_for_the_promotion_of_the_standby_and_serves_on() {
    let primary = Postgres::start();
    let url = primary.database();
    let database = name_of(&url).to_owned();
    let standby = primary.standby();
    let ports = (primary.port(), standby.port());
    // The standby is taken for want of another, so that readiness has to notice.
    let url = format!(
        "postgres://postgres@127.0.0.1:{},127.0.0.1:{}/{database}?target_session_attrs=any",
        ports.0, ports.1
    );
    let server = Replica::start(&Backend::at(&url)).await;
    let alice = server.http.person("alice").await;
    let session = alice.login().await;
    catch_up(&primary, &standby);

    primary.kill();

    poll::until_some("readyz to refuse, and the log to say why", async || {
        let answer = server.http.get("/readyz").try_send().await.ok()?;
        let is_failing = answer.status == 503 && answer.json()["database"] == "failing";
        (is_failing && server.written_log().contains("it is a standby")).then_some(())
    })
    .await;
    let refused = session.refresh().await.expect_problem(503, "unavailable");
    assert!(!refused.header("retry-after").is_empty());
    let log = server.log().await;
    assert_eq!(log.matches("it is a standby").count(), 1, "{log}");
    standby.promote();
    server.http.ready().await;
    session.rotate().await.check().await.expect(200);
    alice.login().await;
}
