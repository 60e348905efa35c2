//! Connecting to PostgreSQL: choice of the server, TLS, and detection of a pooler.

use std::fmt;
use std::time::{Duration, Instant};

use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection};
use sea_orm::sqlx::{ConnectOptions, Connection, Error, Executor, Row};

use super::super::StoreError;
use super::server_endpoint::{ServerEndpoint, check_files};
use super::{ACQUIRE_TIMEOUT, RETRY_INTERVAL, connection_error};
use crate::config::postgres_url::{PostgresUrl, TargetSessionAttributes};
use latchet_guard::keys::random_id;

/// Required settings of every session: timeouts after which PostgreSQL itself ends a statement, a wait for a row
/// or a transaction whose replica froze, and the isolation level for which the statements are written. Role and
/// database may have other defaults.
const SESSION_SETTINGS: [(&str, &str); 4] = [
    ("statement_timeout", "4s"),
    ("lock_timeout", "3s"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("default_transaction_isolation", "read committed"),
];

/// Begins a transaction behind a pooler, where settings of a session are not kept.
const BEGIN_BEHIND_POOLER: &str = "
    BEGIN ISOLATION LEVEL READ COMMITTED;
    SET LOCAL statement_timeout = '4s';
    SET LOCAL lock_timeout = '3s';
    SET LOCAL idle_in_transaction_session_timeout = '10s'";

/// Setting that no server knows. It can be read back only if the start-up options reach the server itself.
const PROBE_SETTING: &str = "latchet.session";

/// Kind of the connection to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum ConnectionRoute {
    /// Direct: settings and prepared statements last as long as the connection.
    Direct,
    /// Through a pooler that may use another server connection for each transaction: the required settings are
    /// part of each transaction, and no statement is prepared by name.
    Pooled,
}

impl ConnectionRoute {
    /// Returns whether prepared statements are kept.
    pub(super) fn keeps_statements(self) -> bool {
        self == Self::Direct
    }

    /// Returns the SQL that begins a transaction.
    pub(super) fn begin(self) -> &'static str {
        match self {
            Self::Direct => "BEGIN ISOLATION LEVEL READ COMMITTED",
            Self::Pooled => BEGIN_BEHIND_POOLER,
        }
    }
}

/// Opens connections to one database.
#[derive(Clone)]
pub(super) struct PostgresConnector {
    endpoints: Vec<ServerEndpoint>,
    is_shuffled: bool,
    target: TargetSessionAttributes,
    timeout: Duration,
    route: ConnectionRoute,
}

/// Leaves out the options, which contain the password.
impl fmt::Debug for PostgresConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConnector")
            .field("route", &self.route)
            .finish_non_exhaustive()
    }
}

impl PostgresConnector {
    /// Connects once and detects whether there is a pooler.
    ///
    /// # Errors
    /// When the URL cannot be used, or no server answers.
    pub(super) async fn discover(text: &str) -> Result<Self, StoreError> {
        install_crypto_provider();
        let url = PostgresUrl::parse(text).map_err(StoreError::Url)?;
        check_files(&url)?;
        let hosts = url.hosts.iter();
        let endpoints = hosts.map(|host| ServerEndpoint::new(&url, host));
        let connector = Self {
            endpoints: endpoints.collect::<Result<_, _>>()?,
            is_shuffled: url.is_shuffled,
            target: url.target,
            timeout: url.connect_timeout.unwrap_or(ACQUIRE_TIMEOUT),
            route: ConnectionRoute::Pooled,
        };
        if url.is_pooled {
            connector.test_connection().await?;
        } else if let Some(direct) = connector.try_direct().await? {
            return Ok(direct);
        }
        Ok(connector)
    }

    pub(super) fn route(&self) -> ConnectionRoute {
        self.route
    }

