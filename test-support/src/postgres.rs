//! PostgreSQL servers, started here as child processes.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::child::{Child, EndSignal, program};
use crate::{poll, port, scratch};

/// One server with its own data. Most tests share one and have a database each in it
/// ([`Postgres::shared`]); those that kill it start their own ([`Postgres::start`]).
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    port: u16,
    environment: BTreeMap<&'static str, String>,
    child: Mutex<Option<Child>>,
}

/// Fresh data folder. `initdb` takes a second and gives the same every time, so it runs once and its result is copied.
static TEMPLATE: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = folder();
    run(as_server_user(Command::new(program("initdb")).args([
        "--no-sync",
        "--auth=trust",
        "--username=postgres",
        "--encoding=UTF8",
        "--locale=C",
        "--pgdata",
    ]))
    .arg(folder.path().join("data")));
    folder
});

static SHARED: LazyLock<Postgres> = LazyLock::new(Postgres::start);

impl Postgres {
    /// Returns the server that tests share.
    pub fn shared() -> &'static Self {
        &SHARED
    }

    /// Starts a separate server.
    pub fn start() -> Self {
        Self::start_in(|_| BTreeMap::new())
    }

    /// Starts a server in an environment that may depend on where its data are.
    pub fn start_in(environment: impl FnOnce(&Path) -> BTreeMap<&'static str, String>) -> Self {
        let folder = folder();
        run(as_server_user(Command::new("cp").arg("-R"))
            .arg(TEMPLATE.path().join("data"))
            .arg(folder.path().join("data")));
        let server = Self {
            environment: environment(&folder.path().join("data")),
            folder,
            port: port::free(),
            child: Mutex::default(),
        };
        server.resume();
        server
    }

    /// Starts a standby that follows this server.
    #[must_use]
    pub fn standby(&self) -> Self {
        let folder = folder();
        run(as_server_user(
            Command::new(program("pg_basebackup"))
                .args(["--host=127.0.0.1", "--username=postgres"])
                .args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"])
                .arg(format!("--port={}", self.port))
                .arg("--pgdata")
                .arg(folder.path().join("data")),
        ));
        let standby = Self {
            environment: BTreeMap::new(),
            folder,
            port: port::free(),
            child: Mutex::default(),
        };
        standby.resume();
        standby
    }

    /// Makes a standby a server of its own, and waits until it takes writes.
    pub fn promote(&self) {
        self.sql("postgres", "SELECT pg_promote()");
        poll::until("the standby to be promoted", || {
            self.sql("postgres", "SELECT pg_is_in_recovery()").trim() == "f"
        });
    }

    /// Makes an empty database and returns its URL.
    pub fn database(&self) -> String {
        self.database_with("")
    }

    /// Makes an empty database with these options of `CREATE DATABASE`, and returns its URL.
    pub fn database_with(&self, options: &str) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} {options}"));
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// Returns the port of the server.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the folder of the server, which holds its socket.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file that only the server's user may read, and returns its path.
    pub fn private_file(&self, name: &str, content: &[u8]) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).expect("the folder is ours");
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, mode).expect("the file is ours");
        if let Some((uid, gid)) = server_user() {
            std::os::unix::fs::chown(&path, Some(uid), Some(gid)).expect("root may give away");
        }
        path
    }

    /// Runs a statement and returns its rows as `psql` prints them, columns parted by `|`.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        run(self.psql(database).arg(statement))
    }

    /// Keeps others from writing to a table, while they may still read it.
    pub fn hold(&self, database: &str, table: &str) -> TableLock<'_> {
        let statements = format!(
            "SET application_name = 'hold of {database}'; \
             BEGIN; LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE; SELECT pg_sleep(600)"
        );
        let mut psql = self.psql(database);
        psql.arg(statements)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let hold = TableLock {
            postgres: self,
            database: database.to_owned(),
            _psql: Child::start(&mut psql, EndSignal::Kill),
        };
        poll::until("the table to be held", || {
            hold.count("granted AND mode = 'ShareRowExclusiveLock'") > 0
        });
        hold
    }

    /// Kills the server with `SIGKILL`, as a power cut would.
    pub fn kill(&self) {
        let Some(mut child) = self.running().take() else {
            return;
        };
        child.signal(Signal::KILL);
        child.wait(poll::DEADLINE);
    }

    /// Starts a killed server again, on the same port and data.
    pub fn resume(&self) {
        let child = self.begin();
        *self.running() = Some(child);
        self.revive();
    }

    /// Waits until the server answers. One that has ended, or that still holds the lock of the one before it
    /// (its backends take a moment to notice that it was killed), is started again.
    pub fn revive(&self) {
        poll::until("PostgreSQL to answer", || {
            let mut running = self.running();
            if running.as_mut().is_none_or(|child| child.ended().is_some()) {
                *running = Some(self.begin());
            }
            drop(running);
            let asked = self.psql("postgres").arg("SELECT 1").output();
            asked.is_ok_and(|answer| answer.status.success())
        });
    }

    fn begin(&self) -> Child {
        let sockets = self.folder.path();
        let mut command = Command::new(program("postgres"));
        let settings = [
            "listen_addresses=127.0.0.1,::1",
            "max_connections=200",
            "shared_buffers=32MB",
            // A killed process loses nothing that the kernel has; only a power cut would.
            "fsync=off",
            "full_page_writes=off",
        ];
        command
            .arg("-D")
            .arg(sockets.join("data"))
            .arg("-k")
            .arg(sockets)
            .arg("-p")
            .arg(self.port.to_string());
        for setting in settings {
            command.args(["-c", setting]);
        }
        let log = std::fs::File::create(sockets.join("log")).expect("the folder is ours");
        command
            .envs(&self.environment)
            .stdout(log.try_clone().expect("files can be cloned"))
            .stderr(log);
        Child::start(as_server_user(&mut command), EndSignal::Quit)
    }

    fn running(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().expect("no holder panics")
    }

    fn psql(&self, database: &str) -> Command {
        let mut psql = Command::new(program("psql"));
        psql.args([
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--username=postgres",
        ])
        .args(["--set=ON_ERROR_STOP=1", "--host=127.0.0.1"])
        .arg(format!("--port={}", self.port))
        .arg(format!("--dbname={database}"))
        .arg("--command");
        psql
    }
}

