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

/// Retention period of security events.
const EVENT_RETENTION: Duration = Duration::from_hours(90 * 24);

/// Statements and retention periods. Each statement has two parameters: the time before which a row is deleted,
/// and the maximum number of rows. A session that ended by its idle limit is deleted after its absolute end: an
/// index on the time of rotation would cost every rotation more than these rows do.
const DELETIONS: [(&str, Duration); 7] = [
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
        "DELETE FROM events WHERE id IN
            (SELECT id FROM events WHERE at < $1 LIMIT $2)",
        EVENT_RETENTION,
    ),
];

impl Store {
    /// Marks some ended sessions, deletes some rows whose retention period is over, and returns the number of
    /// both; call again until it is zero.
    ///
    /// The period must be over by `now` and by the clock of the database server: a replica whose clock is
    /// ahead must not delete revocations that the others still need.
    pub async fn delete_expired_rows(&self, now: Time) -> Result<u64, StoreError> {
        let db = self.writer();
        let now = self
            .database_time()
            .await?
            .map_or(now, |database| database.min(now));
        let mut deleted = self.mark_sessions_below_floor(now).await?;
        for (sql, retention) in DELETIONS {
            let values = [(now - retention).millis().into(), MAX_ROWS_PER_CALL.into()];
            let delete = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
            let done = with_deadline(async { Ok(db.execute_raw(delete).await?) }).await?;
            deleted += done.rows_affected();
        }
        Ok(deleted)
    }
}
