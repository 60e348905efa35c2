//! Targets of statements: a database or a transaction, on SQLite or PostgreSQL.

use std::sync::Arc;

use sea_orm::sqlx::{AssertSqlSafe, Error};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    QueryResult, RuntimeErr, SqliteTransactionMode, Statement, TransactionOptions,
    TransactionTrait,
};
use sea_query_sqlx::SqlxValues;
use tokio::sync::Mutex;

use super::connection::{ConnectionClass, PooledConnection, PostgresPool, is_conflict};

/// Most attempts at a single statement that PostgreSQL rolled back because of a conflict.
const MAX_ATTEMPTS: usize = 3;

/// A database with its connections. Clones share them.
#[derive(Clone, Debug)]
pub(super) enum DatabaseHandle {
    Sqlite(DatabaseConnection),
    Postgres(PostgresPool, ConnectionClass),
}

/// A transaction, which is rolled back when it is dropped before its commit.
pub(super) enum StoreTransaction {
    Sqlite(DatabaseTransaction),
    Postgres(Mutex<PooledConnection>),
}

impl DatabaseHandle {
    /// Returns once the database has answered.
    pub(super) async fn ping(&self) -> Result<(), DbErr> {
        match self {
            Self::Sqlite(db) => db.ping().await,
            Self::Postgres(pool, class) => {
                let mut connection = pool.acquire(*class).await.map_err(connection_error)?;
                connection.ping().await.map_err(connection_error)
            }
        }
    }

    /// Closes its connections.
    pub(super) async fn close(&self) {
        match self {
            // An error means that it is closed already.
            Self::Sqlite(db) => drop(db.close_by_ref().await),
            Self::Postgres(pool, _) => pool.close_idle().await,
        }
    }

    /// Begins a transaction that will write.
    pub(super) async fn begin(&self) -> Result<StoreTransaction, DbErr> {
        match self {
            Self::Sqlite(db) => begin_sqlite(db).await.map(StoreTransaction::Sqlite),
            Self::Postgres(pool, class) => {
                let mut connection = pool.acquire(*class).await.map_err(connection_error)?;
                connection.begin().await.map_err(execution_error)?;
                Ok(StoreTransaction::Postgres(Mutex::new(connection)))
            }
        }
    }
}

impl StoreTransaction {
    /// Commits the transaction.
    pub(super) async fn commit(self) -> Result<(), DbErr> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await,
            Self::Postgres(connection) => connection
                .into_inner()
                .commit()
                .await
                .map_err(execution_error),
        }
    }
}

/// Begins a transaction that takes the write lock at once: on SQLite, a transaction that begins by reading
/// fails when another process writes in between.
///
/// It begins in a separate task, since the caller may give up meanwhile. If the future were dropped between
/// `BEGIN` and its result, the driver would treat the connection as one without a transaction and reuse it,
/// and the statements of others would never be committed.
async fn begin_sqlite(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let db = db.clone();
    #[expect(
        clippy::disallowed_methods,
        reason = "the caller awaits it; it ends with the response of the database, or with the connection"
    )]
    let begun = tokio::spawn(async move { db.begin_with_options(options).await });
    begun
        .await
        .unwrap_or_else(|error| Err(DbErr::Conn(RuntimeErr::Internal(error.to_string()))))
}

/// Runs a statement outside a transaction. If PostgreSQL rolled it back, it has changed nothing and is repeated.
macro_rules! repeat_on_conflict {
    ($pool:expr, $class:expr, $method:ident, $statement:expr) => {{
        let mut connection = $pool.acquire(*$class).await.map_err(connection_error)?;
        let mut attempt = 1;
        loop {
            let (sql, values) = sql_and_values($statement.clone());
            match connection.$method(sql, values).await {
                Err(error) if attempt < MAX_ATTEMPTS && is_conflict(&error) => {
                    attempt += 1;
                    drop(connection);
                    connection = $pool.acquire(*$class).await.map_err(connection_error)?;
                }
                outcome => break outcome,
            }
        }
    }};
}

#[async_trait::async_trait]
impl ConnectionTrait for DatabaseHandle {
    fn get_database_backend(&self) -> DbBackend {
        match self {
            Self::Sqlite(_) => DbBackend::Sqlite,
            Self::Postgres(..) => DbBackend::Postgres,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match self {
            Self::Sqlite(db) => db.execute_raw(statement).await,
            Self::Postgres(pool, class) => {
                let done = repeat_on_conflict!(pool, class, execute, statement);
                done.map(ExecResult::from).map_err(execution_error)
            }
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match self {
            Self::Sqlite(db) => db.execute_unprepared(sql).await,
            Self::Postgres(pool, class) => {
                let mut connection = pool.acquire(*class).await.map_err(connection_error)?;
                let done = connection.run(AssertSqlSafe(sql.to_owned())).await;
                done.map(ExecResult::from).map_err(execution_error)
            }
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match self {
            Self::Sqlite(db) => db.query_one_raw(statement).await,
            Self::Postgres(..) => Ok(self.query_all_raw(statement).await?.into_iter().next()),
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match self {
            Self::Sqlite(db) => db.query_all_raw(statement).await,
            Self::Postgres(pool, class) => {
                let rows =
                    repeat_on_conflict!(pool, class, rows, statement).map_err(query_error)?;
                Ok(rows.into_iter().map(QueryResult::from).collect())
            }
        }
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for StoreTransaction {
    fn get_database_backend(&self) -> DbBackend {
        match self {
            Self::Sqlite(_) => DbBackend::Sqlite,
            Self::Postgres(_) => DbBackend::Postgres,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match self {
            Self::Sqlite(transaction) => transaction.execute_raw(statement).await,
            Self::Postgres(connection) => {
                let (sql, values) = sql_and_values(statement);
                let done = connection.lock().await.execute(sql, values).await;
                done.map(ExecResult::from).map_err(execution_error)
            }
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match self {
            Self::Sqlite(transaction) => transaction.execute_unprepared(sql).await,
            Self::Postgres(connection) => {
                let done = connection
                    .lock()
                    .await
                    .run(AssertSqlSafe(sql.to_owned()))
                    .await;
                done.map(ExecResult::from).map_err(execution_error)
            }
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match self {
            Self::Sqlite(transaction) => transaction.query_one_raw(statement).await,
            Self::Postgres(_) => Ok(self.query_all_raw(statement).await?.into_iter().next()),
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match self {
            Self::Sqlite(transaction) => transaction.query_all_raw(statement).await,
            Self::Postgres(connection) => {
                let (sql, values) = sql_and_values(statement);
                let rows = connection.lock().await.rows(sql, values).await;
                Ok(rows
                    .map_err(query_error)?
                    .into_iter()
                    .map(QueryResult::from)
                    .collect())
            }
        }
    }
}

fn sql_and_values(statement: Statement) -> (AssertSqlSafe<String>, SqlxValues) {
    let values = statement.values.unwrap_or(sea_orm::Values(Vec::new()));
    (AssertSqlSafe(statement.sql), SqlxValues(values))
}

/// Returns the error for a connection that is not available.
pub(super) fn connection_error(error: Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error)))
}

fn execution_error(error: Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(Arc::new(error)))
}

pub(super) fn query_error(error: Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(Arc::new(error)))
}
