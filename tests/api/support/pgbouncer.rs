//! `PgBouncer`, started here as a child process.

use std::process::Command;

use super::child::{Child, EndSignal, program};
use super::postgres::{Postgres, as_server_user};
use super::{poll, port};

/// When a client gives its server connection to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PoolMode {
    Session,
    Transaction,
}

/// A pooler before one database of a PostgreSQL.
#[derive(Debug)]
pub(crate) struct PgBouncer {
    port: u16,
    database: String,
    _child: Child,
}

impl PgBouncer {
    /// Starts a pooler with `connections` to a new database. `settings` are lines of its file.
    pub(crate) fn start(
        postgres: &Postgres,
        mode: PoolMode,
        connections: u32,
        settings: &str,
    ) -> Self {
        let url = postgres.database();
        let database = url.rsplit('/').next().expect("a URL has parts").to_owned();
        let port = port::free();
        let mode = match mode {
            PoolMode::Session => "session",
            PoolMode::Transaction => "transaction",
        };
        let file = format!(
            "[databases]\n{database} = host=127.0.0.1 port={} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\ndefault_pool_size = {connections}\n{settings}\n",
            postgres.port()
        );
        let path = postgres.private_file(&format!("pgbouncer-{port}.ini"), file.as_bytes());
        let log = postgres.private_file(&format!("pgbouncer-{port}.log"), b"");
        let log = std::fs::OpenOptions::new()
            .append(true)
            .open(log)
            .expect("the file is ours");
        let mut command = Command::new(program("pgbouncer"));
        command
            .arg(path)
            .stdout(log.try_clone().expect("files can be cloned"))
            .stderr(log);
        let child = Child::start(as_server_user(&mut command), EndSignal::Kill);
        let pooler = Self {
            port,
            database,
            _child: child,
        };
        poll::until("PgBouncer to listen", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        pooler
    }

    /// Returns the URL of the database behind it.
    pub(crate) fn url(&self) -> String {
        format!("postgres://app@127.0.0.1:{}/{}", self.port, self.database)
    }

    /// Returns the name of the database behind it.
    pub(crate) fn database(&self) -> &str {
        &self.database
    }
}
