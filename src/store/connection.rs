//! Connections of a store, and migration of the schema.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use migration::{Migrator, MigratorTrait};
use sea_orm::sqlx::Error;
use sea_orm::sqlx::postgres::PgPoolOptions;
use sea_orm::{ConnectionTrait, DbErr, RuntimeErr, SqlxPostgresConnector, TransactionTrait};

use super::database::{DatabaseHandle, StoreTransaction};
use super::{StoreError, suitability};
use crate::config::{DatabaseKind, DatabaseUrl};

mod pool;
mod pooled;
mod postgres;
mod server_endpoint;
mod sqlite;
mod status;

pub(super) use pool::{ConnectionClass, PostgresPool};
pub(super) use pooled::PooledConnection;
pub(super) use postgres::is_conflict;
pub(super) use sqlite::{
    SQLITE_BUSY_TIMEOUT, reading_options, require_private_file, sqlite_options,
};
pub use sqlite::{require_writable, sqlite_file};
pub use status::{PoolStatus, free_disk_bytes};

use postgres::{ConnectionRoute, PostgresConnector, is_exhausted};

/// Longest wait for a free connection, or for opening a new one.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// Pause between two attempts to connect to a server that has no connection left, or is starting.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// Default for the most connections to PostgreSQL. Few, because PostgreSQL is fastest with two or three
/// connections for each core, and each replica opens its own.
pub const DEFAULT_CONNECTIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(15);

/// An arbitrary number that is the same in every version of the program.
const MIGRATION_LOCK_ID: i64 = 0x6c61_7463_6865_7400;

/// Longest wait of a migration for the lock of a table, because statements of running servers queue behind it.
///
/// It is far below the default `deadlock_timeout` (1 s). A login that has locked a table which the migration
/// wants, and wants one which the migration has locked, would otherwise be ended by PostgreSQL: so the migration
/// gives way before PostgreSQL looks.
const LIMIT_TABLE_LOCK_SQL: &str = "SET LOCAL lock_timeout = '200ms'";

/// Pause after a migration did not get the lock of a table, in which the statements behind it run.
const LOCK_RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Longest time for which a migration is repeated while tables are in use.
const LOCK_PATIENCE: Duration = Duration::from_mins(5);

/// The connections of one store.
#[derive(Clone, Debug)]
pub(super) struct StoreConnections {
    /// For statements that write. On SQLite it is a single connection, so that writers queue here
    /// in order instead of polling for the file's lock.
    pub(super) writer: DatabaseHandle,
    /// For statements that only read.
    pub(super) reader: DatabaseHandle,
    /// For refreshes and the epoch. On SQLite it only reads: there is one writer.
    reserved: DatabaseHandle,
    /// Opens connections to PostgreSQL; `None` on SQLite.
    connector: Option<PostgresConnector>,
}

impl StoreConnections {
    /// Connects and applies missing migrations.
    pub(super) async fn open(
        url: &DatabaseUrl,
        max_connections: NonZeroU32,
        mode: OpenMode,
    ) -> Result<Self, StoreError> {
        if mode == OpenMode::ExistingOnly {
            require_file(url)?;
        }
        let connections = Self::without_migrating(url, max_connections).await?;
        let db = &connections.writer;
        suitability::require_suitable(url, db, None).await?;
        if mode == OpenMode::ExistingOnly && migration::applied_migrations(db).await?.is_empty() {
            return Err(StoreError::NoInstallation);
        }
        let missing = missing_migrations(db).await?;
        suitability::require_suitable(url, db, Some(missing)).await?;
        if missing > 0 {
            connections.migrate().await?;
            suitability::require_suitable(url, db, Some(0)).await?;
        }
        Ok(connections)
    }

    /// Connects and leaves the schema as it is.
    pub(super) async fn without_migrating(
        url: &DatabaseUrl,
        max_connections: NonZeroU32,
    ) -> Result<Self, StoreError> {
        match url.kind() {
            DatabaseKind::Sqlite => sqlite::open(url.expose()).await,
            DatabaseKind::Postgres => {
                let connector = PostgresConnector::discover(url.expose()).await?;
                let pool = PostgresPool::new(connector.clone(), max_connections);
                let general = DatabaseHandle::Postgres(pool.clone(), ConnectionClass::General);
                Ok(Self {
                    writer: general.clone(),
                    reader: general,
                    reserved: DatabaseHandle::Postgres(pool, ConnectionClass::Reserved),
                    connector: Some(connector),
                })
            }
        }
    }

    /// Closes every connection.
    pub(super) async fn close(&self) {
        for handle in [&self.reader, &self.reserved, &self.writer] {
            handle.close().await;
        }
    }

    /// Begins a transaction that will write.
    pub(super) async fn begin(&self) -> Result<StoreTransaction, DbErr> {
        self.writer.begin().await
    }

    /// Begins a transaction of a refresh, on a reserved connection.
    pub(super) async fn begin_reserved(&self) -> Result<StoreTransaction, DbErr> {
        self.reserved_writer().begin().await
    }

