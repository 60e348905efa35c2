//! How each database is connected to, and how its schema is brought up to date.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use migration::{Migrator, MigratorTrait};
use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sea_orm::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sea_orm::sqlx::{ConnectOptions, Connection, Error};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, RuntimeErr,
    SqliteTransactionMode, SqlxPostgresConnector, SqlxSqliteConnector, TransactionOptions,
    TransactionTrait,
};

use super::StoreError;
use crate::server::config::{DatabaseKind, DatabaseUrl};

/// How long to wait for a free connection, a new one included.
const ACQUIRE: Duration = Duration::from_secs(3);

/// How long SQLite waits for another process, such as the command line, to finish writing. Less
/// than the store waits for any statement, so that the reason is known when it does not finish.
const SQLITE_BUSY: Duration = Duration::from_secs(4);

/// Readers of SQLite beside its one writer; each is a thread.
const SQLITE_READERS: u32 = 4;

/// Few, because PostgreSQL serves a core with two or three connections best, and each replica
/// brings its own.
const POSTGRES_CONNECTIONS: u32 = 12;

/// Connections that only refreshes and the epoch of the denylist use. However many others wait for a
/// connection, these do not: late refreshes sign people out, and without the epoch every check asks SQL.
const POSTGRES_RESERVED: u32 = 4;

/// A connection that rested for longer is tried before it is used; a busy one costs no round trip.
const POSTGRES_TRIED_AFTER: Duration = Duration::from_secs(1);

/// What PostgreSQL itself ends: a statement, a wait for a row, a transaction whose replica froze.
const POSTGRES_LIMITS: [(&str, &str); 3] = [
    ("statement_timeout", "4s"),
    ("lock_timeout", "3s"),
    ("idle_in_transaction_session_timeout", "10s"),
];

/// Any number: what matters is that every version of the program takes the same lock.
const MIGRATION_LOCK: i64 = 0x6c61_7463_6865_7400;

/// The connections of one store.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    /// For statements that write. On SQLite it is a single connection, so that writers queue here
    /// in order instead of polling for the file's lock.
    pub(super) writer: DatabaseConnection,
    /// For statements that only read.
    pub(super) reader: DatabaseConnection,
    /// For refreshes and the epoch. On SQLite it only reads: there is one writer.
    reserved: DatabaseConnection,
}

impl Connections {
    /// Connects and brings the schema up to date.
    pub(super) async fn open(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let connections = Self::without_migrating(url).await?;
        migrate(&connections.writer).await?;
        Ok(connections)
    }

    /// Connects and leaves the schema as it is.
    pub(super) async fn without_migrating(url: &DatabaseUrl) -> Result<Self, StoreError> {
        match url.kind() {
            DatabaseKind::Sqlite => sqlite(url.expose()).await,
            DatabaseKind::Postgres => postgres(url.expose()).await,
        }
    }

    /// Begins a transaction that will write.
    pub(super) async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        begin(&self.writer).await
    }

    /// Begins a transaction of a refresh.
    pub(super) async fn begin_reserved(&self) -> Result<DatabaseTransaction, DbErr> {
        begin(self.reserved_writer()).await
    }

    /// Returns connections that are reserved for reading the epoch.
    pub(super) fn reserved_reader(&self) -> &DatabaseConnection {
        &self.reserved
    }

    /// Returns connections that are reserved for refreshes and the epoch; on SQLite the one writer.
    pub(super) fn reserved_writer(&self) -> &DatabaseConnection {
        match self.reserved.get_database_backend() {
            DbBackend::Postgres => &self.reserved,
            _ => &self.writer,
        }
    }
}

/// A transaction of SQLite that begins by reading fails when another process wrote in between:
/// take the lock at once.
///
/// It is begun in a task of its own, since whoever asks may give up meanwhile. Dropped between `BEGIN` and
/// its answer, the driver would hold the connection for one without a transaction and give it to others,
/// whose statements would never be committed.
async fn begin(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let options = TransactionOptions {
        sqlite_transaction_mode: match db.get_database_backend() {
            DbBackend::Sqlite => Some(SqliteTransactionMode::Immediate),
            _ => None,
        },
        ..TransactionOptions::default()
    };
    let db = db.clone();
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever asks waits for it; it ends with the answer of the database, or the connection"
    )]
    let begun = tokio::spawn(async move { db.begin_with_options(options).await });
    begun
        .await
        .unwrap_or_else(|error| Err(DbErr::Conn(RuntimeErr::Internal(error.to_string()))))
}

fn sqlite_options(url: &str) -> Result<SqliteConnectOptions, StoreError> {
    if url.contains(":memory:") || url.contains("mode=memory") {
        return Err(StoreError::Url(
            "a database in memory is a different one for each connection; name a file",
        ));
    }
    url.parse()
        .map_err(|_| StoreError::Url("write it like sqlite://data/latchet.db"))
}

/// Returns the file that a URL of SQLite names.
pub(super) fn sqlite_file(url: &str) -> Result<PathBuf, StoreError> {
    Ok(sqlite_options(url)?.get_filename().to_owned())
}

