//! The servers that are measured: Latchet twice, and its peers.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::adapter::{Adapter, Values};
use crate::support::backend::{Postgres, Redis, START_TIMEOUT, folder, free_address};
use crate::support::connection::Connection;
use crate::support::load::Target;
use crate::support::process::{Cores, Process};
use crate::support::service::{DataFolder, NAME, PASSWORD, Service};

/// Servers that can be measured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Program {
    /// Latchet with the database beside it, and no Redis.
    LatchetOnSqlite,
    /// Latchet as a service of several replicas has it.
    LatchetOnPostgres,
    /// A program for Node.
    Node(&'static str),
    /// A program under gunicorn; whether it makes its tables first.
    Gunicorn(&'static str, Tables),
}

/// Program that creates the tables of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tables {
    /// It needs none, or makes them as it starts.
    None,
    /// It is run once to make them.
    First,
}

/// A server, and what has to be known of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// The package whose version is reported; none for Latchet.
    pub(crate) package: Option<&'static str>,
    pub(crate) program: Program,
    adapter: &'static str,
    /// Why its login is not measured.
    pub(crate) no_login: Option<&'static str>,
}

/// All of them, in the order of the tables.
pub(crate) const ALL: [Entry; 7] = [
    Entry {
        name: "Latchet, PostgreSQL + Redis",
        package: None,
        program: Program::LatchetOnPostgres,
        adapter: include_str!("servers/latchet.json"),
        no_login: None,
    },
    Entry {
        name: "Latchet, SQLite",
        package: None,
        program: Program::LatchetOnSqlite,
        adapter: include_str!("servers/latchet.json"),
        no_login: None,
    },
    Entry {
        name: "fastify, Redis",
        package: Some("fastify"),
        program: Program::Node("fastify.mjs"),
        adapter: include_str!("servers/fastify.json"),
        no_login: None,
    },
    Entry {
        name: "oidc-provider, Redis",
        package: Some("oidc-provider"),
        program: Program::Node("oidc-provider.mjs"),
        adapter: include_str!("../../refresh-conformance/adapters/oidc-provider.json"),
        no_login: Some("none of its own: a login is several pages in a browser"),
    },
    Entry {
        name: "better-auth, PostgreSQL",
        package: Some("better-auth"),
        program: Program::Node("better-auth.mjs"),
        adapter: include_str!("servers/better-auth.json"),
        no_login: None,
    },
    Entry {
        name: "Flask-JWT-Extended, Redis",
        package: Some("Flask-JWT-Extended"),
        program: Program::Gunicorn("flask_app:app", Tables::None),
        adapter: include_str!("servers/flask-jwt-extended.json"),
        no_login: None,
    },
    Entry {
        name: "simplejwt, PostgreSQL",
        package: Some("djangorestframework-simplejwt"),
        program: Program::Gunicorn("simplejwt_app:application", Tables::First),
        adapter: include_str!("../../refresh-conformance/adapters/simplejwt.json"),
        no_login: None,
    },
];

/// The process, and what has to live as long.
enum Host {
    Latchet { service: Service, _home: DataFolder },
    Peer { process: Process, _folder: TempDir },
}

/// A server that runs.
pub(crate) struct Server<'a> {
    pub(crate) entry: Entry,
    pub(crate) adapter: Adapter,
    address: SocketAddr,
    host: Host,
    databases: [&'a Process; 2],
    /// Between the start of the process and its first response.
    pub(crate) started_in: Duration,
}

impl<'a> Server<'a> {
    /// Starts one, with a database of its own.
    pub(crate) fn start(entry: Entry, postgres: &'a Postgres, redis: &'a Redis) -> Self {
        let name: String = entry
            .name
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        let database = postgres.database(&name.to_lowercase());
        let (host, address, started_in) = match entry.program {
            Program::LatchetOnSqlite => latchet(&[]),
            Program::LatchetOnPostgres => {
                latchet(&[("DATABASE_URL", &database), ("REDIS_URL", &redis.url())])
            }
            Program::Node(_) | Program::Gunicorn(..) => peer(
                entry.program,
                &[("DATABASE_URL", &database), ("REDIS_URL", &redis.url())],
            ),
        };
        Self {
            entry,
            adapter: Adapter::read(entry.adapter),
            address,
            host,
            databases: [postgres.process(), redis.process()],
            started_in,
        }
    }

    /// Returns what the load needs to know.
    pub(crate) fn target(&self) -> Target<'_> {
        Target {
            address: self.address,
            server: self.process(),
            databases: self.databases.to_vec(),
        }
    }

    /// Returns the process.
    pub(crate) fn process(&self) -> &Process {
        match &self.host {
            Host::Latchet { service, .. } => &service.process,
            Host::Peer { process, .. } => process,
        }
    }

    /// Returns what every request may say.
    pub(crate) fn account(&self) -> Values {
        let pairs = [
            ("username", NAME.to_owned()),
            ("password", PASSWORD.to_owned()),
            ("host", self.address.to_string()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Logs in as often.
    pub(crate) fn login(&self, times: usize) -> Vec<Values> {
        let account = self.account();
        let request = self.adapter.login.bytes(&account);
        let runtime = Runtime::new().expect("the system gives threads");
        runtime.block_on(async {
            let mut connection = Connection::open(self.address).await;
            let mut all = Vec::new();
            for _ in 0..times {
                let answer = connection.ask(&request).await;
                assert_eq!(answer.status, 200, "{}: {answer:?}", self.entry.name);
                let mut values = account.clone();
                self.adapter.take(answer, &mut values);
                all.push(values);
            }
            all
        })
    }
}

fn latchet(settings: &[(&str, &str)]) -> (Host, SocketAddr, Duration) {
    let home = DataFolder::new();
    // Within grace a session that rotates without end only repeats its response, which writes nothing.
    let mut all = vec![("LATCHET_GRACE", "0s")];
    all.extend(settings);
    let service = Service::start(Cores::Server, &home, &all);
    let (address, started_in) = (service.address, service.started_in);
    let host = Host::Latchet {
        service,
        _home: home,
    };
    (host, address, started_in)
}

fn peer(program: Program, settings: &[(&str, &str)]) -> (Host, SocketAddr, Duration) {
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
    let started_in = start.elapsed();
    let host = Host::Peer {
        process,
        _folder: folder,
    };
    (host, address, started_in)
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
                // One worker for the one core, whose threads wait for databases meanwhile.
                command
                    .arg(format!("--bind={}", self.address))
                    .args(["--workers=1", "--threads=4", "--keep-alive=30"])
                    .args(["--no-control-socket", app]);
                command
            }
            Program::Node(file) => {
                let mut command = self.run(Cores::Server, "node", "node_modules/.bin/node");
                command.arg(file);
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
            .env("NAME", NAME)
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
