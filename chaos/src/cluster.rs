//! The processes: replicas of Latchet, PostgreSQL, Redis, and the network between them.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use chaos::history::LeakedSecret;
use clap::ValueEnum;
use tempfile::TempDir;

use crate::clock::{ClockOwner, FakeClocks};
use crate::disk::Disk;
use crate::replica::{Replica, RootSecrets};
use crate::sentinel::WatchedRedis;
use crate::shim::{self, Environment};
use crate::{ACCESS_TTL, GRACE, MAX_SESSIONS, RunPlan};
use test_support::postgres::Postgres;
use test_support::proxy::Proxy;
use test_support::redis::Redis;
use test_support::{port, scratch};

/// Name and password of the first administrator.
pub(crate) const ADMIN: (&str, &str) = ("chaos-admin", "a long password of the administrator");

/// Processes of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Topology {
    /// 3 replicas, PostgreSQL, Redis.
    A,
    /// 3 replicas, PostgreSQL, two Redis servers and a Sentinel.
    B,
    /// One process on SQLite.
    C,
}

/// All processes of a run.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) replicas: Vec<Replica>,
    /// Another replica, which no client uses, and whose clock may be wrong for long.
    pub(crate) outsider: Option<Replica>,
    pub(crate) postgres: Option<Postgres>,
    pub(crate) redis: Option<Redis>,
    pub(crate) watched: Option<WatchedRedis>,
    /// Disk that the database writes to.
    pub(crate) disk: Option<Disk>,
    pub(crate) clocks: Option<FakeClocks>,
    /// URL of the database, past the network that can be cut.
    database: Option<String>,
    program: PathBuf,
    folder: TempDir,
}

impl Cluster {
    /// Starts everything and waits until it is ready.
    pub(crate) async fn start(plan: &RunPlan) -> Self {
        let (topology, program) = (plan.topology, plan.program.clone());
        let folder = scratch::folder();
        let is_alone = topology == Topology::C;
        let (clocks, disk) = (FakeClocks::find(), Disk::build());
        let postgres = (!is_alone).then(|| {
            Postgres::start_in(|data| {
                let mut shims = Environment::new();
                if let Some(disk) = &disk {
                    shim::add(&mut shims, disk.environment(data));
                }
                if let Some(clocks) = &clocks {
                    shim::add(&mut shims, clocks.environment(ClockOwner::Postgres));
                }
                shims
            })
        });
        let redis = (topology == Topology::A).then(Redis::start);
        let watched = (topology == Topology::B).then(WatchedRedis::start);
        let database = postgres.as_ref().map(Postgres::database);
        let secrets = RootSecrets {
            current: new_secret(&program),
            other: new_secret(&program),
            reads_other: false,
        };
        let mut cluster = Self {
            replicas: Vec::new(),
            outsider: None,
            postgres,
            redis,
            watched,
            disk,
            clocks,
            database,
            program,
            folder,
        };
        for _ in 0..if is_alone { 1 } else { 3 } {
            let replica = cluster.start_replica(plan, &secrets).await;
            cluster.replicas.push(replica);
        }
        if !is_alone && cluster.clocks.is_some() {
            cluster.outsider = Some(cluster.start_replica(plan, &secrets).await);
        }
        cluster
    }

    async fn start_replica(&self, plan: &RunPlan, secrets: &RootSecrets) -> Replica {
        let mut replica = self.replica(secrets, plan.guesses()).await;
        if let Some(bug) = &plan.bug {
            replica.settings.insert("SEEDED_BUG", bug.clone());
        }
        replica.start(&self.program);
        replica.ready().await;
        replica
    }

    /// Returns the owner of the outsider's clock.
    pub(crate) fn outsider_clock(&self) -> ClockOwner {
        ClockOwner::Replica(self.replicas.len())
    }

    async fn replica(&self, secrets: &RootSecrets, guesses: usize) -> Replica {
        let port = port::free();
        let password_file = self.folder.path().join("admin-password");
        std::fs::write(&password_file, ADMIN.1).expect("the folder is ours");
        let mut settings = BTreeMap::from([
            ("LATCHET_LISTEN", format!("127.0.0.1:{port}")),
            ("LATCHET_ISSUER", "https://chaos.test".to_owned()),
            (
                "LATCHET_DATA_DIR",
                self.folder.path().join("data").display().to_string(),
            ),
            ("LATCHET_BOOTSTRAP_ADMIN", ADMIN.0.to_owned()),
            (
                "LATCHET_BOOTSTRAP_ADMIN_PASSWORD_FILE",
                password_file.display().to_string(),
            ),
            ("LATCHET_GRACE", format!("{}s", GRACE.as_secs())),
            // Windows are longer than any run, so that the checker counts one window only.
            ("LATCHET_THROTTLE_ACCOUNT", format!("{guesses}/7d")),
            ("LATCHET_THROTTLE_ACCOUNT_IP", format!("{guesses}/7d")),
            // All clients have one address here.
            ("LATCHET_THROTTLE_IP", "1000000/15m".to_owned()),
            ("LATCHET_MAX_SESSIONS", MAX_SESSIONS.to_string()),
            ("LATCHET_DRAIN_TIMEOUT", "5s".to_owned()),
            ("LATCHET_COLLECT_EVERY", "1s".to_owned()),
        ]);
        shim::add(&mut settings, self.shims());
        let mut to_postgres = None;
        if let Some(url) = &self.database {
            let (before, after) = url.split_once("127.0.0.1:").expect("it is on loopback");
            let (port, name) = after.split_once('/').expect("it names a database");
            let proxy = Proxy::start(&format!("127.0.0.1:{port}")).await;
            settings.insert(
                "DATABASE_URL",
                format!("{before}{}/{name}", proxy.address()),
            );
            to_postgres = Some(proxy);
        }
        let mut to_redis = None;
        if let Some(redis) = &self.redis {
            let proxy = Proxy::start(&redis.address()).await;
            settings.insert("REDIS_URL", format!("redis://{}", proxy.address()));
            to_redis = Some(proxy);
        }
        if let Some(watched) = &self.watched {
            settings.insert("REDIS_URL", watched.url());
        }
        Replica {
            url: format!("http://127.0.0.1:{port}"),
            to_postgres,
            to_redis,
            settings,
            root_secrets: Mutex::new(secrets.clone()),
            access_ttl: AtomicU64::new(ACCESS_TTL.as_secs()),
            log: self.folder.path().join(format!("{port}.log")),
            child: Mutex::default(),
        }
    }

