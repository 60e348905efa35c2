//! A Redis server as a child process that can be killed and frozen.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use redis::FromRedisValue;
use tempfile::TempDir;

use test_support::child::{Child, EndSignal};
use test_support::port;

/// A server on its own port. It is killed on drop.
pub(super) struct RedisServer {
    folder: TempDir,
    port: u16,
    options: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    pub(super) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(super) fn start_with(options: &[&str]) -> Self {
        let mut server = Self {
            folder: TempDir::new().unwrap(),
            port: 0,
            options: options.iter().map(|&option| option.to_owned()).collect(),
            child: None,
        };
        // Another test may take the port before the server does.
        let answers = (0..5).any(|_| {
            server.port = port::free();
            server.answers_when_started()
        });
        assert!(answers, "redis-server does not start");
        server
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts the server after a [`kill`](Self::kill), with its last dump if there is one.
    pub(super) fn resume(&mut self) {
        assert!(self.answers_when_started(), "redis-server does not start");
    }

    fn answers_when_started(&mut self) -> bool {
        let mut child = Child::start(&mut self.command(), EndSignal::Kill);
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.try_run::<String>(&["PING"]).is_err() {
            if child.ended().is_some() {
                return false;
            }
            assert!(Instant::now() < deadline, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child = Some(child);
        true
    }

    fn command(&self) -> Command {
        let mut command = Command::new("redis-server");
        if self
            .options
            .first()
            .is_some_and(|first| first == "sentinel")
        {
            let file = self.folder.path().join("sentinel.conf");
            std::fs::write(&file, self.options[1..].join("\n")).unwrap();
            command.arg(&file).arg("--sentinel");
        } else {
            command
                .args(["--save", "", "--appendonly", "no"])
                .args(&self.options);
        }
        command
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .arg("--dir")
            .arg(self.folder.path())
            .stdout(Stdio::null());
        command
    }

    pub(super) fn kill(&mut self) {
        self.child = None;
    }

    /// Keeps the connections, but does not respond.
    pub(super) fn freeze(&self) {
        self.child.as_ref().expect("the server runs").freeze();
    }

    pub(super) fn thaw(&self) {
        self.child.as_ref().expect("the server runs").thaw();
    }

    pub(super) fn run<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_run(words).unwrap()
    }

    pub(super) fn try_run<T: FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let patience = Duration::from_secs(20);
        let mut connection =
            redis::Client::open(self.url())?.get_connection_with_timeout(patience)?;
        connection.set_read_timeout(Some(patience))?;
        let mut command = redis::Cmd::new();
        command.arg(words).query(&mut connection)
    }
}
