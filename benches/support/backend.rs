//! The databases that a row needs, started here and gone with it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::process::{Cores, Process};

/// Longest time for a process to start.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Returns a new folder on the disk that the build uses: the system's folder for temporary files may
/// be in memory, where a commit costs nothing.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .expect("cargo made this folder");
    // PostgreSQL may run as another user.
    fs::set_permissions(
        folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o711),
    )
    .expect("the folder is ours");
    folder
}

/// Returns a port that nothing listens on.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are free ports");
    listener.local_addr().expect("it is bound")
}

/// Waits until something accepts connections there.
pub(crate) fn until_accepting(address: SocketAddr) {
    let start = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(
            start.elapsed() < START_TIMEOUT,
            "nothing listens on {address}"
        );
        thread::sleep(Duration::from_millis(1));
    }
}

/// A Redis that keeps nothing on disk.
#[derive(Debug)]
pub(crate) struct Redis {
    address: SocketAddr,
    process: Process,
    used_databases: AtomicUsize,
    _folder: TempDir,
}

impl Redis {
    /// Starts one, on the cores of the load: in earnest it is another machine.
    pub(crate) fn start() -> Self {
        let (folder, address) = (folder(), free_address());
        let mut command = Cores::Load.run("redis-server");
        command
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args([
                "--maxmemory-policy",
                "noeviction",
                "--databases",
                "1000",
                "--port",
            ])
            .arg(address.port().to_string())
            .current_dir(folder.path())
            .stdout(Stdio::null());
        let process = Process::start(&mut command, Signal::KILL);
        until_accepting(address);
        Self {
            address,
            process,
            used_databases: AtomicUsize::new(0),
            _folder: folder,
        }
    }

    /// Returns the process.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Returns the URL.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Returns how much memory its data takes, in bytes.
    pub(crate) fn used_bytes(&self) -> u64 {
        let client = redis::Client::open(self.url()).expect("the bench made this URL");
        let mut connection = client.get_connection().expect("Redis listens");
        let info: String = redis::cmd("INFO")
            .arg("memory")
            .query(&mut connection)
            .expect("Redis answers");
        let used = info
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:"));
        used.and_then(|bytes| bytes.trim().parse().ok())
            .expect("it is a number")
    }

    /// Returns the URL of one of its databases.
    pub(crate) fn database(&self, number: usize) -> String {
        format!("{}/{number}", self.url())
    }

    /// Returns the URL of a database that nobody has used yet.
    pub(crate) fn new_database(&self) -> String {
        self.database(self.used_databases.fetch_add(1, Ordering::Relaxed))
    }
}

/// A PostgreSQL with its own settings for everything but the number of connections, `fsync` included.
#[derive(Debug)]
pub(crate) struct Postgres {
    address: SocketAddr,
    process: Process,
    databases: AtomicUsize,
    _folder: TempDir,
}

impl Postgres {
    /// Starts one, on the cores of the load: in earnest it is another machine.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one each of whose flushes of the log takes this much longer. Commits that arrive meanwhile
    /// share the flush, as with a disk that is so slow.
    pub(crate) fn with_slow_commits(delay: Duration) -> Self {
        let micros = format!("commit_delay={}", delay.as_micros());
        Self::start_with(&[&micros, "commit_siblings=0"])
    }

    fn start_with(settings: &[&str]) -> Self {
        let (folder, address) = (folder(), free_address());
        let user = server_user();
        if let Some((uid, gid)) = user {
            std::os::unix::fs::chown(folder.path(), Some(uid), Some(gid)).expect("root may");
        }
        let data = folder.path().join("data");
        let initdb = as_user(user, Command::new(postgres_program("initdb")))
            .args(["--auth=trust", "--username=postgres", "--locale=C"])
            .args(["--encoding=UTF8", "--no-sync", "--pgdata"])
            .arg(&data)
            .output()
            .expect("initdb starts");
        assert!(initdb.status.success(), "{initdb:?}");
        let mut command = as_user(user, Cores::Load.run(&postgres_program("postgres")));
        let log = fs::File::create(folder.path().join("log")).expect("the folder is ours");
        command
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .args(["-p", &address.port().to_string()])
            .args(["-c", "max_connections=300"])
            .args(settings.iter().flat_map(|setting| ["-c", setting]))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("files can be cloned"))
            .stderr(log);
        // Immediate shutdown, which takes its own children along.
        let process = Process::start(&mut command, Signal::QUIT);
        until_accepting(address);
        Self {
            address,
            process,
            databases: AtomicUsize::new(0),
            _folder: folder,
        }
    }

    /// Returns the process.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Returns where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes an empty database with a name of its own and returns its URL.
    pub(crate) fn new_database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        self.database(&format!("bench{number}"))
    }

    /// Makes an empty database and returns its URL.
    pub(crate) fn database(&self, name: &str) -> String {
        let port = self.address.port();
        let start = Instant::now();
        loop {
            let created = Command::new(postgres_program("createdb"))
                .args(["--host=127.0.0.1", "--username=postgres"])
                .arg(format!("--port={port}"))
                .arg(name)
                .output()
                .expect("createdb starts");
            if created.status.success() {
                return format!("postgres://postgres@127.0.0.1:{port}/{name}");
            }
            // It accepts connections before it is ready for them.
            assert!(
                start.elapsed() < START_TIMEOUT,
                "{created:?} of {:?}",
                self.process
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Returns the path of a program of PostgreSQL, which some packages keep out of `PATH`.
pub(crate) fn postgres_program(name: &str) -> String {
    let newest = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin").join(name))
        .filter(|path| path.exists())
        .max();
    newest.map_or_else(|| name.to_owned(), |path| path.display().to_string())
}

/// Returns the user to run PostgreSQL as when this runs as root, which PostgreSQL refuses.
fn server_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").expect("there are users");
    let line = passwd.lines().find(|line| line.starts_with("postgres:"));
    let mut fields = line?.split(':').skip(2);
    let mut id = || fields.next()?.parse().ok();
    Some((id()?, id()?))
}

fn as_user(user: Option<(u32, u32)>, mut command: Command) -> Command {
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid).current_dir(Path::new("/"));
    }
    command
}
