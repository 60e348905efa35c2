//! One connection to PostgreSQL while it is in use.

use std::time::Duration;

use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::postgres::{
    PgConnection, PgDatabaseError, PgQueryResult, PgRow, PgSeverity, Postgres,
};
use sea_orm::sqlx::{Connection, Error, Executor, SqlSafeStr, query_with};
use sea_query_sqlx::SqlxValues;
use tokio::time::Instant;

use super::pool::{IdleConnection, PoolSlot};
use super::postgres::ConnectionRoute;

/// Longest wait for a connection whose statement or transaction was abandoned. The server ends these by
/// itself within this time.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(5);

/// SQLSTATE of a standby that is asked to write.
const READ_ONLY_TRANSACTION: &str = "25006";

/// State of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectionState {
    /// No statement is running.
    Ready,
    /// A statement was sent, and its result has not been read.
    Busy,
    /// It failed.
    Broken,
}

/// A connection of the pool, to which it is returned when this is dropped.
#[derive(Debug)]
pub(in crate::store) struct PooledConnection {
    /// `Some` until this is dropped.
    slot_and_connection: Option<(PoolSlot, PgConnection)>,
    opened: Instant,
    route: ConnectionRoute,
    state: ConnectionState,
    is_in_transaction: bool,
}

impl PooledConnection {
    pub(super) fn new(slot: PoolSlot, idle: IdleConnection) -> Self {
        Self {
            route: slot.route(),
            slot_and_connection: Some((slot, idle.connection)),
            opened: idle.opened,
            state: ConnectionState::Ready,
            is_in_transaction: false,
        }
    }

    /// Runs a statement and returns its rows. Behind a pooler it runs in a transaction.
    pub(in crate::store) async fn rows(
        &mut self,
        sql: impl SqlSafeStr + Send,
        values: SqlxValues,
    ) -> Result<Vec<PgRow>, Error> {
        let has_begun = self.begin_if_pooled().await?;
        let query = query_with::<Postgres, _>(sql, values).persistent(self.keeps_statements());
        let connection = self.begin_statement()?;
        let outcome = query.fetch_all(connection).await;
        let rows = self.end_statement(outcome)?;
        self.commit_if(has_begun).await?;
        Ok(rows)
    }

    /// Runs a statement and returns the number of changed rows. Behind a pooler it runs in a transaction.
    pub(in crate::store) async fn execute(
        &mut self,
        sql: impl SqlSafeStr + Send,
        values: SqlxValues,
    ) -> Result<PgQueryResult, Error> {
        let has_begun = self.begin_if_pooled().await?;
        let query = query_with::<Postgres, _>(sql, values).persistent(self.keeps_statements());
        let connection = self.begin_statement()?;
        let outcome = query.execute(connection).await;
        let done = self.end_statement(outcome)?;
        self.commit_if(has_begun).await?;
        Ok(done)
    }

    /// Runs statements without parameters.
    pub(in crate::store) async fn run(
        &mut self,
        sql: impl SqlSafeStr + Send,
    ) -> Result<PgQueryResult, Error> {
        let connection = self.begin_statement()?;
        let outcome = connection.execute(sql.into_sql_str()).await;
        self.end_statement(outcome)
    }

    /// Returns once the server has answered.
    pub(in crate::store) async fn ping(&mut self) -> Result<(), Error> {
        let connection = self.begin_statement()?;
        let outcome = connection.ping().await;
        self.end_statement(outcome)
    }

    /// Begins a transaction, which ends with [`PooledConnection::commit`] or is rolled back when this is dropped.
    pub(in crate::store) async fn begin(&mut self) -> Result<(), Error> {
        self.is_in_transaction = true;
        self.run(self.route.begin()).await?;
        Ok(())
    }

    pub(in crate::store) async fn commit(&mut self) -> Result<(), Error> {
        self.run("COMMIT").await?;
        self.is_in_transaction = false;
        Ok(())
    }

    fn keeps_statements(&self) -> bool {
        self.route.keeps_statements()
    }

    /// Begins a transaction behind a pooler, which outside a transaction may run statements of other clients
    /// between two messages of this connection. Returns whether it began one.
    async fn begin_if_pooled(&mut self) -> Result<bool, Error> {
        let is_needed = self.route == ConnectionRoute::Pooled && !self.is_in_transaction;
        if is_needed {
            self.begin().await?;
        }
        Ok(is_needed)
    }

    async fn commit_if(&mut self, has_begun: bool) -> Result<(), Error> {
        if has_begun {
            self.commit().await?;
        }
        Ok(())
    }

    fn begin_statement(&mut self) -> Result<&mut PgConnection, Error> {
        self.state = ConnectionState::Busy;
        let slot_and_connection = self.slot_and_connection.as_mut().ok_or(Error::PoolClosed)?;
        Ok(&mut slot_and_connection.1)
    }

    fn end_statement<T>(&mut self, outcome: Result<T, Error>) -> Result<T, Error> {
        self.state = match &outcome {
            Ok(_) => ConnectionState::Ready,
            Err(Error::Database(error)) if ends_session(error.as_ref()) => ConnectionState::Broken,
            Err(Error::Database(_) | Error::Encode(_) | Error::Decode(_) | Error::RowNotFound) => {
                ConnectionState::Ready
            }
            Err(_) => ConnectionState::Broken,
        };
        outcome
    }
}

/// Returns whether the server has ended the session, or is read-only now: then the name of the server may
/// resolve to another one.
fn ends_session(error: &dyn DatabaseError) -> bool {
    let severity = error
        .try_downcast_ref::<PgDatabaseError>()
        .map(PgDatabaseError::severity);
    matches!(severity, Some(PgSeverity::Fatal | PgSeverity::Panic))
        || error.code().as_deref() == Some(READ_ONLY_TRANSACTION)
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        let Some((slot, connection)) = self.slot_and_connection.take() else {
            return;
        };
        match self.state {
            ConnectionState::Ready if !self.is_in_transaction => {
                slot.release_connection(IdleConnection::new(connection, self.opened));
            }
            ConnectionState::Broken => {}
            _ => recover_connection(
                slot,
                IdleConnection::new(connection, self.opened),
                self.is_in_transaction,
            ),
        }
    }
}

/// Waits for the running statement, rolls back a transaction and returns the connection to the pool. A
/// connection that is not ready in time is closed.
fn recover_connection(slot: PoolSlot, mut idle: IdleConnection, is_in_transaction: bool) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    // It ends by its deadline, and is the only owner of the connection.
    runtime.spawn(async move {
        let connection = &mut idle.connection;
        let recovered = async {
            if is_in_transaction {
                connection.execute("ROLLBACK").await.map(|_| ())
            } else {
                connection.ping().await
            }
        };
        if let Ok(Ok(())) = tokio::time::timeout(RECOVERY_TIMEOUT, recovered).await {
            slot.release_connection(IdleConnection::new(idle.connection, idle.opened));
        }
    });
}
