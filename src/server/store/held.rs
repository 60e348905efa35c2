//! One connection for several statements.

use std::sync::Arc;

use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::{Error, Postgres, Sqlite, query_with};
use sea_orm::{DbBackend, DbErr, QueryResult, RuntimeErr, Value};
use sea_query_sqlx::SqlxValues;

use super::connection::Connections;

/// A connection that is held until it is dropped. The pool tries every one that comes back, which costs as
/// much as a statement: a batch of rotations, which is two, would pay that for each.
pub(super) enum Held {
    Postgres(PoolConnection<Postgres>),
    Sqlite(PoolConnection<Sqlite>),
}

impl Connections {
    /// Takes a connection that may write out of the pool. SQLite has one: until it is dropped, every other
    /// writer waits.
    pub(super) async fn hold(&self) -> Result<Held, DbErr> {
        let held = if self.writer.get_database_backend() == DbBackend::Postgres {
            let pool = self.writer.get_postgres_connection_pool();
            pool.acquire().await.map(Held::Postgres)
        } else {
            let pool = self.writer.get_sqlite_connection_pool();
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

    /// Runs a statement, and returns its rows.
    pub(super) async fn rows(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<QueryResult>, DbErr> {
        let values = SqlxValues(sea_orm::Values(values));
        match self {
            Self::Postgres(connection) => {
                let rows = query_with(sql, values).fetch_all(&mut **connection).await;
                rows.map(|rows| rows.into_iter().map(QueryResult::from).collect())
            }
            Self::Sqlite(connection) => {
                let rows = query_with(sql, values).fetch_all(&mut **connection).await;
                rows.map(|rows| rows.into_iter().map(QueryResult::from).collect())
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
