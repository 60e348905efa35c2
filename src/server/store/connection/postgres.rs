//! Connecting to PostgreSQL: which server, with which TLS, and through a pooler or not.

use std::fmt;
use std::time::{Duration, Instant};

use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection};
use sea_orm::sqlx::{ConnectOptions, Connection, Error, Executor, Row};

use super::super::StoreError;
use super::endpoint::{Endpoint, check_files};
use super::{ACQUIRE, RETRY_EVERY, connecting};
use crate::keys::random_id;
use crate::server::config::postgres_url::{PostgresUrl, TargetSession};

/// Settings of every session that are relied on: what PostgreSQL itself ends (a statement, a wait for a row,
/// a transaction whose replica froze), and the isolation level for which the statements are written. Role and
/// database may have other defaults.
const SESSION: [(&str, &str); 4] = [
    ("statement_timeout", "4s"),
    ("lock_timeout", "3s"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("default_transaction_isolation", "read committed"),
];

/// Begins a transaction behind a pooler, where no setting of a session lasts.
const BEGIN_POOLED: &str = "
    BEGIN ISOLATION LEVEL READ COMMITTED;
    SET LOCAL statement_timeout = '4s';
    SET LOCAL lock_timeout = '3s';
    SET LOCAL idle_in_transaction_session_timeout = '10s'";

/// Setting that no server knows. It comes back only where the start-up options reach the server itself.
const PROBE: &str = "latchet.session";

/// Programs between this one and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server::store) enum Route {
    /// Nothing: settings and prepared statements last as long as the connection.
    Direct,
    /// A pooler that may give each transaction another server connection: whatever is to be relied on is part
    /// of the transaction, and no statement keeps a name.
    Pooled,
}

impl Route {
    /// Returns whether statements are prepared once and kept.
    pub(super) fn keeps_statements(self) -> bool {
        self == Self::Direct
    }

    /// Returns the text that begins a transaction.
    pub(super) fn begin(self) -> &'static str {
        match self {
            Self::Direct => "BEGIN ISOLATION LEVEL READ COMMITTED",
            Self::Pooled => BEGIN_POOLED,
        }
    }
}

/// Opens connections to one database.
#[derive(Clone)]
pub(super) struct Connector {
    endpoints: Vec<Endpoint>,
    is_shuffled: bool,
    target: TargetSession,
    timeout: Duration,
    route: Route,
}

/// The options hold the password.
impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("route", &self.route)
            .finish_non_exhaustive()
    }
}

impl Connector {
    /// Finds out how the database is reached.
    ///
    /// # Errors
    /// When the URL cannot be used, or no server answers.
    pub(super) async fn discover(text: &str) -> Result<Self, StoreError> {
        install_crypto_provider();
        let url = PostgresUrl::parse(text).map_err(StoreError::Url)?;
        check_files(&url)?;
        let hosts = url.hosts.iter();
        let endpoints = hosts.map(|host| Endpoint::new(&url, host));
        let connector = Self {
            endpoints: endpoints.collect::<Result<_, _>>()?,
            is_shuffled: url.is_shuffled,
            target: url.target,
            timeout: url.connect_timeout.unwrap_or(ACQUIRE),
            route: Route::Pooled,
        };
        if url.is_pooled {
            connector.probe().await?;
        } else if let Some(direct) = connector.directly().await? {
            return Ok(direct);
        }
        Ok(connector)
    }

    pub(super) fn route(&self) -> Route {
        self.route
    }

