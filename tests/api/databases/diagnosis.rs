//! Reports of start, readiness and doctor about a database or a Redis that cannot serve.

use crate::support::child::{Child, EndSignal};
use crate::support::postgres::Postgres;
use crate::support::redis::Redis;
use crate::support::server::{Replica, command, run};
use crate::support::{Backend, poll};

use super::{failure, name_of, output};

/// Starts a server that must refuse to, and returns its output.
#[track_caller]
pub(crate) fn refusal(backend: &Backend) -> String {
    let path = backend.folder.path().join("refused.log");
    let log = std::fs::File::create(&path).unwrap();
    let mut command = command(backend);
    command
        .env("LATCHET_LISTEN", "127.0.0.1:0")
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let status = Child::start(&mut command, EndSignal::Kill).wait(poll::DEADLINE);
    let said = std::fs::read_to_string(path).unwrap();
    assert!(!status.success(), "{said}");
    said
}

/// Returns the findings that are bad, each with its fix. Every line must be a finding or belong to one, so
/// that a report of another form is not taken for a good one. Files of tests are open to others, which does
/// not matter here.
#[track_caller]
pub(super) fn bad_findings(said: &str) -> Vec<String> {
    let mut findings = Vec::<String>::new();
    for line in said.lines().filter(|line| !line.starts_with("latchet: ")) {
        match (line.get(..6), findings.last_mut()) {
            (Some("      "), Some(finding)) => finding.push_str(line),
            (Some("ok    " | "warn  " | "FAIL  "), _) => findings.push(line.to_owned()),
            _ => panic!("`{line}` is no finding: {said}"),
        }
    }
    assert!(
        findings.iter().any(|finding| finding.starts_with("ok")),
        "{said}"
    );
    findings.retain(|finding| {
        finding.starts_with("FAIL") && !finding.contains("is accessible to other users")
    });
    findings
}

#[track_caller]
pub(super) fn assert_doctor_says(backend: &Backend, wanted: &str) {
    let said = failure(backend, &["doctor"]);
    let bad = bad_findings(&said);
    assert!(
        bad.iter().any(|finding| finding.contains(wanted)),
        "{wanted}: {said}"
    );
}

