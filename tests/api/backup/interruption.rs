//! Backups and restores that are interrupted, or have no room.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use super::{database_file, names, stop};
use crate::support::child::{Child, EndSignal};
use crate::support::client::Person;
use crate::support::server::{BINARY, Replica, command, run};
use crate::support::tool::assert_passes;
use crate::support::{Backend, poll};

/// Less than a database needs, and more than the files that SQLite keeps beside one.
const SMALL: &str = "ulimit -f 100; exec \"$0\" \"$@\"";

/// An installation with an account, whose server has stopped.
async fn installation() -> (Backend, Person) {
    let backend = Backend::sqlite();
    let server = Replica::start(&backend).await;
    let alice = server.http.person("alice").await;
    stop(server);
    (backend, alice)
}

/// Adds so much to a database that copying it takes a while.
fn grow(file: &Path) {
    let script = "import sqlite3, sys, time\n\
        db = sqlite3.connect(sys.argv[1])\n\
        now = int(time.time() * 1000)\n\
        rows = ((now, 'sessions_ended', 'x' * 200) for _ in range(100000))\n\
        db.executemany('INSERT INTO events (at, kind, ip) VALUES (?, ?, ?)', rows)\n\
        db.commit()\n\
        db.close()";
    assert_passes(Command::new("python3").args(["-c", script]).arg(file));
}

fn has_draft(folder: &Path) -> bool {
    names(folder).iter().any(|name| name.contains(".part-"))
}

/// Starts a command, and sends it the signal once it has begun to write. It may be faster.
fn interrupt(backend: &Backend, arguments: &[&str], folder: &Path, signal: Signal) -> bool {
    let mut started = command(backend);
    started.args(arguments);
    started.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = Child::start(&mut started, EndSignal::Kill);
    poll::until("the command to write", || {
        has_draft(folder) || child.ended().is_some()
    });
    if child.ended().is_none() {
        child.signal(signal);
    }
    child.wait(poll::DEADLINE).success()
}

/// Runs a command with a limit on the length of files, which must fail.
fn failure_without_room(backend: &Backend, arguments: &[&str]) -> String {
    let mut limited = Command::new("sh");
    limited
        .args(["-c", SMALL, BINARY])
        .args(arguments)
        .env_clear()
        .envs(backend.settings())
        .current_dir(backend.folder.path());
    let output = limited.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // Not by the signal of the limit, which would leave a draft behind.
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_without_room_leaves_nothing_behind() {
    let (backend, _) = installation().await;
    let before = names(backend.folder.path());

    let said = failure_without_room(&backend, &["backup", "copy.db"]);

    assert!(said.contains("copy.db; nothing was left behind"), "{said}");
    assert_eq!(names(backend.folder.path()), before);
    run(&backend, &["backup", "copy.db"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_without_room_leaves_the_database_as_it_was() {
    let (backend, alice) = installation().await;
    run(&backend, &["backup", "copy.db"]);
    run(
        &backend,
        &["user", "add", "bob", "--password-file", "admin-password"],
    );
    let folder = backend.folder.path().join("data");

    let said = failure_without_room(&backend, &["restore", "copy.db"]);

    assert!(said.contains("the database was not changed"), "{said}");
    assert!(!has_draft(&folder));
    assert!(run(&backend, &["user", "list"]).contains("bob"));
    let server = Replica::start(&backend).await;
    alice.at(&server.http).login().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_backup_is_complete_or_absent() {
    let (backend, _) = installation().await;
    grow(&database_file(&backend));
    for (round, signal) in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT]
        .into_iter()
        .enumerate()
    {
        let name = format!("copy-{round}");
        let is_done = interrupt(&backend, &["backup", &name], backend.folder.path(), signal);

        assert!(!has_draft(backend.folder.path()), "{signal:?}");
        let file = backend.folder.path().join(&name);
        assert_eq!(file.exists(), is_done, "{signal:?}");
    }
}

/// Killed at whatever step, a restore leaves one of the two databases, and it is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_restore_leaves_one_of_the_databases() {
    let (backend, alice) = installation().await;
    run(&backend, &["backup", "copy.db"]);
    grow(&database_file(&backend));
    run(&backend, &["backup", "large.db"]);
    let folder = backend.folder.path().join("data");

    for (round, signal) in [Signal::KILL, Signal::TERM, Signal::KILL, Signal::INT]
        .into_iter()
        .enumerate()
    {
        let file = if round % 2 == 0 {
            "large.db"
        } else {
            "copy.db"
        };
        interrupt(&backend, &["restore", file], &folder, signal);

        if signal != Signal::KILL {
            assert!(!has_draft(&folder), "{signal:?}");
        }
        for left in names(&folder).iter().filter(|name| name.contains(".part-")) {
            std::fs::remove_file(folder.join(left)).unwrap();
        }
        let server = Replica::start(&backend).await;
        alice
            .at(&server.http)
            .login()
            .await
            .check()
            .await
            .expect(200);
        stop(server);
        // It is checked as a whole.
        run(&backend, &["backup", &format!("after-{round}")]);
    }
}