    /// Opens a connection to the first server that fits.
    pub(super) async fn connect(&self) -> Result<PgConnection, Error> {
        let mut endpoints: Vec<&Endpoint> = self.endpoints.iter().collect();
        if self.is_shuffled {
            fastrand::shuffle(&mut endpoints);
        }
        let mut failure = Error::PoolTimedOut;
        for endpoint in endpoints {
            let attempt = async {
                let mut connection = endpoint.connect().await?;
                self.require_target(&mut connection).await?;
                Ok(connection)
            };
            match tokio::time::timeout(self.timeout, attempt).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => failure = error,
                Err(_) => {
                    failure = Error::Io(std::io::Error::new(
                        std::io::ErrorKind::TimedOut,
                        "the server does not answer",
                    ));
                }
            }
        }
        Err(failure)
    }

    /// Returns the options of a connection that can be had now, for code that opens its own.
    pub(super) async fn reachable(&self) -> Result<PgConnectOptions, Error> {
        let mut failure = Error::PoolTimedOut;
        for options in self.endpoints.iter().flat_map(Endpoint::ways) {
            let attempt = async {
                let mut connection = options.connect().await?;
                self.require_target(&mut connection).await?;
                connection.close().await
            };
            match tokio::time::timeout(self.timeout, attempt).await {
                Ok(Ok(())) => return Ok(options.clone()),
                Ok(Err(error)) => failure = error,
                Err(_) => {}
            }
        }
        Err(failure)
    }

    /// Tries connections whose start-up options set [`SESSION`]. Returns `None` where something in between
    /// refuses or drops these options.
    async fn directly(&self) -> Result<Option<Self>, StoreError> {
        let mark = random_id();
        let settings = SESSION.into_iter().chain([(PROBE, mark.as_str())]);
        let settings: Vec<(&str, &str)> = settings.collect();
        let mut direct = self.clone();
        direct.route = Route::Direct;
        let endpoints = self.endpoints.iter();
        direct.endpoints = endpoints
            .map(|endpoint| endpoint.with_options(&settings))
            .collect();
        match direct.probe_for(&mark).await {
            Ok(true) => Ok(Some(direct)),
            Ok(false) => Ok(None),
            Err(error) if refuses_options(&error) => {
                self.probe().await?;
                Ok(None)
            }
            Err(error) => Err(connecting(error)),
        }
    }

    /// Connects once, so that the reason is known when that fails.
    async fn probe(&self) -> Result<(), StoreError> {
        let connection = self.connect_patiently().await.map_err(connecting)?;
        // What it says at the end is of no interest.
        let _ = connection.close().await;
        Ok(())
    }

    /// Waits where the server has no connection left for a moment: it may not have noticed yet that the last
    /// one was closed.
    async fn connect_patiently(&self) -> Result<PgConnection, Error> {
        let began = Instant::now();
        loop {
            match self.connect().await {
                Err(error) if is_exhausted(&error) && began.elapsed() < ACQUIRE => {
                    tokio::time::sleep(RETRY_EVERY).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn probe_for(&self, mark: &str) -> Result<bool, Error> {
        let mut connection = self.connect_patiently().await?;
        let look = format!("SELECT current_setting('{PROBE}', true)");
        let row = connection
            .fetch_one(sea_orm::sqlx::AssertSqlSafe(look))
            .await?;
        let found: Option<String> = row.try_get(0)?;
        let _ = connection.close().await;
        Ok(found.as_deref() == Some(mark))
    }

    async fn require_target(&self, connection: &mut PgConnection) -> Result<(), Error> {
        if self.target == TargetSession::Any {
            return Ok(());
        }
        let row = connection.fetch_one("SHOW transaction_read_only").await?;
        let is_read_only: String = row.try_get(0)?;
        if is_read_only == "on" {
            let error =
                std::io::Error::other("the server takes no writes: it is a standby or read-only");
            return Err(Error::Io(error));
        }
        Ok(())
    }
}

/// The check of `verify-ca` takes the provider of the process, of which there is none where several are
/// compiled in.
fn install_crypto_provider() {
    use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
    if CryptoProvider::get_default().is_none() {
        // Another thread may be faster; its provider serves as well.
        let _ = aws_lc_rs::default_provider().install_default();
    }
}

/// `PgBouncer` refuses start-up parameters that it does not know, whereas PostgreSQL knows these.
fn refuses_options(error: &Error) -> bool {
    let Error::Database(error) = error else {
        return false;
    };
    let is_protocol_violation = error.code().as_deref() == Some("08P01");
    is_protocol_violation || error.message().contains("unsupported startup parameter")
}

/// Returns whether the server, or a pooler, has no connection left for this role.
pub(super) fn is_exhausted(error: &Error) -> bool {
    let Error::Database(error) = error else {
        return false;
    };
    let message = error.message();
    error.code().as_deref() == Some("53300")
        || message.contains("max_client_conn")
        || message.contains("max_db_connections")
        || message.contains("max_user_connections")
        || message.contains("too many connections")
}

/// Returns whether the server may be about to come up.
pub(super) fn is_starting(error: &Error) -> bool {
    match error {
        Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        Error::Database(error) => error.code().as_deref() == Some("57P03"),
        _ => false,
    }
}

/// Returns whether PostgreSQL undid this statement in favour of another, so that it may be run again.
pub(in crate::server::store) fn is_conflict(error: &Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    matches!(code.as_deref(), Some("40001" | "40P01"))
}
