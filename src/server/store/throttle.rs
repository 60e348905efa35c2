//! Rows of `throttles`: attempts counted in windows, atomically across replicas.

use std::net::IpAddr;
use std::time::Duration;

use entity::throttle::{Column, Entity};
use entity::user;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Statement};

use super::events::{self, NewEvent};
use super::{Store, StoreError, limited};
use crate::clock::Time;
use crate::server::events::{Actor, EventKind};

/// What attempts are counted under, and how many are allowed in how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Its key; says nothing of whom it counts to those who read the database.
    pub key: String,
    /// Attempts in one window.
    pub attempts: u32,
    /// Length of a window, counted from its first attempt.
    pub window: Duration,
    /// The user name that it counts for, folded, where it counts for one. It is not stored: whoever
    /// has that name is looked up once the counter refuses.
    pub username: Option<String>,
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
    /// Counts an attempt from `ip` on each counter, up to the first that refuses it. A refused one
    /// counts too, but does not lengthen the window.
    pub async fn attempt(
        &self,
        counters: &[Counter],
        ip: IpAddr,
        now: Time,
    ) -> Result<Attempt, StoreError> {
        limited(async {
            // One commit for all of them: it is what an attempt costs.
            let transaction = self.begin().await?;
            let mut attempt = Attempt::Allowed;
            for counter in counters {
                attempt = count(&transaction, counter, ip, now).await?;
                if attempt != Attempt::Allowed {
                    break;
                }
            }
            transaction.commit().await?;
            Ok(attempt)
        })
        .await
    }

    /// Gives back an attempt that turned out to be honest, so that logging in often with the right
    /// password is never throttled.
    pub async fn give_back_attempt(
        &self,
        counters: &[Counter],
        now: Time,
    ) -> Result<(), StoreError> {
        limited(async {
            let transaction = self.begin().await?;
            give_back(&transaction, counters, now).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }
}

async fn count(
    connection: &impl ConnectionTrait,
    counter: &Counter,
    ip: IpAddr,
    now: Time,
) -> Result<Attempt, StoreError> {
    let values = [
        counter.key.as_str().into(),
        (now + counter.window).millis().into(),
        now.millis().into(),
    ];
    let statement =
        Statement::from_sql_and_values(connection.get_database_backend(), COUNT, values);
    let row = connection.query_one_raw(statement).await?;
    let row = row.ok_or(StoreError::NotFound)?;
    let attempts: i64 = row.try_get("", "attempts")?;
    let resets_at = Time::from_millis(row.try_get("", "resets_at")?);
    if attempts <= i64::from(counter.attempts) {
        return Ok(Attempt::Allowed);
    }
    // The first that is refused, and not those that follow: a flood must not write events.
    if attempts == i64::from(counter.attempts) + 1 {
        record(connection, counter, ip, now).await?;
    }
    Ok(Attempt::Refused {
        retry_after: resets_at.since(now),
    })
}

/// Records that a counter begins to refuse. What was typed for a user name may be a password, so only
/// a user who exists is named.
async fn record(
    connection: &impl ConnectionTrait,
    counter: &Counter,
    ip: IpAddr,
    now: Time,
) -> Result<(), StoreError> {
    let mut user = None;
    if let Some(username) = &counter.username {
        let named = user::Entity::find().filter(user::Column::UsernameKey.eq(username.as_str()));
        user = named.one(connection).await?.map(|row| row.id.into());
    }
    let by = Actor::Stranger { ip };
    let throttled = NewEvent {
        user: user.as_ref(),
        ..NewEvent::new(EventKind::LoginThrottled, &by, now)
    };
    events::insert(connection, throttled).await
}

/// One counter after the other, in the order in which [`Store::attempt`] counts: the other order
/// would let two logins wait for each other.
pub(super) async fn give_back(
    connection: &impl ConnectionTrait,
    counters: &[Counter],
    now: Time,
) -> Result<(), StoreError> {
    for counter in counters {
        Entity::update_many()
            .col_expr(Column::Attempts, Expr::col(Column::Attempts).sub(1))
            .filter(Column::Key.eq(counter.key.as_str()))
            .filter(Column::ResetsAt.gt(now.millis()))
            .filter(Column::Attempts.gt(0))
            .exec(connection)
            .await?;
    }
    Ok(())
}
