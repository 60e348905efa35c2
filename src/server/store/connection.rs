//! Connections of a store, and migration of the schema.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use migration::{Migrator, MigratorTrait};
use sea_orm::sqlx::Error;
use sea_orm::sqlx::postgres::PgPoolOptions;
use sea_orm::{ConnectionTrait, DbErr, RuntimeErr, SqlxPostgresConnector, TransactionTrait};

use super::database::{Database, Transaction};
use super::{StoreError, condition};
use crate::server::config::{DatabaseKind, DatabaseUrl};

mod endpoint;
mod leased;
mod pool;
mod postgres;
mod sqlite;

pub(super) use leased::Leased;
pub(super) use pool::{Lane, Pool};
pub(super) use postgres::is_conflict;
pub(super) use sqlite::require_private_file;
pub use sqlite::{require_writable, sqlite_file};

use postgres::{Connector, Route, is_exhausted};

/// Longest wait for a free connection, or for opening a new one.
const ACQUIRE: Duration = Duration::from_secs(3);

/// Pause between two attempts to connect to a server that has no connection left, or is starting.
const RETRY_EVERY: Duration = Duration::from_millis(50);

/// Default for the most connections to PostgreSQL. Few, because PostgreSQL is fastest with two or three
/// connections for each core, and each replica opens its own.
pub const DEFAULT_CONNECTIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(15);

/// An arbitrary number that is the same in every version of the program.
const MIGRATION_LOCK: i64 = 0x6c61_7463_6865_7400;

/// The connections of one store.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    /// For statements that write. On SQLite it is a single connection, so that writers queue here
    /// in order instead of polling for the file's lock.
    pub(super) writer: Database,
    /// For statements that only read.
    pub(super) reader: Database,
    /// For refreshes and the epoch. On SQLite it only reads: there is one writer.
    reserved: Database,
    /// Opens connections to PostgreSQL; `None` on SQLite.
    connector: Option<Connector>,
}

impl Connections {
    /// Connects and applies missing migrations.
    pub(super) async fn open(
        url: &DatabaseUrl,
        most: NonZeroU32,
        opening: Opening,
    ) -> Result<Self, StoreError> {
        if opening == Opening::Existing {
            require_file(url)?;
        }
        let connections = Self::without_migrating(url, most).await?;
        let db = &connections.writer;
        condition::require(url, db, None).await?;
        if opening == Opening::Existing && migration::applied(db).await?.is_empty() {
            return Err(StoreError::NoInstallation);
        }
        let missing = missing_steps(db).await?;
        condition::require(url, db, Some(missing)).await?;
        if missing > 0 {
            connections.migrate().await?;
            condition::require(url, db, Some(0)).await?;
        }
        Ok(connections)
    }

    /// Connects and leaves the schema as it is.
    pub(super) async fn without_migrating(
        url: &DatabaseUrl,
        most: NonZeroU32,
    ) -> Result<Self, StoreError> {
        match url.kind() {
            DatabaseKind::Sqlite => sqlite::open(url.expose()).await,
            DatabaseKind::Postgres => {
                let connector = Connector::discover(url.expose()).await?;
                let pool = Pool::new(connector.clone(), most);
                let general = Database::Postgres(pool.clone(), Lane::General);
                Ok(Self {
                    writer: general.clone(),
                    reader: general,
                    reserved: Database::Postgres(pool, Lane::Reserved),
                    connector: Some(connector),
                })
            }
        }
    }

    /// Begins a transaction that will write.
    pub(super) async fn begin(&self) -> Result<Transaction, DbErr> {
        self.writer.begin().await
    }

    /// Begins a transaction of a refresh, on a reserved connection.
    pub(super) async fn begin_reserved(&self) -> Result<Transaction, DbErr> {
        self.reserved_writer().begin().await
    }

    /// Returns the connections that are reserved for reading the epoch.
    pub(super) fn reserved_reader(&self) -> &Database {
        &self.reserved
    }

