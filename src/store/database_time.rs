//! Clock of the database server, the only clock that all replicas share.

use sea_orm::sea_query::Expr;
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::{Store, StoreError, with_deadline};
use latchet_guard::clock::Time;

/// SQL for the time at which the database received the statement, in unix milliseconds.
pub(super) fn now_sql(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "CAST(extract(epoch FROM statement_timestamp()) * 1000 AS bigint)",
        _ => "CAST(unixepoch('subsec') * 1000 AS integer)",
    }
}

/// SQL for `own` or the time of the database server, whichever is earlier: a revocation that has expired by the
/// clock of one replica may be needed by the others. SQLite uses the clock of this machine, which is also the
/// caller's.
pub(super) fn earlier_of_own_and_database(backend: DbBackend, own: Time) -> Expr {
    match backend {
        DbBackend::Postgres => {
            Expr::cust_with_values(format!("LEAST($1, {})", now_sql(backend)), [own.millis()])
        }
        _ => Expr::val(own.millis()),
    }
}

/// Returns the time of a database server; `None` for SQLite, which has no own clock.
pub(super) async fn read_database_time<C: ConnectionTrait>(
    db: &C,
) -> Result<Option<Time>, StoreError> {
    let backend = db.get_database_backend();
    if backend != DbBackend::Postgres {
        return Ok(None);
    }
    let sql = format!("SELECT {} AS now", now_sql(backend));
    let row = db
        .query_one_raw(Statement::from_string(backend, sql))
        .await?;
    let millis: i64 = row.ok_or(StoreError::NotFound)?.try_get("", "now")?;
    Ok(Some(Time::from_millis(millis)))
}

impl Store {
    /// Returns the time by the clock of the database server, once it has answered; `None` for SQLite, which
    /// uses the clock of this machine.
    pub async fn database_time(&self) -> Result<Option<Time>, StoreError> {
        if self.reader().get_database_backend() != DbBackend::Postgres {
            self.ping().await?;
            return Ok(None);
        }
        with_deadline(read_database_time(self.reader())).await
    }
}
