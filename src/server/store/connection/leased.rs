//! One connection to PostgreSQL while it is in use.

use std::time::Duration;

use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::postgres::{
    PgConnection, PgDatabaseError, PgQueryResult, PgRow, PgSeverity, Postgres,
};
use sea_orm::sqlx::{Connection, Error, Executor, SqlSafeStr, query_with};
use sea_query_sqlx::SqlxValues;
use tokio::time::Instant;

use super::pool::{Resting, Slot};
use super::postgres::Route;

/// Longest wait for a connection whose statement or transaction was abandoned. The server ends these by
/// itself within this time.
const SETTLED_WITHIN: Duration = Duration::from_secs(5);

/// SQLSTATE of a standby that is asked to write.
const READ_ONLY: &str = "25006";

/// State of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    /// No statement is running.
    Ready,
    /// A statement was sent, and its result has not been read.
    Busy,
    /// It failed.
    Broken,
}

/// A connection of the pool, to which it is returned when this is dropped.
#[derive(Debug)]
pub(in crate::server::store) struct Leased {
    /// `Some` until this is dropped.
    parts: Option<(Slot, PgConnection)>,
    opened: Instant,
    route: Route,
    condition: Condition,
    is_in_transaction: bool,
}

impl Leased {
    pub(super) fn new(slot: Slot, resting: Resting) -> Self {
        Self {
            route: slot.route(),
            parts: Some((slot, resting.connection)),
            opened: resting.opened,
            condition: Condition::Ready,
            is_in_transaction: false,
        }
    }

    /// Runs a statement and returns its rows. Behind a pooler it runs in a transaction.
    pub(in crate::server::store) async fn rows(
        &mut self,
        sql: impl SqlSafeStr + Send,
        values: SqlxValues,
    ) -> Result<Vec<PgRow>, Error> {
        let own = self.begin_where_needed().await?;
        let query = query_with::<Postgres, _>(sql, values).persistent(self.keeps_statements());
        let connection = self.start()?;
        let outcome = query.fetch_all(connection).await;
        let rows = self.finish(outcome)?;
        self.commit_where(own).await?;
        Ok(rows)
    }

    /// Runs a statement and returns the number of changed rows. Behind a pooler it runs in a transaction.
    pub(in crate::server::store) async fn execute(
        &mut self,
        sql: impl SqlSafeStr + Send,
        values: SqlxValues,
    ) -> Result<PgQueryResult, Error> {
        let own = self.begin_where_needed().await?;
        let query = query_with::<Postgres, _>(sql, values).persistent(self.keeps_statements());
        let connection = self.start()?;
        let outcome = query.execute(connection).await;
        let done = self.finish(outcome)?;
        self.commit_where(own).await?;
        Ok(done)
    }

    /// Runs statements without parameters.
    pub(in crate::server::store) async fn run(
        &mut self,
        sql: impl SqlSafeStr + Send,
    ) -> Result<PgQueryResult, Error> {
        let connection = self.start()?;
        let outcome = connection.execute(sql.into_sql_str()).await;
        self.finish(outcome)
    }

    /// Returns once the server has answered.
    pub(in crate::server::store) async fn ping(&mut self) -> Result<(), Error> {
        let connection = self.start()?;
        let outcome = connection.ping().await;
        self.finish(outcome)
    }

    /// Begins a transaction, which ends with [`Leased::commit`] or is rolled back when this is dropped.
    pub(in crate::server::store) async fn begin(&mut self) -> Result<(), Error> {
        self.is_in_transaction = true;
        self.run(self.route.begin()).await?;
        Ok(())
    }

    pub(in crate::server::store) async fn commit(&mut self) -> Result<(), Error> {
        self.run("COMMIT").await?;
        self.is_in_transaction = false;
        Ok(())
    }

    fn keeps_statements(&self) -> bool {
        self.route.keeps_statements()
    }

    /// Begins a transaction behind a pooler, which outside a transaction may run statements of other clients
    /// between two messages of this connection. Returns whether it began one.
    async fn begin_where_needed(&mut self) -> Result<bool, Error> {
        let is_needed = self.route == Route::Pooled && !self.is_in_transaction;
        if is_needed {
            self.begin().await?;
        }
        Ok(is_needed)
    }

    async fn commit_where(&mut self, own: bool) -> Result<(), Error> {
        if own {
            self.commit().await?;
        }
        Ok(())
    }

    fn start(&mut self) -> Result<&mut PgConnection, Error> {
        self.condition = Condition::Busy;
        let parts = self.parts.as_mut().ok_or(Error::PoolClosed)?;
        Ok(&mut parts.1)
    }

    fn finish<T>(&mut self, outcome: Result<T, Error>) -> Result<T, Error> {
        self.condition = match &outcome {
            Ok(_) => Condition::Ready,
            Err(Error::Database(error)) if ends_session(error.as_ref()) => Condition::Broken,
            Err(Error::Database(_) | Error::Encode(_) | Error::Decode(_) | Error::RowNotFound) => {
                Condition::Ready
            }
            Err(_) => Condition::Broken,
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
        || error.code().as_deref() == Some(READ_ONLY)
}

impl Drop for Leased {
    fn drop(&mut self) {
        let Some((slot, connection)) = self.parts.take() else {
            return;
        };
        match self.condition {
            Condition::Ready if !self.is_in_transaction => {
                slot.fill(Resting::new(connection, self.opened));
            }
            Condition::Broken => {}
            _ => settle(
                slot,
                Resting::new(connection, self.opened),
                self.is_in_transaction,
            ),
        }
    }
}

/// Waits for the running statement, rolls back a transaction and returns the connection to the pool. A
/// connection that is not ready in time is closed.
fn settle(slot: Slot, mut resting: Resting, is_in_transaction: bool) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    // It ends by its deadline, and is the only owner of the connection.
    runtime.spawn(async move {
        let connection = &mut resting.connection;
        let settled = async {
            if is_in_transaction {
                connection.execute("ROLLBACK").await.map(|_| ())
            } else {
                connection.ping().await
            }
        };
        if let Ok(Ok(())) = tokio::time::timeout(SETTLED_WITHIN, settled).await {
            slot.fill(Resting::new(resting.connection, resting.opened));
        }
    });
}
