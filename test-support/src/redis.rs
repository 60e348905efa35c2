//! Redis servers, started here as child processes, and the ways in which they forget.

use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::child::{Child, EndSignal, program};
use crate::{poll, port, scratch};

/// One server with its own port and no persistence of its own accord.
#[derive(Debug)]
pub struct Redis {
    folder: TempDir,
    port: u16,
    arguments: Vec<String>,
    child: Mutex<Option<Child>>,
}

impl Redis {
    /// Starts an empty server.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts an empty server with these arguments beside the usual ones.
    pub fn start_with(arguments: &[&str]) -> Self {
        let folder = scratch::folder();
        let server = Self {
            folder,
            port: port::free(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            child: Mutex::default(),
        };
        server.resume();
        server
    }

    /// Returns the URL for `REDIS_URL`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Returns host and port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills the server with `SIGKILL`; what was not saved is gone.
    pub fn kill(&self) {
        let Some(mut child) = self.running().take() else {
            return;
        };
        child.signal(Signal::KILL);
        child.wait(poll::DEADLINE);
    }

    /// Starts a killed server again, on the same port and with the last dump, if there is one.
    pub fn resume(&self) {
        let mut command = Command::new(program("redis-server"));
        command
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args([
                "--save",
                "",
                "--appendonly",
                "no",
                "--maxmemory-policy",
                "noeviction",
            ])
            .arg("--dir")
            .arg(self.folder.path())
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = Child::start(&mut command, EndSignal::Kill);
        poll::until("Redis to answer", || {
            assert!(
                child.ended().is_none(),
                "redis-server ended at once; is its port taken?"
            );
            ask(&self.url(), &["PING"]).is_ok()
        });
        *self.running() = Some(child);
    }

    /// Freezes the server: connections stay open and get no response.
    pub fn freeze(&self) {
        self.with_child(Child::freeze);
    }

    /// Ends [`freeze`](Self::freeze).
    pub fn thaw(&self) {
        self.with_child(Child::thaw);
    }

    /// Writes all data to the dump that the next [`resume`](Self::resume) loads.
    pub fn save(&self) {
        self.ask::<()>(&["SAVE"]);
    }

    /// Sends one command and returns its response.
    pub fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let value = ask(&self.url(), command).expect("Redis answers");
        redis::from_redis_value(value).expect("the answer has the expected shape")
    }

    fn with_child(&self, act: impl FnOnce(&Child)) {
        act(self.running().as_ref().expect("the server runs"));
    }

    fn running(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().expect("no holder panics")
    }
}

fn ask(url: &str, command: &[&str]) -> redis::RedisResult<redis::Value> {
    let client = redis::Client::open(url)?;
    let mut connection = client.get_connection_with_timeout(std::time::Duration::from_secs(2))?;
    let mut request = redis::Cmd::new();
    for part in command {
        request.arg(*part);
    }
    request.query(&mut connection)
}
