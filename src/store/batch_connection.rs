//! One connection for the statements of a batch.

use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::postgres::PgRow;
use sea_orm::sqlx::sqlite::SqliteRow;
use sea_orm::sqlx::{FromRow, Sqlite, query_as_with, query_with};
use sea_orm::{DbBackend, DbErr, Value};
use sea_query_sqlx::SqlxValues;

use super::connection::{PooledConnection, StoreConnections};
use super::database::{DatabaseHandle, connection_error, query_error};

/// A connection that is reserved until it is dropped. The SQLite pool tests each connection that is returned,
/// which costs as much as a statement: a batch of rotations, which is two statements, would pay that twice. On
/// PostgreSQL it is kept for the next batch while refreshes wait.
pub(super) enum BatchConnection {
    Postgres(PooledConnection),
    Sqlite(PoolConnection<Sqlite>),
}

impl StoreConnections {
    /// Runs a read-only statement and returns its rows.
    pub(super) async fn read_rows<T>(
        &self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<T>, DbErr>
    where
        T: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        acquire(&self.reader).await?.rows(sql, values).await
    }

    /// Takes a reserved, writable connection out of the pool. SQLite has one: every other writer waits until it is
    /// dropped.
    pub(super) async fn acquire_batch_connection(&self) -> Result<BatchConnection, DbErr> {
        acquire(self.reserved_writer()).await
    }
}

async fn acquire(database: &DatabaseHandle) -> Result<BatchConnection, DbErr> {
    let connection = match database {
        DatabaseHandle::Postgres(pool, class) => {
            pool.acquire(*class).await.map(BatchConnection::Postgres)
        }
        DatabaseHandle::Sqlite(db) => {
            let pool = db.get_sqlite_connection_pool();
            pool.acquire().await.map(BatchConnection::Sqlite)
        }
    };
    connection.map_err(connection_error)
}

impl BatchConnection {
    pub(super) fn backend(&self) -> DbBackend {
        match self {
            Self::Postgres(_) => DbBackend::Postgres,
            Self::Sqlite(_) => DbBackend::Sqlite,
        }
    }

    /// Returns the connection if the next batch may use it. On SQLite it may not: the only connection that writes
    /// is needed by other writers and by the rest of the batch.
    pub(super) fn into_reusable(self) -> Option<Self> {
        match self {
            Self::Postgres(_) => Some(self),
            Self::Sqlite(_) => None,
        }
    }

    /// Runs a statement and returns its rows.
    pub(super) async fn rows<T>(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<T>, DbErr>
    where
        T: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let values = SqlxValues(sea_orm::Values(values));
        match self {
            Self::Postgres(connection) => {
                let rows = connection.rows(sql, values).await;
                rows.and_then(|rows| {
                    rows.iter()
                        .map(<T as FromRow<'_, PgRow>>::from_row)
                        .collect()
                })
            }
            Self::Sqlite(connection) => {
                let query = query_as_with::<Sqlite, T, _>(sql, values);
                query.fetch_all(&mut **connection).await
            }
        }
        .map_err(query_error)
    }

    /// Runs a statement and returns the number of rows that it changed.
    pub(super) async fn execute(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<u64, DbErr> {
        let values = SqlxValues(sea_orm::Values(values));
        match self {
            Self::Postgres(connection) => {
                let done = connection.execute(sql, values).await;
                done.map(|done| done.rows_affected())
            }
            Self::Sqlite(connection) => {
                let done = query_with(sql, values).execute(&mut **connection).await;
                done.map(|done| done.rows_affected())
            }
        }
        .map_err(query_error)
    }
}