    /// Returns the connections that are reserved for reading the epoch.
    pub(super) fn reserved_reader(&self) -> &DatabaseHandle {
        &self.reserved
    }

    /// Returns the connections that are reserved for refreshes and the epoch; on SQLite the only writer.
    pub(super) fn reserved_writer(&self) -> &DatabaseHandle {
        match self.reserved {
            DatabaseHandle::Postgres(..) => &self.reserved,
            DatabaseHandle::Sqlite(_) => &self.writer,
        }
    }

    /// Applies missing migrations, one process at a time.
    async fn migrate(&self) -> Result<(), StoreError> {
        match (&self.writer, &self.connector) {
            (DatabaseHandle::Sqlite(db), _) => {
                let options = sea_orm::TransactionOptions {
                    sqlite_transaction_mode: Some(sea_orm::SqliteTransactionMode::Immediate),
                    ..sea_orm::TransactionOptions::default()
                };
                apply_missing(db.begin_with_options(options).await?, "").await
            }
            (DatabaseHandle::Postgres(pool, _), Some(connector)) => {
                pool.close_idle().await;
                migrate_postgres(connector).await
            }
            (DatabaseHandle::Postgres(..), None) => Err(StoreError::unavailable()),
        }
    }
}

/// Permission to create a missing database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// A missing database is created.
    CreateIfMissing,
    /// A missing database is an error: a command that changes an installation runs in the wrong place.
    ExistingOnly,
}

pub(super) fn require_file(url: &DatabaseUrl) -> Result<(), StoreError> {
    if url.kind() == DatabaseKind::Sqlite && !sqlite_file(url.expose())?.exists() {
        return Err(StoreError::NoInstallation);
    }
    Ok(())
}

/// Returns the number of missing migrations.
///
/// # Errors
/// [`StoreError::NewerSchema`] when the database has migrations that this program does not know.
pub(super) async fn missing_migrations<C: ConnectionTrait>(db: &C) -> Result<usize, StoreError> {
    let known = migration::known_migrations();
    let applied = migration::applied_migrations(db).await?;
    // The listing is in order, so this is the newest.
    match applied.iter().rfind(|step| !known.contains(step)) {
        Some(found) => Err(StoreError::NewerSchema {
            found: found.clone(),
            known: known.last().cloned().unwrap_or_default(),
        }),
        None => Ok(known.len() - applied.len()),
    }
}

/// Applies missing migrations to PostgreSQL, on a connection of sea-orm, which its migrations need.
async fn migrate_postgres(connector: &PostgresConnector) -> Result<(), StoreError> {
    let began = Instant::now();
    let options = loop {
        match connector.reachable_options().await {
            Err(error) if is_exhausted(&error) && began.elapsed() < ACQUIRE_TIMEOUT => {
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
            outcome => break outcome.map_err(connection_error)?,
        }
    };
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .connect_lazy_with(options);
    let db = SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone());
    let began = Instant::now();
    let applied = loop {
        match migrate_once(&db, deallocate_statements_sql(connector.route())).await {
            Err(error) if error.is_lock_conflict() && began.elapsed() < LOCK_PATIENCE => {
                tracing::info!("a table is in use; the migration will be attempted again");
                tokio::time::sleep(LOCK_RETRY_INTERVAL).await;
            }
            outcome => break outcome,
        }
    };
    pool.close().await;
    applied
}

/// Applies missing migrations in one transaction, unless a table is in use for longer than requests can wait.
async fn migrate_once(
    db: &sea_orm::DatabaseConnection,
    deallocate: &str,
) -> Result<(), StoreError> {
    let transaction = db.begin().await?;
    // Other processes wait here while one migrates, possibly longer than a request may take.
    let prepare = format!(
        "{deallocate}SET LOCAL lock_timeout = '5min'; SET LOCAL statement_timeout = 0;
        SELECT pg_advisory_xact_lock({MIGRATION_LOCK_ID}); {LIMIT_TABLE_LOCK_SQL}"
    );
    transaction.execute_unprepared(&prepare).await?;
    apply_missing(transaction, deallocate).await
}

/// Returns the SQL that removes prepared statements: a pooler may provide a server connection on which another
/// client has left statements with the same names.
fn deallocate_statements_sql(route: ConnectionRoute) -> &'static str {
    match route {
        ConnectionRoute::Direct => "",
        ConnectionRoute::Pooled => "DEALLOCATE ALL;",
    }
}

async fn apply_missing(
    transaction: sea_orm::DatabaseTransaction,
    last: &str,
) -> Result<(), StoreError> {
    if missing_migrations(&transaction).await? > 0 {
        Migrator::up(&transaction, None).await?;
    }
    if !last.is_empty() {
        transaction.execute_unprepared(last).await?;
    }
    transaction.commit().await?;
    Ok(())
}

fn connection_error(error: Error) -> StoreError {
    DbErr::Conn(RuntimeErr::SqlxError(error.into())).into()
}
