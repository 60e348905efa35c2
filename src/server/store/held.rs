//! One connection for several statements.

use std::sync::Arc;

use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::postgres::PgRow;
use sea_orm::sqlx::sqlite::SqliteRow;
use sea_orm::sqlx::{Error, FromRow, Postgres, Sqlite, query_as_with, query_with};
use sea_orm::{DbBackend, DbErr, RuntimeErr, Value};
use sea_query_sqlx::SqlxValues;

use super::connection::Connections;

/// A connection that is held until it is dropped. The pool tries every one that comes back, which costs as
/// much as a statement: a batch of rotations, which is two, would pay that for each. On PostgreSQL it is kept
/// for the next batch while refreshes wait.
pub(super) enum Held {
    Postgres(PoolConnection<Postgres>),
    Sqlite(PoolConnection<Sqlite>),
}

impl Connections {
    /// Runs a statement that only reads, and returns its rows.
    pub(super) async fn read_rows<T>(
        &self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<T>, DbErr>
    where
        T: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let values = SqlxValues(sea_orm::Values(values));
        if self.reader.get_database_backend() == DbBackend::Postgres {
            let query = query_as_with::<Postgres, T, _>(sql, values);
            let pool = self.reader.get_postgres_connection_pool();
            query.fetch_all(pool).await
        } else {
            let query = query_as_with::<Sqlite, T, _>(sql, values);
            query
                .fetch_all(self.reader.get_sqlite_connection_pool())
                .await
        }
        .map_err(failed)
    }

    /// Takes a reserved connection that may write out of the pool. SQLite has one: until it is dropped, every other
    /// writer waits.
    pub(super) async fn hold(&self) -> Result<Held, DbErr> {
        let writer = self.reserved_writer();
        let held = if writer.get_database_backend() == DbBackend::Postgres {
            let pool = writer.get_postgres_connection_pool();
            pool.acquire().await.map(Held::Postgres)
        } else {
            let pool = writer.get_sqlite_connection_pool();
            pool.acquire().await.map(Held::Sqlite)
        };
        held.map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error))))
    }
}

impl Held {
    pub(super) fn backend(&self) -> DbBackend {
        match self {
            Self::Postgres(_) => DbBackend::Postgres,
            Self::Sqlite(_) => DbBackend::Sqlite,
        }
    }

    /// Returns the connection where it may be kept: SQLite has one for all that write, also for what else a
    /// batch has to do.
    pub(super) fn kept(self) -> Option<Self> {
        match self {
            Self::Postgres(_) => Some(self),
            Self::Sqlite(_) => None,
        }
    }

    /// Runs a statement, and returns its rows.
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
                let query = query_as_with::<Postgres, T, _>(sql, values);
                query.fetch_all(&mut **connection).await
            }
            Self::Sqlite(connection) => {
                let query = query_as_with::<Sqlite, T, _>(sql, values);
                query.fetch_all(&mut **connection).await
            }
        }
        .map_err(failed)
    }

    /// Runs a statement, and returns how many rows it changed.
    pub(super) async fn execute(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<u64, DbErr> {
        let values = SqlxValues(sea_orm::Values(values));
        match self {
            Self::Postgres(connection) => {
                let done = query_with(sql, values).execute(&mut **connection).await;
                done.map(|done| done.rows_affected())
            }
            Self::Sqlite(connection) => {
                let done = query_with(sql, values).execute(&mut **connection).await;
                done.map(|done| done.rows_affected())
            }
        }
        .map_err(failed)
    }
}

fn failed(error: Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(Arc::new(error)))
}
