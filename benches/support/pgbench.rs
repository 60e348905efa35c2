//! `pgbench` with one update per commit: the floor of a write that is on the disk before its response.

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::backend::{folder, postgres_program};
use crate::support::fill::FilledDatabase;
use crate::support::floor::sql::SUPERSEDED;
use crate::support::load::CONNECTIONS;
use crate::support::process::Cores;

/// One set-up of it.
#[derive(Debug)]
pub(crate) struct Pgbench {
    database: String,
    connections: usize,
    script: PathBuf,
    _folder: TempDir,
}

impl Pgbench {
    /// Fills a database, which is empty, with a session for each connection.
    pub(crate) fn new(database: String, connections: usize) -> Self {
        let filled = FilledDatabase::open(&database);
        filled.sessions(1..=u64::try_from(CONNECTIONS).expect("it is small"));
        filled.run(
            "UPDATE sessions SET id = 'session' || (CAST(right(id, 12) AS bigint) - 1)",
            [],
        );
        let folder = folder();
        let script = folder.path().join("update.sql");
        // What a refresh changes, for the session that belongs to the connection.
        let update = format!(
            "UPDATE sessions SET generation = generation + 1, rotated_at = 1790000000016,
            superseded = '{SUPERSEDED}' WHERE id = 'session' || :client_id AND revoked_at IS NULL;"
        );
        std::fs::write(&script, update.replace('\n', " ")).expect("the folder is ours");
        Self {
            database,
            connections,
            script,
            _folder: folder,
        }
    }

    /// Runs it for `window`, in whole seconds, on the cores of the server, and returns the commits per second.
    pub(crate) fn commits_per_second(&self, window: Duration) -> f64 {
        let seconds = window.as_secs_f64().ceil().to_string();
        let run = Cores::Server
            .run(&postgres_program("pgbench"))
            .args(["--no-vacuum", "--protocol=prepared", "--jobs=1"])
            .arg(format!("--client={}", self.connections))
            .arg(format!("--time={seconds}"))
            .arg(format!("--file={}", self.script.display()))
            .arg(&self.database)
            .output()
            .expect("`pgbench` of PostgreSQL is installed");
        let said = String::from_utf8_lossy(&run.stdout);
        let rate = said.lines().find_map(|line| line.strip_prefix("tps = "));
        let rate = rate.and_then(|rate| rate.split(' ').next()?.parse().ok());
        rate.unwrap_or_else(|| panic!("{run:?}"))
    }
}
