//! Backups of both databases, and what a restore leaves of the time after the backup.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::child::program;
use crate::support::server::{Replica, command, run};
use crate::support::tool::assert_passes;
use crate::support::{Backend, poll};

mod interruption;
mod refusals;
mod restored;
mod under_load;

/// Runs a command that may fail.
fn output(backend: &Backend, arguments: &[&str]) -> Output {
    command(backend).args(arguments).output().unwrap()
}

/// Runs a command that must fail, and returns what it printed.
#[track_caller]
fn failure(backend: &Backend, arguments: &[&str]) -> String {
    let output = output(backend, arguments);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(!output.status.success(), "{arguments:?}: {said}");
    said
}

/// Returns the path of the SQLite file.
fn database_file(backend: &Backend) -> PathBuf {
    backend.folder.path().join("data/latchet.db")
}

/// Returns the names of the files in a folder.
fn names(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// Stops a server and waits until it has ended.
#[track_caller]
fn stop(mut server: Replica) {
    server.terminate();
    assert!(server.wait().success(), "{}", server.written_log());
}

fn is_sqlite(backend: &Backend) -> bool {
    !backend.settings().contains_key("DATABASE_URL")
}

/// Makes a backup in the way of the database, and returns its file.
fn back_up(backend: &Backend) -> PathBuf {
    let file = backend.folder.path().join("backup");
    let name = file.to_str().unwrap();
    if is_sqlite(backend) {
        run(backend, &["backup", name]);
    } else {
        let mut dump = Command::new(program("pg_dump"));
        let url = &backend.settings()["DATABASE_URL"];
        assert_passes(dump.args(["--format=custom", "--file", name]).arg(url));
    }
    file
}

/// Restores a backup in the way of the database, while no server runs.
fn restore(backend: &Backend, file: &Path) {
    let name = file.to_str().unwrap();
    if is_sqlite(backend) {
        run(backend, &["restore", name]);
    } else {
        let mut restore = Command::new(program("pg_restore"));
        let url = format!("--dbname={}", backend.settings()["DATABASE_URL"]);
        let arguments = ["--clean", "--if-exists", "--single-transaction", &url, name];
        assert_passes(restore.args(arguments));
        run(backend, &["restored"]);
    }
}

/// Waits until checks read the denylist where the settings say, and not SQL for the time being.
async fn denylist_is_healthy(server: &Replica) {
    poll::until_some("the denylist to be complete", async || {
        let ready = server.http.get("/readyz").send().await;
        (ready.status == 200 && ready.json()["denylist"] == "ok").then_some(())
    })
    .await;
}
