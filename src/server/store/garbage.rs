//! Deletes rows that no longer matter, a little at a time.

use std::time::Duration;

use sea_orm::{ConnectionTrait, Statement};

use super::{Store, StoreError, limited};
use crate::clock::Time;
use crate::server::clock_skew::CLOCK_SKEW;

/// Rows of each table deleted by one call: a transaction short enough for nobody to wait.
const CHUNK: i64 = 500;

/// How long an ended session can still be looked at.
const KEPT: Duration = Duration::from_hours(7 * 24);

/// How long a security event can be read about.
const EVENTS_KEPT: Duration = Duration::from_hours(90 * 24);

/// Each takes the time before which a row is old, and how many rows at most. A session that ended
/// by resting too long goes with its absolute end: an index on the time of rotation would cost
/// every rotation more than the rows do.
const DELETE: [(&str, Duration); 7] = [
    (
        "DELETE FROM sessions WHERE id IN
            (SELECT id FROM sessions WHERE expires_at < $1 LIMIT $2)",
        KEPT,
    ),
    (
        "DELETE FROM sessions WHERE id IN
            (SELECT id FROM sessions WHERE revoked_at < $1 LIMIT $2)",
        KEPT,
    ),
    (
        "DELETE FROM revocations WHERE seq IN
            (SELECT seq FROM revocations WHERE not_after < $1 LIMIT $2)",
        // A replica whose clock is behind still checks by it.
        CLOCK_SKEW,
    ),
    (
        "DELETE FROM throttles WHERE key IN
            (SELECT key FROM throttles WHERE forgets_at < $1 AND resets_at < $1 LIMIT $2)",
        // A server of the version before, which counts without `forgets_at`, leaves it in the past.
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
        EVENTS_KEPT,
    ),
];

impl Store {
    /// Marks some sessions that have ended, deletes some rows that no longer matter, and returns how
    /// many; call again until it is none.
    ///
    /// Rows are old by `now` and by the clock of the database server: a replica whose clock is ahead
    /// must not delete what the others still check by.
    pub async fn collect_garbage(&self, now: Time) -> Result<u64, StoreError> {
        let db = self.writer();
        let now = self.time().await?.map_or(now, |database| database.min(now));
        let mut deleted = self.mark_ended_sessions(now).await?;
        for (sql, kept) in DELETE {
            let values = [(now - kept).millis().into(), CHUNK.into()];
            let delete = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
            let done = limited(async { Ok(db.execute_raw(delete).await?) }).await?;
            deleted += done.rows_affected();
        }
        Ok(deleted)
    }
}
