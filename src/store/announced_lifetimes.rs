//! Rows of `access_lifetimes`: every lifetime of access tokens that a server may use, and the time until which
//! it may use it.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::database_time;
use super::{Store, StoreError, with_deadline};

/// Longest lifetime of an access token that may still be valid: a server uses it, or used it less than one such
/// lifetime ago.
const LONGEST_LIFETIME: &str =
    "SELECT MAX(lifetime) FROM access_lifetimes WHERE used_until + lifetime > {clock}";

/// Shortest lifetime of an access token that may still be valid: every server takes it into account, however
/// old its last read of the announcements is.
const SHORTEST_LIFETIME: &str =
    "SELECT MIN(lifetime) FROM access_lifetimes WHERE used_until + lifetime > {clock}";

const ANNOUNCE_LIFETIME: &str = "
    INSERT INTO access_lifetimes (lifetime, used_until) VALUES ($1, {clock} + $2)
    ON CONFLICT (lifetime) DO UPDATE SET used_until =
        CASE WHEN access_lifetimes.used_until > excluded.used_until
            THEN access_lifetimes.used_until ELSE excluded.used_until END";

impl Store {
    /// Returns the longest announced lifetime of an access token that may still be valid; `None` when no server
    /// has announced one.
    pub async fn longest_lifetime(&self) -> Result<Option<Duration>, StoreError> {
        with_deadline(read_lifetime(self.reader(), LONGEST_LIFETIME)).await
    }

    /// Announces that tokens with this lifetime are issued for the next `period`. Returns the shortest
    /// lifetime that was announced before and may still be in use.
    pub async fn announce_lifetime(
        &self,
        lifetime: Duration,
        period: Duration,
    ) -> Result<Option<Duration>, StoreError> {
        with_deadline(async {
            let transaction = self.begin().await?;
            let earlier = read_lifetime(&transaction, SHORTEST_LIFETIME).await?;
            let backend = transaction.get_database_backend();
            let values = [as_millis(lifetime)?.into(), as_millis(period)?.into()];
            let announce = Statement::from_sql_and_values(
                backend,
                with_clock(ANNOUNCE_LIFETIME, backend),
                values,
            );
            transaction.execute_raw(announce).await?;
            transaction.commit().await?;
            Ok(earlier)
        })
        .await
    }
}

async fn read_lifetime<C: ConnectionTrait>(
    db: &C,
    sql: &str,
) -> Result<Option<Duration>, StoreError> {
    let backend = db.get_database_backend();
    let found = Statement::from_string(backend, with_clock(sql, backend));
    let row = db.query_one_raw(found).await?;
    let millis: Option<i64> = match row {
        Some(row) => row.try_get_by_index(0)?,
        None => None,
    };
    let millis = millis.map(u64::try_from).transpose();
    Ok(millis
        .map_err(StoreError::malformed)?
        .map(Duration::from_millis))
}

fn with_clock(sql: &str, backend: DbBackend) -> String {
    sql.replace("{clock}", database_time::now_sql(backend))
}

fn as_millis(duration: Duration) -> Result<i64, StoreError> {
    i64::try_from(duration.as_millis()).map_err(StoreError::malformed)
}
