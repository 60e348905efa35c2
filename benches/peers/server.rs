//! A server that runs, with its databases and accounts.

use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::adapter::{Adapter, Values};
use crate::entries::{Entry, Program};
use crate::peer;
use crate::sessions::SessionSource;
use crate::support::backend::{Postgres, Redis};
use crate::support::connection::Connection;
use crate::support::fill::{FilledDatabase, ISSUER};
use crate::support::load::{CONNECTIONS, Target};
use crate::support::process::{Cores, Process};
use crate::support::proxy::Proxy;
use crate::support::service::{DataFolder, PASSWORD, Service, person};

/// The databases of a server.
#[derive(Clone, Copy)]
pub(crate) struct Stores<'a> {
    pub(crate) postgres: &'a Postgres,
    pub(crate) redis: &'a Redis,
    /// The proxy to PostgreSQL, if there is one.
    pub(crate) proxy: Option<&'a Proxy>,
}

/// The process, and what has to live as long.
enum Host {
    Latchet { service: Service, _home: DataFolder },
    Peer { process: Process, _folder: TempDir },
}

/// A server that runs.
pub(crate) struct Server<'a> {
    pub(crate) entry: Entry,
    pub(crate) adapter: Adapter,
    pub(crate) address: SocketAddr,
    host: Host,
    databases: [&'a Process; 2],
    /// Source of the sessions of logouts.
    pub(crate) sessions: SessionSource,
    /// Between the start of the process and its first response.
    pub(crate) started_in: Duration,
}

impl<'a> Server<'a> {
    /// Starts one, with a database of its own. Latchet gets further settings.
    pub(crate) fn start(entry: Entry, stores: Stores<'a>, settings: &[(&str, &str)]) -> Self {
        let database = stores.postgres.new_database();
        let through = stores
            .proxy
            .map_or(database.clone(), |proxy| proxy.url(&database));
        let databases = [
            ("DATABASE_URL", through.as_str()),
            ("REDIS_URL", &stores.redis.new_database()),
        ];
        let home = DataFolder::new();
        let (host, address, started_in) = match entry.program {
            Program::LatchetOnSqlite => latchet(home, settings),
            Program::LatchetOnPostgres => latchet(home, &[&databases, settings].concat()),
            Program::Node(_) | Program::Gunicorn(..) => {
                let (process, folder, address, started_in) = peer::start(entry.program, &databases);
                let host = Host::Peer {
                    process,
                    _folder: folder,
                };
                (host, address, started_in)
            }
        };
        let filled = match &host {
            Host::Peer { .. } => None,
            Host::Latchet { _home: home, .. } => Some(FilledDatabase::open(&match entry.program {
                Program::LatchetOnSqlite => home.default_database(),
                _ => database,
            })),
        };
        if let Some(filled) = &filled {
            filled.people(CONNECTIONS);
        }
        Self {
            entry,
            adapter: Adapter::read(entry.adapter),
            address,
            host,
            databases: [stores.postgres.process(), stores.redis.process()],
            sessions: filled.map_or(SessionSource::QuickLogins, SessionSource::rows),
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

    /// Returns what every request of the account with this name may say.
    pub(crate) fn account(&self, name: &str) -> Values {
        let pairs = [
            ("username", name.to_owned()),
            ("password", PASSWORD.to_owned()),
            ("host", self.address.to_string()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Logs in so many people, one after the other.
    pub(crate) fn login(&self, count: usize) -> Vec<Values> {
        let runtime = Runtime::new().expect("the system gives threads");
        runtime.block_on(async {
            let mut connection = Connection::open(self.address).await;
            let mut all = Vec::new();
            for number in 0..count {
                let mut values = self.account(&person(number));
                let answer = connection.ask(&self.adapter.login.bytes(&values)).await;
                assert_eq!(answer.status, 200, "{}: {answer}", self.entry.name);
                self.adapter.take(answer, &mut values);
                all.push(values);
            }
            all
        })
    }
}

fn latchet(home: DataFolder, settings: &[(&str, &str)]) -> (Host, SocketAddr, Duration) {
    // Within grace a session that rotates without end only repeats its response, which writes nothing.
    let mut all = vec![("LATCHET_GRACE", "0s"), ("LATCHET_PUBLIC_URL", ISSUER)];
    all.extend(settings);
    let service = Service::start(Cores::Server, &home, &all);
    let (address, started_in) = (service.address, service.started_in);
    let host = Host::Latchet {
        service,
        _home: home,
    };
    (host, address, started_in)
}