/// A table that nobody else can write to, until this is released or dropped.
#[derive(Debug)]
pub struct TableLock<'p> {
    postgres: &'p Postgres,
    database: String,
    _psql: Child,
}

impl TableLock<'_> {
    /// Returns whether somebody waits to write.
    pub fn is_waited_for(&self) -> bool {
        self.count("NOT granted") > 0
    }

    /// Lets the others write.
    pub fn release(self) {
        drop(self);
    }

    fn count(&self, which: &str) -> usize {
        let count = format!(
            "SELECT count(*) FROM pg_locks \
             WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND {which}"
        );
        let answer = self.postgres.sql(&self.database, &count);
        answer.trim().parse().expect("a count is a number")
    }
}

impl Drop for TableLock<'_> {
    fn drop(&mut self) {
        let end =
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = ";
        self.postgres
            .sql("postgres", &format!("{end}'hold of {}'", self.database));
    }
}

/// Returns a temporary folder that the server's user may write to.
fn folder() -> TempDir {
    let folder = scratch::folder();
    if let Some((uid, gid)) = server_user() {
        std::os::unix::fs::chown(folder.path(), Some(uid), Some(gid)).expect("root may give away");
    }
    folder
}

/// Lets `command` run as an ordinary user when the tests run as root, which PostgreSQL refuses.
pub fn as_server_user(command: &mut Command) -> &mut Command {
    match server_user() {
        Some((uid, gid)) => command.uid(uid).gid(gid).current_dir("/"),
        None => command,
    }
}

fn server_user() -> Option<(u32, u32)> {
    static USER: LazyLock<Option<(u32, u32)>> = LazyLock::new(|| {
        let id = |flag: &str| {
            run(Command::new("id").args([flag, "postgres"]))
                .trim()
                .parse()
                .expect("ids are numbers")
        };
        rustix::process::geteuid()
            .is_root()
            .then(|| (id("-u"), id("-g")))
    });
    *USER
}

fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("the programs used here print UTF-8")
}
