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

use super::connection::{Lane, Leased, Pool, is_conflict};

/// Most attempts at a single statement that PostgreSQL rolled back because of a conflict.
const ATTEMPTS: usize = 3;

/// A database with its connections. Clones share them.
#[derive(Clone, Debug)]
pub(super) enum Database {
    Sqlite(DatabaseConnection),
    Postgres(Pool, Lane),
}

/// A transaction, which is rolled back when it is dropped before its commit.
pub(super) enum Transaction {
    Sqlite(DatabaseTransaction),
    Postgres(Mutex<Leased>),
}

impl Database {
    /// Returns once the database has answered.
    pub(super) async fn ping(&self) -> Result<(), DbErr> {
        match self {
            Self::Sqlite(db) => db.ping().await,
            Self::Postgres(pool, lane) => {
                let mut leased = pool.acquire(*lane).await.map_err(connecting)?;
                leased.ping().await.map_err(connecting)
            }
        }
    }

    /// Begins a transaction that will write.
    pub(super) async fn begin(&self) -> Result<Transaction, DbErr> {
        match self {
            Self::Sqlite(db) => begin_sqlite(db).await.map(Transaction::Sqlite),
            Self::Postgres(pool, lane) => {
                let mut leased = pool.acquire(*lane).await.map_err(connecting)?;
                leased.begin().await.map_err(executing)?;
                Ok(Transaction::Postgres(Mutex::new(leased)))
            }
        }
    }
}

impl Transaction {
    /// Commits the transaction.
    pub(super) async fn commit(self) -> Result<(), DbErr> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await,
            Self::Postgres(leased) => leased.into_inner().commit().await.map_err(executing),
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
macro_rules! alone {
    ($pool:expr, $lane:expr, $method:ident, $statement:expr) => {{
        let mut leased = $pool.acquire(*$lane).await.map_err(connecting)?;
        let mut attempt = 1;
        loop {
            let (sql, values) = parts($statement.clone());
            match leased.$method(sql, values).await {
                Err(error) if attempt < ATTEMPTS && is_conflict(&error) => {
                    attempt += 1;
                    drop(leased);
                    leased = $pool.acquire(*$lane).await.map_err(connecting)?;
                }
                outcome => break outcome,
            }
        }
    }};
}

#[async_trait::async_trait]
impl ConnectionTrait for Database {
    fn get_database_backend(&self) -> DbBackend {
        match self {
            Self::Sqlite(_) => DbBackend::Sqlite,
            Self::Postgres(..) => DbBackend::Postgres,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match self {
            Self::Sqlite(db) => db.execute_raw(statement).await,
            Self::Postgres(pool, lane) => {
                let done = alone!(pool, lane, execute, statement);
                done.map(ExecResult::from).map_err(executing)
            }
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match self {
            Self::Sqlite(db) => db.execute_unprepared(sql).await,
            Self::Postgres(pool, lane) => {
                let mut leased = pool.acquire(*lane).await.map_err(connecting)?;
                let done = leased.run(AssertSqlSafe(sql.to_owned())).await;
                done.map(ExecResult::from).map_err(executing)
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
            Self::Postgres(pool, lane) => {
                let rows = alone!(pool, lane, rows, statement).map_err(querying)?;
                Ok(rows.into_iter().map(QueryResult::from).collect())
            }
        }
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        match self {
            Self::Sqlite(_) => DbBackend::Sqlite,
            Self::Postgres(_) => DbBackend::Postgres,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match self {
            Self::Sqlite(transaction) => transaction.execute_raw(statement).await,
            Self::Postgres(leased) => {
                let (sql, values) = parts(statement);
                let done = leased.lock().await.execute(sql, values).await;
                done.map(ExecResult::from).map_err(executing)
            }
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match self {
            Self::Sqlite(transaction) => transaction.execute_unprepared(sql).await,
            Self::Postgres(leased) => {
                let done = leased.lock().await.run(AssertSqlSafe(sql.to_owned())).await;
                done.map(ExecResult::from).map_err(executing)
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
            Self::Postgres(leased) => {
                let (sql, values) = parts(statement);
                let rows = leased.lock().await.rows(sql, values).await;
                Ok(rows
                    .map_err(querying)?
                    .into_iter()
                    .map(QueryResult::from)
                    .collect())
            }
        }
    }
}

fn parts(statement: Statement) -> (AssertSqlSafe<String>, SqlxValues) {
    let values = statement.values.unwrap_or(sea_orm::Values(Vec::new()));
    (AssertSqlSafe(statement.sql), SqlxValues(values))
}

/// Returns the error for a connection that is not available.
pub(super) fn connecting(error: Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error)))
}

fn executing(error: Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(Arc::new(error)))
}

pub(super) fn querying(error: Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(Arc::new(error)))
}
