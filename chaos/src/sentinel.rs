//! Redis servers that a Sentinel watches, and failovers.

use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use test_support::child::{Child, EndSignal, program};
use test_support::redis::Redis;
use test_support::{poll, port, scratch};

/// Two servers, of which one is the master, and who decides that.
#[derive(Debug)]
pub(crate) struct WatchedRedis {
    pub(crate) servers: [Redis; 2],
    port: u16,
    _sentinel: Child,
    _folder: TempDir,
}

impl WatchedRedis {
    /// Starts all of them, and waits until they know each other.
    pub(crate) fn start() -> Self {
        let servers = [Redis::start(), Redis::start()];
        let folder = scratch::folder();
        let port = port::free();
        let (host, master) = split(&servers[0]);
        let settings = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor main {host} {master} 1\n\
             sentinel down-after-milliseconds main 300\nsentinel failover-timeout main 3000\n"
        );
        let file = folder.path().join("sentinel.conf");
        std::fs::write(&file, settings).expect("the folder is ours");
        servers[1].ask::<()>(&["REPLICAOF", &host, &master]);
        let mut command = Command::new(program("redis-server"));
        command
            .arg(&file)
            .arg("--sentinel")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let watched = Self {
            servers,
            port,
            _sentinel: Child::start(&mut command, EndSignal::Kill),
            _folder: folder,
        };
        watched.wait_until_replicated();
        watched
    }

    /// Returns the URL for `REDIS_URL`.
    pub(crate) fn url(&self) -> String {
        format!("redis+sentinel://127.0.0.1:{}/main", self.port)
    }

    /// Waits until one server is the master and the other copies it, for which a Sentinel takes its
    /// time after a failover.
    pub(crate) fn wait_until_replicated(&self) {
        poll::until("the replica to copy the master", || {
            let states = self.servers.each_ref().map(replication);
            let masters = states
                .iter()
                .filter(|state| state.contains("role:master"))
                .count();
            masters == 1
                && states
                    .iter()
                    .any(|state| state.contains("master_link_status:up"))
        });
        poll::until("the Sentinel to know both", || {
            let info = ask(self.port, &["INFO", "sentinel"]);
            info.contains("status=ok") && info.contains("slaves=1")
        });
    }

    /// Returns which server is the master.
    pub(crate) fn master(&self) -> usize {
        let is_master = |server: &Redis| replication(server).contains("role:master");
        self.servers.iter().position(is_master).unwrap_or(0)
    }

    /// The replica is deaf from now on: what is acknowledged is not copied to it.
    pub(crate) fn cut_off_redis_replica(&self) {
        self.servers[1 - self.master()].ask::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    }

    /// Takes the master away until the other is promoted; it comes back as what the Sentinel makes
    /// of it.
    pub(crate) fn fail_over(&self, by: Signal) {
        let old = self.master();
        let new = &self.servers[1 - old];
        match by {
            Signal::STOP => self.servers[old].freeze(),
            _ => self.servers[old].kill(),
        }
        poll::until("the replica to be promoted", || {
            replication(new).contains("role:master")
        });
        match by {
            Signal::STOP => self.servers[old].thaw(),
            _ => self.servers[old].resume(),
        }
    }
}

fn split(server: &Redis) -> (String, String) {
    let address = server.address();
    let (host, port) = address.split_once(':').expect("it has a port");
    (host.to_owned(), port.to_owned())
}

/// Returns what a server says of its role; nothing when it does not answer.
fn replication(server: &Redis) -> String {
    ask(
        split(server).1.parse().expect("ports are numbers"),
        &["INFO", "replication"],
    )
}

fn ask(port: u16, command: &[&str]) -> String {
    let wait = Duration::from_millis(500);
    let answer = || -> redis::RedisResult<String> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}"))?;
        let mut connection = client.get_connection_with_timeout(wait)?;
        connection.set_read_timeout(Some(wait))?;
        let mut request = redis::Cmd::new();
        for part in command {
            request.arg(*part);
        }
        request.query(&mut connection)
    };
    answer().unwrap_or_default()
}
