//! The installation that a command works on, and the effects of moving it.

use std::path::Path;

use crate::support::Backend;
use crate::support::postgres::Postgres;
use crate::support::redis::Redis;
use crate::support::server::{Replica, command, run};

use super::{failure, output};

#[test]
fn a_database_path_is_accepted_as_a_url() {
    let backend = Backend::sqlite();
    for name in [
        "per%20cent",
        "feature%2Flogin",
        "why?",
        "why?mode=ro",
        "number#1",
        "two words",
        "plus+and&",
        "Ünïcode",
        "100%",
        ":memory:",
    ] {
        let folder = backend.folder.path().join("x").join(name);
        let backend = backend
            .clone()
            .with("LATCHET_DATA_DIR", folder.to_str().unwrap());

        run(&backend, &["migrate"]);
        run(&backend, &["key", "list"]);

        let mut files = names_in(&folder);
        files.retain(|file| !file.contains("-wal") && !file.contains("-shm"));
        assert_eq!(files, ["latchet.db", "root-secret"], "{name}");
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn commands_for_an_existing_installation_create_none() {
    let backend = Backend::sqlite();
    for arguments in [
        &["user", "list"][..],
        &["user", "disable", "alice"],
        &["user", "enable", "alice"],
        &["user", "roles", "alice", "reader"],
        &["user", "reset-link", "alice"],
        &["user", "sessions-end", "alice"],
        &["key", "list"],
        &["key", "rotate"],
        &["key", "export-jwks"],
        &["doctor"],
    ] {
        let output = output(&backend, arguments);
        assert!(
            arguments == ["doctor"] || !output.status.success(),
            "{arguments:?}"
        );
        let data = backend.folder.path().join("data");
        assert!(!data.exists(), "{arguments:?} made {}", data.display());
    }
    let said = failure(&backend, &["user", "list"]);
    assert!(said.contains("LATCHET_DATA_DIR"), "{said}");
}

/// The first account may be created before the first start, which creates the first signing key.
#[test]
fn a_command_for_accounts_opens_no_signing_keys() {
    let backend = Backend::postgres_alone().with("LATCHET_VERIFICATION_KEYS", "missing.pem");
    let password = backend.folder.path().join("password");
    std::fs::write(&password, "a long password of grace").unwrap();
    let password = format!("--password-file={}", password.display());

    run(&backend, &["user", "add", "grace", &password]);

    let keys = Postgres::shared().sql(&backend.database(), "SELECT count(*) FROM keys");
    assert_eq!(keys.trim(), "0");
    assert!(run(&backend, &["user", "list"]).contains("grace"));
    assert!(failure(&backend, &["key", "list"]).contains("missing.pem"));
}

#[test]
fn an_empty_postgres_is_not_an_existing_installation() {
    let backend = Backend::postgres_alone();

    let said = failure(&backend, &["user", "list"]);

    assert!(said.contains("no Latchet installation found"), "{said}");
}

#[test]
fn every_command_names_its_database_and_never_a_password() {
    let sqlite = Backend::sqlite();
    let postgres = Backend::postgres_alone();
    let url = postgres.settings()["DATABASE_URL"].clone();
    let postgres = Backend::at(&url.replace("postgres@", "postgres:hunter2@"));
    for (backend, wanted) in [
        (
            &sqlite,
            format!("{}/data/latchet.db", sqlite.folder.path().display()),
        ),
        (&postgres, url),
    ] {
        for arguments in [
            &["migrate"][..],
            &["key", "list"],
            &["user", "list"],
            &["doctor"],
        ] {
            let said = output(backend, arguments).stderr;
            let said = String::from_utf8(said).unwrap();
            assert!(said.contains(&wanted), "{arguments:?}: {said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}

#[test]
fn a_password_on_the_command_line_is_refused() {
    let backend = Backend::sqlite();
    for arguments in [
        ["--database-url", "postgres://u:hunter2@h/d"],
        ["--database-url", "postgres://u@h/d?password=hunter2"],
        ["--redis-url", "redis://:hunter2@h"],
        [
            "--redis-url",
            "redis+sentinel://h/m?sentinel_password=hunter2",
        ],
        ["--redis-url", "unix:///run/redis.sock?pass=hunter2"],
    ] {
        let output = command(&backend).args(arguments).arg("migrate").output();
        let said = String::from_utf8(output.unwrap().stderr).unwrap();

        assert!(said.contains("readable by other users"), "{said}");
        assert!(said.contains("_FILE"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

/// Text of the warning about sessions of another issuer.
const CHANGED: &str = "the issuer has changed";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_signs_everybody_out_says_so() {
    let backend = Backend::sqlite().with("LATCHET_ISSUER", "https://old.test");
    let moved = backend.clone().with("LATCHET_ISSUER", "https://new.test");
    let server = Replica::start(&backend).await;
    let alice = server.http.person("alice").await;
    let session = alice.login().await;
    server.kill();
    let doctor = failure(&moved, &["doctor"]);
    assert!(
        doctor.contains("LATCHET_ISSUER=https://old.test"),
        "{doctor}"
    );
    let same = Replica::start(&backend).await;
    let log = same.log().await;
    assert!(!log.contains(CHANGED), "{log}");
    session.at(&same.http).rotate().await;
    same.kill();

    let server = Replica::start(&moved).await;

    let line = server.log_line(CHANGED).await;
    assert!(line.contains("https://old.test"), "{line}");
    assert_eq!(session.at(&server.http).refresh().await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_without_sessions_may_change_without_a_warning() {
    let backend = Backend::sqlite().with("LATCHET_ISSUER", "https://old.test");
    Replica::start(&backend).await.kill();

    let server = Replica::start(&backend.with("LATCHET_ISSUER", "https://new.test")).await;

    let log = server.log().await;
    assert!(!log.contains(CHANGED), "{log}");
}

/// Servers use a Redis that the command line does not know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_without_redis_takes_effect_before_it_reports_success() {
    let redis = Redis::start();
    let alone = Backend::postgres_alone();
    let server = Replica::start(&alone.clone().with("REDIS_URL", &redis.url())).await;
    let alice = server.http.person("alice").await;
    for _ in 0..3 {
        crate::support::poll::until_some("the copy in Redis to be trusted", async || {
            let ready = server.http.get("/readyz").try_send().await.ok()?.json();
            (ready["denylist"] == "ok").then_some(())
        })
        .await;
        let session = alice.login().await;
        session.check().await.expect(200);

        run(&alone, &["user", "sessions-end", "alice"]);

        assert_eq!(session.check().await.status, 401);
    }
}
