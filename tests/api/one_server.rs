//! One server on a SQLite file, and the command line beside it.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitStatus;

use crate::support::child::{Child, EndSignal};
use crate::support::redis::Redis;
use crate::support::server::{Replica, command, run};
use crate::support::tool::assert_passes;
use crate::support::{Backend, poll};

/// A server that ended by itself.
struct Refusal {
    status: ExitStatus,
    said: String,
}

/// Starts another server on the storage of `backend`, and waits for its end.
fn start_another(backend: &Backend) -> Refusal {
    let path = backend.folder.path().join("second.log");
    let log = File::create(&path).unwrap();
    let mut command = command(backend);
    command
        .env("LATCHET_LISTEN", "127.0.0.1:0")
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let status = Child::start(&mut command, EndSignal::Kill).wait(poll::DEADLINE);
    Refusal {
        status,
        said: std::fs::read_to_string(path).unwrap(),
    }
}

#[track_caller]
fn assert_refused(refusal: &Refusal, server: &Replica) {
    let said = &refusal.said;
    assert!(!refusal.status.success(), "{said}");
    let holder = format!("process {}", server.id());
    for part in ["latchet.db", &holder, "stop it first"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_on_the_file_refuses_and_names_the_first() {
    let backend = Backend::sqlite();
    let server = Replica::start(&backend).await;
    let session = server.http.person("alice").await.login().await;

    let refused = start_another(&backend);

    assert_refused(&refused, &server);
    session.check().await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_paths_to_the_file_find_the_same_lock() {
    let backend = Backend::sqlite();
    let server = Replica::start(&backend).await;
    let folder = backend.folder.path();
    std::os::unix::fs::symlink(folder.join("data"), folder.join("linked")).unwrap();
    std::os::unix::fs::symlink(folder.join("data/latchet.db"), folder.join("db.link")).unwrap();

    for url in [
        "sqlite://linked/latchet.db",
        "sqlite://db.link",
        "sqlite:data/../data/latchet.db",
    ] {
        let refused = start_another(&backend.clone().with("DATABASE_URL", url));
        assert_refused(&refused, &server);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_does_not_allow_a_second_server_on_the_file() {
    let redis = Redis::start();
    let backend = Backend::sqlite().with("REDIS_URL", &redis.url());
    let server = Replica::start(&backend).await;

    let refused = start_another(&backend);

    assert_refused(&refused, &server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lock_of_a_killed_server_is_free() {
    let backend = Backend::sqlite();
    let server = Replica::start(&backend).await;
    let session = server.http.person("alice").await.login().await;
    session.logout().await.expect(204);

    server.kill();

    let next = Replica::start(&backend).await;
    session.at(&next.http).check().await.expect(401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lock_of_a_stopped_server_is_free() {
    let backend = Backend::sqlite();
    let mut server = Replica::start(&backend).await;

    server.terminate();
    assert!(server.wait().success(), "{}", server.written_log());

    Replica::start(&backend).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_work_beside_the_server_that_holds_the_lock() {
    let backend = Backend::sqlite();
    let server = Replica::start(&backend).await;
    let session = server.http.person("alice").await.login().await;

    for arguments in [
        &["migrate"][..],
        &["user", "list"],
        &["user", "roles", "alice", "reader"],
        &["user", "reset-link", "alice"],
        &["key", "list"],
        &["key", "export-jwks"],
        &["key", "rotate"],
        &["user", "disable", "alice"],
    ] {
        run(&backend, arguments);
    }

    session.check().await.expect(401);
    assert_refused(&start_another(&backend), &server);
}

/// Opens the file as a tool of its operator does, reads it, and closes it.
fn look_at(file: &Path) {
    let script = "import sqlite3, sys\n\
        db = sqlite3.connect(sys.argv[1])\n\
        db.execute('SELECT count(*) FROM users').fetchall()\n\
        db.close()";
    let mut python = std::process::Command::new("python3");
    assert_passes(python.args(["-c", script]).arg(file));
}

/// The last program to close a SQLite file deletes its journal. It takes itself for the last one when the
/// server has lost its locks, and then the server goes on writing to a deleted file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_beside_a_server_leave_its_journal_alone() {
    let backend = Backend::sqlite();
    let server = Replica::start(&backend).await;
    let file = backend.folder.path().join("data/latchet.db");
    let journal = backend.folder.path().join("data/latchet.db-wal");
    let number = || std::fs::metadata(&journal).map(|file| file.ino()).ok();
    let opened = number();
    assert!(opened.is_some(), "{}", journal.display());

    look_at(&file);
    assert_eq!(number(), opened, "after the start");
    server.http.get("/readyz").send().await.expect(200);
    look_at(&file);
    assert_eq!(number(), opened, "after a check of readiness");
    for arguments in [&["user", "list"][..], &["key", "list"], &["doctor"]] {
        // Whatever it reports: it opens the database, and closes it.
        command(&backend).args(arguments).output().unwrap();
        assert_eq!(number(), opened, "{arguments:?}");
    }

    let session = server.http.person("alice").await.login().await;
    server.kill();
    let next = Replica::start(&backend).await;
    session.at(&next.http).check().await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cannot_be_locked_is_refused_with_the_reason() {
    let backend = Backend::sqlite();
    let lock = backend.folder.path().join("data/latchet.db.lock");
    std::fs::create_dir_all(&lock).unwrap();

    let refused = start_another(&backend);

    let said = &refused.said;
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("latchet.db.lock"), "{said}");
    assert!(said.contains("supports locks"), "{said}");
}