#[track_caller]
pub(super) fn assert_doctor_is_content(backend: &Backend) {
    let output = output(backend, &["doctor"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("ok    the database responds"), "{said}");
    assert_eq!(output.status.success(), !said.contains("FAIL  "), "{said}");
    assert_eq!(bad_findings(&said), [""; 0], "{said}");
}

#[test]
fn a_database_that_cannot_hold_every_name_is_refused() {
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let options =
            format!("ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
        let backend = Backend::at(&Postgres::shared().database_with(&options));

        let said = refusal(&backend);

        assert!(said.contains(encoding), "{said}");
        assert_doctor_says(&backend, encoding);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_takes_no_writes_any_more_is_not_ready() {
    let server = Postgres::start();
    let url = server.database();
    let backend = Backend::at(&url);
    let replica = Replica::start(&backend).await;
    assert_doctor_is_content(&backend);

    let database = name_of(&url);
    server.sql(
        "postgres",
        &format!("ALTER DATABASE {database} SET default_transaction_read_only = on"),
    );
    server.sql(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'latchet'",
    );

    poll::until_some("readyz to refuse", async || {
        let answer = replica.http.get("/readyz").try_send().await.ok()?;
        let is_reported = answer.status == 503 && answer.json()["database"] == "failing";
        is_reported.then_some(())
    })
    .await;
    assert_doctor_says(&backend, "takes no writes");
    assert!(refusal(&backend).contains("takes no writes"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn privileges_that_are_missing_are_named() {
    let server = Postgres::start();
    let url = server.database();
    let database = name_of(&url).to_owned();
    run(&Backend::at(&url), &["migrate"]);
    server.sql("postgres", "CREATE ROLE app LOGIN");
    let app = Backend::at(&url.replace("postgres@", "app@"));

    assert_doctor_says(&app, "privileges");
    let grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO app";
    server.sql(&database, grant);
    let replica = Replica::start(&app).await;
    assert_doctor_is_content(&app);
    server.sql(&database, "REVOKE INSERT ON sessions FROM app");

    poll::until_some("readyz to refuse", async || {
        let answer = replica.http.get("/readyz").try_send().await.ok()?;
        (answer.status == 503).then_some(())
    })
    .await;
    assert_doctor_says(&app, "INSERT on sessions");
    assert!(refusal(&app).contains("INSERT on sessions"));
}

/// As after half a restore, or where the role looks into another schema.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_are_gone_are_named() {
    let server = Postgres::start();
    let url = server.database();
    let backend = Backend::at(&url);
    let replica = Replica::start(&backend).await;
    assert_doctor_is_content(&backend);

    server.sql(name_of(&url), "ALTER TABLE events RENAME TO lost");

    poll::until_some("readyz to refuse", async || {
        let answer = replica.http.get("/readyz").try_send().await.ok()?;
        (answer.status == 503).then_some(())
    })
    .await;
    replica.log_line("lacks tables: events").await;
    assert_doctor_says(&backend, "lacks tables: events");
    assert!(refusal(&backend).contains("lacks tables: events"));
}

#[test]
fn a_role_whose_commits_may_be_lost_is_reported() {
    let server = Postgres::start();
    let backend = Backend::at(&server.database());
    run(&backend, &["migrate"]);
    let doctor = || String::from_utf8(output(&backend, &["doctor"]).stdout).unwrap();
    assert!(!doctor().contains("synchronous_commit"), "{}", doctor());

    server.sql(
        "postgres",
        "ALTER ROLE postgres SET synchronous_commit = off",
    );

    let said = doctor();
    assert!(said.contains("warn  synchronous_commit is off"), "{said}");
}

#[test]
fn a_role_without_the_privilege_to_create_tables_is_refused_with_the_reason() {
    let server = Postgres::start();
    let url = server.database();
    server.sql("postgres", "CREATE ROLE app LOGIN");
    server.sql(name_of(&url), "REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let app = Backend::at(&url.replace("postgres@", "app@"));

    assert!(refusal(&app).contains("CREATE on the schema"));
    assert_doctor_says(&app, "CREATE on the schema");
}

#[test]
fn another_root_secret_is_refused_also_by_the_doctor() {
    for backend in [Backend::sqlite(), Backend::postgres_alone()] {
        run(&backend, &["migrate"]);
        run(&backend, &["key", "list"]);
        assert_doctor_is_content(&backend);
        let secret = run(&backend, &["secret"]);
        let other = backend.with("LATCHET_ROOT_SECRET", secret.trim());

        assert!(refusal(&other).contains("another root secret"));
        assert!(failure(&other, &["user", "list"]).contains("another root secret"));
        assert_doctor_says(&other, "another root secret");
    }
}

#[test]
fn a_lost_root_secret_is_not_replaced() {
    let backend = Backend::sqlite();
    run(&backend, &["migrate"]);
    run(&backend, &["key", "list"]);
    let file = backend.folder.path().join("data/root-secret");
    let secret = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();

    assert!(refusal(&backend).contains("the root secret is lost"));
    assert!(failure(&backend, &["user", "list"]).contains("the root secret is lost"));
    assert_doctor_says(&backend, "the root secret is lost");

    assert!(!file.exists(), "a secret was created");
    std::fs::write(&file, secret).unwrap();
    run(&backend, &["user", "list"]);
}

#[test]
fn the_doctor_names_each_state_of_redis() {
    let redis = Redis::start();
    let backend = Backend::postgres_alone().with("REDIS_URL", &redis.url());
    run(&backend, &["migrate"]);
    assert_doctor_is_content(&backend);
    let with = |url: String| Backend::postgres_alone().with("REDIS_URL", &url);
    let address = redis.address();

    redis.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    assert_doctor_says(&backend, "forget");
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);

    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_doctor_says(&backend, "OOM");
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]);

    redis.ask::<()>(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    assert_doctor_says(&backend, "min-replicas-to-write");
    redis.ask::<()>(&["CONFIG", "SET", "min-replicas-to-write", "0"]);

    redis.ask::<()>(&[
        "ACL", "SETUSER", "limited", "on", ">pw", "~*", "+@read", "+info", "+time",
    ]);
    assert_doctor_says(
        &with(format!("redis://limited:pw@{address}")),
        "permissions",
    );
    assert_doctor_says(
        &with(format!("redis://limited:wrong@{address}")),
        "could not connect",
    );

    redis.ask::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_doctor_says(&backend, "forget");
}

/// A node without slots, and the port by which others meet it.
fn cluster_node() -> (Redis, String) {
    let bus = crate::support::port::free().to_string();
    let node = Redis::start_with(&["--cluster-enabled", "yes", "--cluster-port", &bus]);
    (node, bus)
}

#[test]
fn a_cluster_node_is_recognized() {
    let (node, _) = cluster_node();
    let backend = Backend::postgres_alone().with("REDIS_URL", &node.url());

    // No node owns any slot yet.
    assert_doctor_says(&backend, "its cluster is incomplete");
    let (other, bus) = cluster_node();
    other.ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    let port = other.address().split_once(':').unwrap().1.to_owned();
    node.ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
    poll::until("the nodes to know each other", || {
        let info: String = node.ask(&["CLUSTER", "INFO"]);
        info.contains("cluster_state:ok")
    });

    assert_doctor_says(&backend, "redis+cluster://");
}