async fn sqlite(url: &str) -> Result<Connections, StoreError> {
    let options = sqlite_options(url)?;
    make_private_file(options.get_filename())?;
    let options = options
        .create_if_missing(false)
        .foreign_keys(true)
        .busy_timeout(SQLITE_BUSY)
        .journal_mode(SqliteJournalMode::Wal)
        // With NORMAL a committed logout may vanish when the power does.
        .synchronous(SqliteSynchronous::Full)
        // Gives back what a burst of writes took on disk.
        .pragma("journal_size_limit", "67108864")
        .disable_statement_logging();
    let writer = sqlite_writer(&options).await?;
    let options = options.pragma("query_only", "on");
    let readers = |count| {
        let pool = SqlitePoolOptions::new()
            .max_connections(count)
            .max_lifetime(None)
            .acquire_timeout(ACQUIRE)
            .test_before_acquire(false)
            .connect_lazy_with(options.clone());
        SqlxSqliteConnector::from_sqlx_sqlite_pool(pool)
    };
    Ok(Connections {
        writer: SqlxSqliteConnector::from_sqlx_sqlite_pool(writer),
        reader: readers(SQLITE_READERS),
        reserved: readers(1),
    })
}

/// Opens the one connection that writes. The first one turns a new file over to WAL, for which it
/// must have the file alone; processes that start at the same moment are told "busy" at once there,
/// whatever the busy timeout, and try again.
async fn sqlite_writer(options: &SqliteConnectOptions) -> Result<SqlitePool, StoreError> {
    let began = Instant::now();
    loop {
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(ACQUIRE)
            .test_before_acquire(false)
            .after_release(|connection, _| {
                Box::pin(async move {
                    // A rollback may still be under way. Where SQLite had rolled back of itself, as when
                    // a disk is full at the commit, that fails, and the connection would take each
                    // transaction from now on for a part of one that never ends.
                    connection.ping().await?;
                    Ok(!connection.is_in_transaction())
                })
            });
        match pool.connect_with(options.clone()).await {
            Err(error) if is_busy(&error) && began.elapsed() < SQLITE_BUSY => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            connected => return connected.map_err(connecting),
        }
    }
}

/// Returns whether another process has the file: the result code `SQLITE_BUSY`, in its low byte.
fn is_busy(error: &Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.and_then(|code| code.parse::<u32>().ok())
        .is_some_and(|code| code & 0xff == 5)
}

/// Makes the file and its folder, readable by their owner only, where they are missing. SQLite
/// gives its companion files (`-wal`, `-shm`) the permissions of the file.
pub(super) fn make_private_file(path: &Path) -> Result<(), StoreError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source: std::io::Error| StoreError::File {
            path,
            source: Arc::new(source),
        }
    };
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed(folder))?;
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(failed(path))?;
    Ok(())
}

async fn postgres(url: &str) -> Result<Connections, StoreError> {
    let options: PgConnectOptions = url.parse().map_err(|_| {
        StoreError::Url("write it like postgres://user:password@host/latchet, with %-escapes")
    })?;
    let options = options
        .application_name("latchet")
        .options(POSTGRES_LIMITS)
        .disable_statement_logging();
    // The pool would try again until its time is over and then say only that it is.
    tokio::time::timeout(ACQUIRE, PgConnection::connect_with(&options))
        .await
        .map_err(|_| StoreError::unavailable())?
        .map_err(connecting)?
        .close()
        .await
        .map_err(connecting)?;
    let pool = postgres_pool(options.clone(), POSTGRES_CONNECTIONS);
    Ok(Connections {
        writer: pool.clone(),
        reader: pool,
        reserved: postgres_pool(options, POSTGRES_RESERVED),
    })
}

fn postgres_pool(options: PgConnectOptions, connections: u32) -> DatabaseConnection {
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for >= POSTGRES_TRIED_AFTER {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options);
    SqlxPostgresConnector::from_sqlx_postgres_pool(pool)
}

fn connecting(error: Error) -> StoreError {
    DbErr::Conn(RuntimeErr::SqlxError(error.into())).into()
}

/// Applies the steps that are missing, one process at a time.
async fn migrate(db: &DatabaseConnection) -> Result<(), StoreError> {
    let transaction = begin(db).await?;
    if transaction.get_database_backend() == DbBackend::Postgres {
        // Others wait here while one migrates, which may take longer than a request may.
        transaction
            .execute_unprepared("SET LOCAL lock_timeout = '5min'; SET LOCAL statement_timeout = 0")
            .await?;
        let lock = format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})");
        transaction.execute_unprepared(&lock).await?;
    }
    let known = migration::known();
    let applied = migration::applied(&transaction).await?;
    if let Some(step) = applied.iter().find(|step| !known.contains(step)) {
        return Err(StoreError::NewerSchema { step: step.clone() });
    }
    if applied.len() < known.len() {
        Migrator::up(&transaction, None).await?;
    }
    transaction.commit().await?;
    Ok(())
}
