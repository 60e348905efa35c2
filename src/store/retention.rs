//! Deletion of rows whose retention period is over, in small steps.

use std::time::Duration;

use sea_orm::{ConnectionTrait, Statement};

use super::{Store, StoreError, with_deadline};
use crate::clock_skew::CLOCK_SKEW;
use latchet_guard::clock::Time;

/// Most rows of each table that one call deletes: the transaction stays short enough for other writers.
const MAX_ROWS_PER_CALL: i64 = 500;

/// Retention period of ended sessions.
const SESSION_RETENTION: Duration = Duration::from_hours(7 * 24);

/// Retention period of credentials of services that were removed from the settings, for `latchet service list`.
/// Revoked ones are kept: the settings may contain them again.
const CREDENTIAL_RETENTION: Duration = Duration::from_hours(90 * 24);

/// Retention period of messages that no server tries to deliver, because mail is off. All others are delivered or
/// given up in a shorter time.
const OUTBOX_RETENTION: Duration = Duration::from_hours(7 * 24);

/// Statements and retention periods. Each statement has two parameters: the time before which a row is deleted,
/// and the maximum number of rows. A session that ended by its idle limit is deleted after its absolute end: an
/// index on the time of rotation would cost every rotation more than these rows do.
const DELETIONS: [(&str, Duration); 9] = [
    (
        "DELETE FROM sessions WHERE id IN
            (SELECT id FROM sessions WHERE expires_at < $1 LIMIT $2)",
        SESSION_RETENTION,
    ),
    (
        "DELETE FROM sessions WHERE id IN
            (SELECT id FROM sessions WHERE revoked_at < $1 LIMIT $2)",
        SESSION_RETENTION,
    ),
    (
        "DELETE FROM revocations WHERE seq IN
            (SELECT seq FROM revocations WHERE not_after < $1 LIMIT $2)",
        // A replica whose clock is behind still uses it.
        CLOCK_SKEW,
    ),
    (
        "DELETE FROM throttles WHERE key IN
            (SELECT key FROM throttles WHERE forgets_at < $1 AND resets_at < $1 LIMIT $2)",
        // A server of the previous version does not set `forgets_at`, so it is in the past.
        Duration::ZERO,
    ),
    (
        "DELETE FROM setup_links WHERE token_hash IN
            (SELECT token_hash FROM setup_links WHERE expires_at < $1 LIMIT $2)",
        Duration::ZERO,
    ),
    (
        "DELETE FROM reset_links WHERE user_id IN
            (SELECT user_id FROM reset_links WHERE expires_at < $1 LIMIT $2)",
        Duration::ZERO,
    ),
    (
        "DELETE FROM codes WHERE request_hash IN
            (SELECT request_hash FROM codes WHERE expires_at < $1 LIMIT $2)",
        Duration::ZERO,
    ),
    (
        "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE created_at < $1 LIMIT $2)",
        OUTBOX_RETENTION,
    ),
    (
        "DELETE FROM service_credentials WHERE id IN
            (SELECT id FROM service_credentials WHERE ended_at < $1 AND NOT is_revoked LIMIT $2)",
        CREDENTIAL_RETENTION,
    ),
];

const DELETE_EVENTS: &str = "DELETE FROM events WHERE id IN
            (SELECT id FROM events WHERE at < $1 LIMIT $2)";

impl Store {
    /// Marks some ended sessions, deletes some rows whose retention period is over, and returns the number of
    /// both; call again until it is zero.
    ///
    /// The period must be over by `now` and by the clock of the database server: a replica whose clock is
    /// ahead must not delete revocations that the others still need.
    pub async fn delete_expired_rows(&self, now: Time) -> Result<u64, StoreError> {
        let now = self.earlier_time(now).await?;
        let mut deleted = self.mark_sessions_below_floor(now).await?;
        for (sql, retention) in DELETIONS {
            deleted += self.delete_rows(sql, now - retention).await?;
        }
        Ok(deleted)
    }

    /// Deletes some security events that are older than `retention` and returns their number, as
    /// [`Self::delete_expired_rows`].
    pub async fn delete_old_events(
        &self,
        now: Time,
        retention: Duration,
    ) -> Result<u64, StoreError> {
        let now = self.earlier_time(now).await?;
        self.delete_rows(DELETE_EVENTS, now - retention).await
    }

    async fn delete_rows(&self, sql: &'static str, before: Time) -> Result<u64, StoreError> {
        let db = self.writer();
        let values = [before.millis().into(), MAX_ROWS_PER_CALL.into()];
        let delete = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
        let done = with_deadline(async { Ok(db.execute_raw(delete).await?) }).await?;
        Ok(done.rows_affected())
    }

    /// Returns the earlier of `now` and the time of the database server.
    async fn earlier_time(&self, now: Time) -> Result<Time, StoreError> {
        let database = self.database_time().await?;
        Ok(database.map_or(now, |database| database.min(now)))
    }
}