    /// Returns the connections that are reserved for refreshes and the epoch; on SQLite the only writer.
    pub(super) fn reserved_writer(&self) -> &Database {
        match self.reserved {
            Database::Postgres(..) => &self.reserved,
            Database::Sqlite(_) => &self.writer,
        }
    }

    /// Applies missing migrations, one process at a time.
    async fn migrate(&self) -> Result<(), StoreError> {
        match (&self.writer, &self.connector) {
            (Database::Sqlite(db), _) => {
                let options = sea_orm::TransactionOptions {
                    sqlite_transaction_mode: Some(sea_orm::SqliteTransactionMode::Immediate),
                    ..sea_orm::TransactionOptions::default()
                };
                apply(db.begin_with_options(options).await?, "").await
            }
            (Database::Postgres(pool, _), Some(connector)) => {
                pool.close_resting().await;
                migrate_postgres(connector).await
            }
            (Database::Postgres(..), None) => Err(StoreError::unavailable()),
        }
    }
}

/// Permission to create a missing database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A missing database is created.
    New,
    /// A missing database is an error: a command that changes an installation runs in the wrong place.
    Existing,
}

fn require_file(url: &DatabaseUrl) -> Result<(), StoreError> {
    if url.kind() == DatabaseKind::Sqlite && !sqlite_file(url.expose())?.exists() {
        return Err(StoreError::NoInstallation);
    }
    Ok(())
}

/// Returns the number of missing migrations.
///
/// # Errors
/// [`StoreError::NewerSchema`] when the database has migrations that this program does not know.
pub(super) async fn missing_steps<C: ConnectionTrait>(db: &C) -> Result<usize, StoreError> {
    let known = migration::known();
    let applied = migration::applied(db).await?;
    match applied.iter().find(|step| !known.contains(step)) {
        Some(step) => Err(StoreError::NewerSchema { step: step.clone() }),
        None => Ok(known.len() - applied.len()),
    }
}

/// Applies missing migrations to PostgreSQL, on a connection of sea-orm, which its migrations need.
async fn migrate_postgres(connector: &Connector) -> Result<(), StoreError> {
    let began = Instant::now();
    let options = loop {
        match connector.reachable().await {
            Err(error) if is_exhausted(&error) && began.elapsed() < ACQUIRE => {
                tokio::time::sleep(RETRY_EVERY).await;
            }
            outcome => break outcome.map_err(connecting)?,
        }
    };
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE)
        .test_before_acquire(false)
        .connect_lazy_with(options);
    let db = SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone());
    let applied = async {
        let transaction = db.begin().await?;
        // Other processes wait here while one migrates, possibly longer than a request may take.
        let prepare = format!(
            "{}SET LOCAL lock_timeout = '5min'; SET LOCAL statement_timeout = 0;
            SELECT pg_advisory_xact_lock({MIGRATION_LOCK})",
            forget_statements(connector.route())
        );
        transaction.execute_unprepared(&prepare).await?;
        apply(transaction, forget_statements(connector.route())).await
    };
    let applied = applied.await;
    pool.close().await;
    applied
}

/// Returns the SQL that removes prepared statements: a pooler may provide a server connection on which another
/// client has left statements with the same names.
fn forget_statements(route: Route) -> &'static str {
    match route {
        Route::Direct => "",
        Route::Pooled => "DEALLOCATE ALL;",
    }
}

async fn apply(transaction: sea_orm::DatabaseTransaction, last: &str) -> Result<(), StoreError> {
    if missing_steps(&transaction).await? > 0 {
        Migrator::up(&transaction, None).await?;
    }
    if !last.is_empty() {
        transaction.execute_unprepared(last).await?;
    }
    transaction.commit().await?;
    Ok(())
}

fn connecting(error: Error) -> StoreError {
    DbErr::Conn(RuntimeErr::SqlxError(error.into())).into()
}
