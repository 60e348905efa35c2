//! Rows of `throttles`: attempts counted in windows, atomically across replicas.

use std::time::Duration;

use entity::throttle::{Column, Entity};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Statement};

use super::{Store, StoreError, limited};
use crate::clock::Time;

/// How many attempts are allowed in how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Attempts in one window.
    pub attempts: u32,
    /// Length of a window, counted from its first attempt.
    pub window: Duration,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It may be made.
    Allowed,
    /// There were too many.
    Refused {
        /// When the window ends.
        retry_after: Duration,
    },
}

/// One statement counts and tells, so that parallel attempts cannot all see the same count.
const COUNT: &str = "
    INSERT INTO throttles (key, attempts, resets_at) VALUES ($1, 1, $2)
    ON CONFLICT (key) DO UPDATE SET
        attempts = CASE WHEN throttles.resets_at <= $3 THEN 1 ELSE throttles.attempts + 1 END,
        resets_at = CASE WHEN throttles.resets_at <= $3 THEN excluded.resets_at
                    ELSE throttles.resets_at END
    RETURNING attempts, resets_at";

impl Store {
    /// Counts an attempt under `key` and tells whether it may be made. A refused one counts too,
    /// but does not lengthen the window.
    pub async fn attempt(
        &self,
        key: &str,
        allowance: Allowance,
        now: Time,
    ) -> Result<Attempt, StoreError> {
        let resets_at = now + allowance.window;
        let values = [key.into(), resets_at.millis().into(), now.millis().into()];
        let db = self.writer();
        let count = Statement::from_sql_and_values(db.get_database_backend(), COUNT, values);
        let row = limited(async { Ok(db.query_one_raw(count).await?) }).await?;
        let row = row.ok_or(StoreError::NotFound)?;
        let attempts: i64 = row.try_get("", "attempts")?;
        let resets_at = Time::from_millis(row.try_get("", "resets_at")?);
        if attempts <= i64::from(allowance.attempts) {
            return Ok(Attempt::Allowed);
        }
        Ok(Attempt::Refused {
            retry_after: resets_at.since(now),
        })
    }

    /// Gives back an attempt that turned out to be honest, so that logging in often with the right
    /// password is never throttled.
    pub async fn give_back_attempt(&self, key: &str, now: Time) -> Result<(), StoreError> {
        let update = Entity::update_many()
            .col_expr(Column::Attempts, Expr::col(Column::Attempts).sub(1))
            .filter(Column::Key.eq(key))
            .filter(Column::ResetsAt.gt(now.millis()))
            .filter(Column::Attempts.gt(0));
        limited(async {
            update.exec(self.writer()).await?;
            Ok(())
        })
        .await
    }
}