    /// Opens a connection to the first suitable server.
    pub(super) async fn connect(&self) -> Result<PgConnection, Error> {
        let mut endpoints: Vec<&ServerEndpoint> = self.endpoints.iter().collect();
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

    /// Returns the options of a connection that works now, for code that opens its own connection.
    pub(super) async fn reachable_options(&self) -> Result<PgConnectOptions, Error> {
        let mut failure = Error::PoolTimedOut;
        for options in self
            .endpoints
            .iter()
            .flat_map(ServerEndpoint::connect_options)
        {
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

    /// Tries a connection whose start-up options set [`SESSION_SETTINGS`]. Returns `None` if a pooler refuses or drops
    /// these options.
    async fn try_direct(&self) -> Result<Option<Self>, StoreError> {
        let probe_value = random_id();
        let settings = SESSION_SETTINGS
            .into_iter()
            .chain([(PROBE_SETTING, probe_value.as_str())]);
        let settings: Vec<(&str, &str)> = settings.collect();
        let mut direct = self.clone();
        direct.route = ConnectionRoute::Direct;
        let endpoints = self.endpoints.iter();
        direct.endpoints = endpoints
            .map(|endpoint| endpoint.with_options(&settings))
            .collect();
        match direct.reads_probe_value(&probe_value).await {
            Ok(true) => Ok(Some(direct)),
            Ok(false) => Ok(None),
            Err(error) if refuses_options(&error) => {
                self.test_connection().await?;
                Ok(None)
            }
            Err(error) => Err(connection_error(error)),
        }
    }

    /// Connects once, so that an error is reported at the start.
    async fn test_connection(&self) -> Result<(), StoreError> {
        let connection = self.connect_with_retry().await.map_err(connection_error)?;
        // An error on closing is of no interest.
        let _ = connection.close().await;
        Ok(())
    }

    /// Connects, and retries while the server has no connection left: it may not have noticed yet that the
    /// previous one was closed.
    async fn connect_with_retry(&self) -> Result<PgConnection, Error> {
        let began = Instant::now();
        loop {
            match self.connect().await {
                Err(error) if is_exhausted(&error) && began.elapsed() < ACQUIRE_TIMEOUT => {
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn reads_probe_value(&self, probe_value: &str) -> Result<bool, Error> {
        let mut connection = self.connect_with_retry().await?;
        let read_setting = format!("SELECT current_setting('{PROBE_SETTING}', true)");
        let row = connection
            .fetch_one(sea_orm::sqlx::AssertSqlSafe(read_setting))
            .await?;
        let found: Option<String> = row.try_get(0)?;
        let _ = connection.close().await;
        Ok(found.as_deref() == Some(probe_value))
    }

    async fn require_target(&self, connection: &mut PgConnection) -> Result<(), Error> {
        if self.target == TargetSessionAttributes::Any {
            return Ok(());
        }
        let row = connection.fetch_one("SHOW transaction_read_only").await?;
        let is_read_only: String = row.try_get(0)?;
        if is_read_only == "on" {
            let error = std::io::Error::other("the server is read-only or a standby");
            return Err(Error::Io(error));
        }
        Ok(())
    }
}

/// Installs the crypto provider of the process: `verify-ca` needs one, and there is no default when several are
/// compiled in.
fn install_crypto_provider() {
    use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
    if CryptoProvider::get_default().is_none() {
        // Another thread may have installed one already, which is fine.
        let _ = aws_lc_rs::default_provider().install_default();
    }
}

/// Returns whether a pooler refused the start-up options: `PgBouncer` does so, whereas PostgreSQL accepts them.
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

/// Returns whether the server may be starting.
pub(super) fn is_starting(error: &Error) -> bool {
    match error {
        Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        Error::Database(error) => error.code().as_deref() == Some("57P03"),
        _ => false,
    }
}

/// Returns whether PostgreSQL rolled this statement back because of a conflict, so that it may be repeated.
pub(in crate::store) fn is_conflict(error: &Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    matches!(code.as_deref(), Some("40001" | "40P01"))
}