    /// Returns the environment of the libraries between the next replica and the kernel.
    fn shims(&self) -> Environment {
        let mut shims = Environment::new();
        if let (None, Some(disk)) = (&self.postgres, &self.disk) {
            let data = self.folder.path().join("data");
            shim::add(&mut shims, disk.environment(&data));
        }
        if let Some(clocks) = &self.clocks {
            let owner = ClockOwner::Replica(self.replicas.len());
            shim::add(&mut shims, clocks.environment(owner));
        }
        shims
    }

    /// Runs a subcommand with the settings of a replica. It may fail: a fault may be going on.
    pub(crate) fn run(&self, replica: usize, arguments: &[&str]) -> bool {
        let mut command = self.replicas[replica].command(&self.program);
        command.args(arguments).stdout(std::process::Stdio::null());
        let status = command.stderr(std::process::Stdio::null()).status();
        status.expect("latchet starts").success()
    }

    /// Starts a replica that was killed or stopped.
    pub(crate) fn resume(&self, replica: usize) {
        self.replicas[replica].start(&self.program);
    }

    /// Waits until every replica says that it is ready.
    pub(crate) async fn ready(&self) {
        for replica in &self.replicas {
            replica.ready().await;
        }
    }

    /// Copies the row of a session, so that its user has so many more.
    pub(crate) fn copy_session(&self, session: &str, count: u32) {
        let is_id = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        assert!(session.bytes().all(is_id), "{session:?} is no id");
        if let (Some(postgres), Some(url)) = (&self.postgres, &self.database) {
            let database = url.rsplit('/').next().expect("it names a database");
            let copy = format!(
                "INSERT INTO sessions SELECT (jsonb_populate_record(old, jsonb_build_object('id', \
                 substr(old.id, 1, 10) || lpad(number::text, 12, '0')))).* \
                 FROM sessions old, generate_series(1, {count}) number WHERE old.id = '{session}'"
            );
            postgres.sql(database, &copy);
            return;
        }
        let mut python = Command::new("python3");
        python.arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shim/copy_sessions.py"
        ));
        python.arg(self.folder.path().join("data/latchet.db"));
        let status = python.args([session, &count.to_string()]).status();
        assert!(
            status.expect("`python3` is there").success(),
            "sessions cannot be copied"
        );
    }

    /// Takes all free connections of PostgreSQL, until they are dropped.
    pub(crate) fn exhaust_connections(&self) -> Vec<TcpStream> {
        let url = self.database.as_deref().unwrap_or_default();
        let (address, database) = url
            .split_once('@')
            .and_then(|(_, rest)| rest.split_once('/'))
            .expect("this cluster has PostgreSQL");
        // Protocol 3.0, and the parameters of a start (PostgreSQL's documentation, 53.7).
        let mut hello = 196_608_u32.to_be_bytes().to_vec();
        hello.extend(format!("user\0postgres\0database\0{database}\0\0").bytes());
        let length = u32::try_from(hello.len() + 4).expect("it is short");
        hello.splice(0..0, length.to_be_bytes());
        let connect = || {
            let mut stream = TcpStream::connect(address).ok()?;
            stream.write_all(&hello).ok()?;
            Some(stream)
        };
        (0..200).filter_map(|_| connect()).collect()
    }

    /// Looks for a secret in logs and in what the databases wrote.
    pub(crate) fn find_leaked_secrets(&self, secret: &str) -> Vec<LeakedSecret> {
        let mut folders = vec![self.folder.path().display().to_string()];
        if let Some(postgres) = &self.postgres {
            folders.push(
                postgres
                    .sql("postgres", "SHOW data_directory")
                    .trim()
                    .to_owned(),
            );
        }
        let watched = self.watched.iter().flat_map(|watched| &watched.servers);
        for redis in self.redis.iter().chain(watched) {
            redis.save();
            let dir: (String, String) = redis.ask(&["CONFIG", "GET", "dir"]);
            folders.push(dir.1);
        }
        let mut grep = Command::new("grep");
        grep.args(["-rlaF", "--", secret]).args(folders);
        let found = grep.output().expect("`grep` is there").stdout;
        let leak = |place: &str| LeakedSecret {
            place: place.to_owned(),
            what: format!("what begins with {secret:?}"),
        };
        String::from_utf8_lossy(&found).lines().map(leak).collect()
    }
}

/// Returns a new root secret.
fn new_secret(program: &Path) -> String {
    let printed = Command::new(program).arg("secret").output();
    let printed = printed.expect("latchet starts").stdout;
    String::from_utf8(printed)
        .expect("it is text")
        .trim()
        .to_owned()
}
