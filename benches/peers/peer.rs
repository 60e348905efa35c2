//! The process of a peer.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::entries::{Program, Tables};
use crate::sessions::QUICK;
use crate::support::backend::{START_TIMEOUT, folder, free_address};
use crate::support::connection::Connection;
use crate::support::load::CONNECTIONS;
use crate::support::process::{Cores, Process, server_cores};
use crate::support::service::PASSWORD;

/// Starts a peer with as many workers as it has cores, and waits for its first response. The folder has its log.
pub(crate) fn start(
    program: Program,
    settings: &[(&str, &str)],
) -> (Process, TempDir, SocketAddr, Duration) {
    let (folder, address) = (folder(), free_address());
    let surroundings = PeerEnvironment {
        address,
        settings,
        log: fs::File::create(folder.path().join("log")).expect("the folder is ours"),
    };
    let mut command = surroundings.serve(program);
    let start = Instant::now();
    let process = Process::start(&mut command, Signal::TERM);
    let runtime = Runtime::new().expect("the system gives threads");
    while !runtime.block_on(answers(address)) {
        assert!(start.elapsed() < START_TIMEOUT, "no answer of {program:?}");
        thread::sleep(Duration::from_millis(1));
    }
    (process, folder, address, start.elapsed())
}

/// Settings of a peer.
struct PeerEnvironment<'a> {
    address: SocketAddr,
    settings: &'a [(&'a str, &'a str)],
    log: fs::File,
}

impl PeerEnvironment<'_> {
    /// Returns the command that serves, after its database has been migrated if it needs that.
    fn serve(&self, program: Program) -> Command {
        match program {
            Program::Gunicorn(app, tables) => {
                if let Tables::First = tables {
                    let module = app.split(':').next().unwrap_or_default();
                    let mut migrate = self.run(Cores::All, "python", "bin/python");
                    let made = migrate.arg(format!("{module}.py")).status();
                    assert!(made.expect("Python starts").success(), "{module}");
                }
                let mut command = self.run(Cores::Server, "python", "bin/gunicorn");
                // The threads of a worker wait for databases meanwhile.
                command
                    .arg(format!("--bind={}", self.address))
                    .arg(format!("--workers={}", server_cores()))
                    .args(["--threads=4", "--keep-alive=30"])
                    .args(["--no-control-socket", app]);
                command
            }
            Program::Node(file) => {
                let mut command = self.run(Cores::Server, "node", "node_modules/.bin/node");
                command.args(["cluster.mjs", file]);
                command
            }
            Program::LatchetOnSqlite | Program::LatchetOnPostgres => panic!("Latchet is no peer"),
        }
    }

    /// Returns a command in the folder of the peers that run on one language.
    fn run(&self, cores: Cores, language: &str, program: &str) -> Command {
        let place = installed().join(language);
        let log = || self.log.try_clone().expect("files can be cloned");
        let mut command = cores.run(&place.join(program).display().to_string());
        command
            .env_clear()
            .envs(self.settings.iter().copied())
            .env("PATH", "/usr/bin:/bin")
            .env("NODE_ENV", "production")
            .env("PORT", self.address.port().to_string())
            .env("WORKERS", server_cores().to_string())
            .env("ACCOUNTS", CONNECTIONS.to_string())
            .env("QUICK", QUICK)
            .env("PASSWORD", PASSWORD)
            .env("SECRET", "rcbVXS8m9X1c7wRZ4uJ5kq0yTn2Lh6Gf3Pd8Ae1iOoU")
            .current_dir(place)
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log());
        command
    }
}

async fn answers(address: SocketAddr) -> bool {
    if tokio::net::TcpStream::connect(address).await.is_err() {
        return false;
    }
    let request = b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
    Connection::open(address).await.ask(request).await.status > 0
}

/// Returns where the peers are installed.
pub(crate) fn installed() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/peers")
}

/// Installs what is missing of the peers; it says what.
pub(crate) fn install() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/install");
    let done = Command::new(script).status().expect("bash is there");
    assert!(done.success(), "the peers cannot be installed");
}
