//! The real server, as people start it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use latchet::config::DatabaseUrl;
use latchet::denylist::{DenylistBackend, DenylistHealth};
use latchet::store::Store;
use latchet_guard::clock::Clock;
use latchet_guard::denylist::Denylist;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::support::backend::{START_TIMEOUT, folder, free_address};
use crate::support::connection::Connection;
use crate::support::load::{get, post};
use crate::support::process::{Cores, Process};

/// User that logs in everywhere.
pub(crate) const NAME: &str = "administrator";
/// With this.
pub(crate) const PASSWORD: &str = "a long password of the bench";

/// Returns the name of one of the people with that password, who are there where a bench makes them.
pub(crate) fn person(number: usize) -> String {
    format!("person{number}")
}

/// Of every server here.
pub(crate) const ROOT_SECRET: &str = "rcbVXS8m9X1c7wRZ4uJ5kq0yTn2Lh6Gf3Pd8Ae1iOoU";

/// Longest time for the largest denylist to be copied, by a build that is not optimised.
const FILL_TIMEOUT: Duration = Duration::from_mins(5);

/// A running server.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
    /// Between the start of the process and its first response.
    pub(crate) started_in: Duration,
    started: Instant,
    log: PathBuf,
}

/// Log of the service, printed when something went wrong.
impl Drop for Service {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            for line in log
                .lines()
                .filter(|line| !line.contains("\"INFO\""))
                .take(20)
            {
                println!("{line}");
            }
        }
    }
}

/// Tokens of a login.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

/// Where a server keeps its data; empty at first.
#[derive(Debug)]
pub(crate) struct DataFolder(TempDir);

impl DataFolder {
    /// Makes a new one.
    pub(crate) fn new() -> Self {
        let folder = folder();
        fs::write(folder.path().join("password"), PASSWORD).expect("the folder is ours");
        Self(folder)
    }

    /// Returns the URL of the database that a server uses if none is configured.
    pub(crate) fn default_database(&self) -> String {
        self.sqlite("latchet")
    }

    /// Returns the URL of an SQLite database in it.
    pub(crate) fn sqlite(&self, name: &str) -> String {
        format!("sqlite://{}/{name}.db", self.0.path().display())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn log(&self) -> PathBuf {
        self.path().join("log")
    }
}

impl Service {
    /// Starts a server on these cores with the database in `home`, and further settings.
    pub(crate) fn start(cores: Cores, home: &DataFolder, settings: &[(&str, &str)]) -> Self {
        let address = free_address();
        let mut command = cores.run(env!("CARGO_BIN_EXE_latchet"));
        configure(&mut command, home, address);
        command.envs(settings.iter().copied());
        let start = Instant::now();
        // In peace: a build that counts what it runs writes that down as it ends.
        let process = Process::start(&mut command, Signal::TERM);
        let runtime = Runtime::new().expect("the system gives threads");
        while !runtime.block_on(answers(address)) {
            assert!(
                start.elapsed() < START_TIMEOUT,
                "the server does not answer"
            );
            thread::sleep(Duration::from_millis(1));
        }
        Self {
            address,
            process,
            started_in: start.elapsed(),
            started: start,
            log: home.log(),
        }
    }

    /// Logs in as often.
    pub(crate) fn login(&self, times: usize) -> Vec<Tokens> {
        let runtime = Runtime::new().expect("the system gives threads");
        runtime.block_on(async {
            let mut connection = Connection::open(self.address).await;
            let mut tokens = Vec::new();
            for _ in 0..times {
                let body = connection.exchange(&login_request(NAME)).await;
                tokens.push(Tokens {
                    access: field(body, "access_token"),
                    refresh: field(body, "refresh_token"),
                });
            }
            tokens
        })
    }

    /// Waits until checks are answered by the copy that was configured, and returns how long the
    /// server had run by then.
    pub(crate) fn until_denylist_is_good(&self) -> Duration {
        let runtime = Runtime::new().expect("the system gives threads");
        let url = format!("http://{}/readyz", self.address);
        runtime.block_on(async {
            loop {
                let answer = reqwest::get(&url).await.expect("the server answers");
                let answer = answer.text().await.expect("in full");
                if answer.contains(r#""denylist":"ok""#) {
                    return self.started.elapsed();
                }
                let waited = self.started.elapsed();
                assert!(waited < FILL_TIMEOUT, "still {answer} after {waited:?}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    }

    /// Returns what [`load::run`](crate::support::load::run) needs to know of a server.
    pub(crate) fn target(&self) -> (SocketAddr, &Process) {
        (self.address, &self.process)
    }
}

/// Nothing of this process's environment, and what a bench must not run into raised.
fn configure(command: &mut Command, home: &DataFolder, address: SocketAddr) {
    let log = fs::File::create(home.log()).expect("the folder is ours");
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LATCHET_LISTEN", address.to_string())
        .env("LATCHET_DATA_DIR", home.path())
        .env("LATCHET_ROOT_SECRET", ROOT_SECRET)
        .env("LATCHET_THROTTLE_IP", "100000000/1m")
        .env("LATCHET_THROTTLE_ACCOUNT", "100000000/1m")
        .env("LATCHET_THROTTLE_ACCOUNT_IP", "100000000/1m")
        .env("LATCHET_MAX_SESSIONS", "1000")
        .env("LATCHET_BOOTSTRAP_ADMIN", NAME)
        .env(
            "LATCHET_BOOTSTRAP_ADMIN_PASSWORD_FILE",
            home.path().join("password"),
        )
        .current_dir(home.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("files can be cloned"))
        .stderr(log);
}

async fn answers(address: SocketAddr) -> bool {
    if tokio::net::TcpStream::connect(address).await.is_err() {
        return false;
    }
    let mut connection = Connection::open(address).await;
    connection.exchange(&get("/livez", None).0).await;
    true
}

/// Returns a request that logs in.
pub(crate) fn login_request(name: &str) -> Vec<u8> {
    let body = format!(r#"{{"username":"{name}","password":"{PASSWORD}"}}"#);
    post("/v1/login", &body)
}

/// Returns a string in a flat JSON object.
pub(crate) fn field(json: &[u8], name: &str) -> String {
    let text = std::str::from_utf8(json).expect("JSON is UTF-8");
    let name = format!("\"{name}\":\"");
    let start = text.find(&name).expect("the answer has the field") + name.len();
    let length = text[start..].find('"').expect("strings end");
    text[start..start + length].to_owned()
}

/// Opens the server's denylist for a floor, and keeps it filled until this process ends.
pub(crate) async fn replicated_denylist(redis: Option<&str>, database: &str) -> Arc<dyn Denylist> {
    let url: DatabaseUrl = database.parse().expect("the bench made this URL");
    let store = Store::open(&url).await.expect("the database answers");
    let list = DenylistBackend::open(url.kind(), redis, store, Clock::system());
    let list = list.expect("the bench made this URL");
    let mut tasks = JoinSet::new();
    list.maintain(&mut tasks);
    let start = Instant::now();
    while list.health() != DenylistHealth::Healthy {
        assert!(start.elapsed() < FILL_TIMEOUT, "{:?}", list.health());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // They go on for as long as the floor plays, which is until it is killed.
    tasks.detach_all();
    list.list()
}
