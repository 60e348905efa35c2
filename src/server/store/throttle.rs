//! Rows of `throttles`: budgets of failures in windows of time, shared by all replicas.
//!
//! An attempt reserves one unit of each of its budgets before its outcome is known, so that parallel guesses
//! cannot exceed a budget. A failure uses the unit; a success, or an error that is not the client's, refunds it.
//! A unit whose attempt was never completed, because the process ended, is refunded after [`LONGEST_ATTEMPT`]:
//! an attacker learns nothing from an attempt without a response.

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use sea_orm::{ConnectionTrait, Statement, Value};

use super::events::{self, NewEvent};
use super::{Store, StoreError, UserId, limited};
use crate::clock::Time;
use crate::server::events::{Actor, EventKind};

/// Upper bound of the duration of an attempt, including the difference between the clocks of two replicas.
const LONGEST_ATTEMPT: Duration = Duration::from_mins(2);

/// Most times that a window doubles: 15 minutes, 30, 60.
const MAX_LEVEL: i32 = 2;

/// Longest window, in milliseconds: thousands of years, and small enough to be doubled without overflow.
const LONGEST_WINDOW: i64 = 1 << 50;

/// Budget: a number of failures that is allowed in a window of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Key of the row. A reader of the database cannot derive the user or address from it.
    pub key: String,
    /// Failures in one window.
    pub limit: u32,
    /// Length of a window, from its first attempt. It doubles after a window in which the budget was used up.
    pub window: Duration,
    /// The object of the attempts.
    pub protects: Protected,
}

/// Object of the attempts that a budget counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protected {
    /// One account. An event of its user is recorded when the budget is used up.
    Account(UserId),
    /// Accounts that do not exist, or all accounts. An event is recorded when the budget is used up.
    Logins,
    /// Registration of new accounts. No event is recorded.
    Registration,
}

/// One unit of a budget that an attempt has reserved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    budget: Budget,
    /// End of the window in which it was reserved.
    resets_at: Time,
}

/// Result of charging an attempt to its budgets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Charge {
    /// The attempt has reserved one unit of every budget.
    Placed(Vec<Counter>),
    /// A budget is used up by failures. Nothing was reserved.
    UsedUp {
        /// Index of that budget.
        budget: usize,
        /// End of its window.
        resets_at: Time,
    },
    /// A budget would be used up if every attempt in flight failed. Nothing was reserved.
    Occupied,
}

/// SQL for the number of reserved units whose attempts will never be completed.
const LOST: &str = "CASE WHEN throttles.charged_at <= $5 THEN throttles.in_flight ELSE 0 END";

/// Reserves one unit in one statement, so that parallel attempts cannot all read the same count. Returns no row
/// when the budget has none left.
static CHARGE: LazyLock<String> = LazyLock::new(|| {
    let level = format!(
        "CASE WHEN throttles.forgets_at <= $2 OR throttles.attempts - {LOST} < $3 THEN 0
              WHEN throttles.level < {MAX_LEVEL} THEN throttles.level + 1
              ELSE {MAX_LEVEL} END"
    );
    format!(
        "INSERT INTO throttles (key, attempts, in_flight, charged_at, level, resets_at, forgets_at)
         VALUES ($1, 1, 1, $2, 0, $2 + $4, $2 + $4 + $4)
         ON CONFLICT (key) DO UPDATE SET
            attempts = CASE WHEN throttles.resets_at <= $2 THEN 1
                       ELSE throttles.attempts + 1 - {LOST} END,
            in_flight = CASE WHEN throttles.resets_at <= $2 THEN 1
                        ELSE throttles.in_flight + 1 - {LOST} END,
            charged_at = $2,
            level = CASE WHEN throttles.resets_at <= $2 THEN {level} ELSE throttles.level END,
            resets_at = CASE WHEN throttles.resets_at <= $2 THEN $2 + ($4 << ({level}))
                        ELSE throttles.resets_at END,
            forgets_at = CASE WHEN throttles.resets_at <= $2 THEN $2 + ($4 << (1 + {level}))
                         ELSE throttles.forgets_at END
         WHERE throttles.resets_at <= $2 OR throttles.attempts - {LOST} < $3
         RETURNING resets_at"
    )
});

const LOOK: &str = "SELECT attempts, in_flight, resets_at FROM throttles WHERE key = $1";

/// Records an attempt as failed. Returns no row when its unit was refunded or its window is over.
const FAIL: &str = "
    UPDATE throttles SET in_flight = in_flight - 1
    WHERE key = $1 AND resets_at = $2 AND in_flight > 0
    RETURNING attempts, in_flight";

const GIVE_BACK: &str = "
    UPDATE throttles SET in_flight = in_flight - 1, attempts = attempts - 1
    WHERE key = $1 AND resets_at = $2 AND in_flight > 0";

impl Store {
    /// Reserves one unit of each budget, or none at all.
    ///
    /// All callers pass their budgets in the same order of kinds: on PostgreSQL another order would let two
    /// attempts deadlock.
    pub async fn charge(&self, budgets: &[Budget], now: Time) -> Result<Charge, StoreError> {
        limited(async {
            // One commit for all budgets, since the commit is most of the cost. A refusal commits nothing.
            let transaction = self.begin().await?;
            let mut placed = Vec::with_capacity(budgets.len());
            for (index, budget) in budgets.iter().enumerate() {
                match charge(&transaction, budget, now).await? {
                    Some(resets_at) => placed.push(Counter {
                        budget: budget.clone(),
                        resets_at,
                    }),
                    None => return refusal(&transaction, index, budget).await,
                }
            }
            transaction.commit().await?;
            Ok(Charge::Placed(placed))
        })
        .await
    }

    /// Records that the attempt failed, and an event for each budget that it used up.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the attempt took so long that its unit was refunded: the client must not
    /// learn its result, since it is not counted.
    pub async fn record_failure(
        &self,
        placed: &[Counter],
        ip: IpAddr,
        now: Time,
    ) -> Result<(), StoreError> {
        limited(async {
            let transaction = self.begin().await?;
            for counter in placed {
                fail(&transaction, counter, ip, now).await?;
            }
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// Refunds the units of an attempt that did not fail.
    pub async fn give_back_attempt(&self, placed: &[Counter]) -> Result<(), StoreError> {
        limited(async {
            let transaction = self.begin().await?;
            give_back(&transaction, placed).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }
}

async fn charge(
    connection: &impl ConnectionTrait,
    budget: &Budget,
    now: Time,
) -> Result<Option<Time>, StoreError> {
    let window = i64::try_from(budget.window.as_millis()).unwrap_or(LONGEST_WINDOW);
    let values: [Value; 5] = [
        budget.key.as_str().into(),
        now.millis().into(),
        i64::from(budget.limit).into(),
        window.min(LONGEST_WINDOW).into(),
        (now - LONGEST_ATTEMPT).millis().into(),
    ];
    let backend = connection.get_database_backend();
    let statement = Statement::from_sql_and_values(backend, CHARGE.as_str(), values);
    let row = connection.query_one_raw(statement).await?;
    let resets_at = row.map(|row| row.try_get("", "resets_at")).transpose()?;
    Ok(resets_at.map(Time::from_millis))
}

async fn refusal(
    connection: &impl ConnectionTrait,
    index: usize,
    budget: &Budget,
) -> Result<Charge, StoreError> {
    let backend = connection.get_database_backend();
    let look = Statement::from_sql_and_values(backend, LOOK, [budget.key.as_str().into()]);
    let row = connection.query_one_raw(look).await?;
    let row = row.ok_or(StoreError::NotFound)?;
    let attempts: i64 = row.try_get("", "attempts")?;
    let in_flight: i64 = row.try_get("", "in_flight")?;
    if attempts - in_flight < i64::from(budget.limit) {
        return Ok(Charge::Occupied);
    }
    Ok(Charge::UsedUp {
        budget: index,
        resets_at: Time::from_millis(row.try_get("", "resets_at")?),
    })
}

async fn fail(
    connection: &impl ConnectionTrait,
    counter: &Counter,
    ip: IpAddr,
    now: Time,
) -> Result<(), StoreError> {
    let row = connection
        .query_one_raw(of_window(connection, FAIL, counter))
        .await?;
    let Some(row) = row else {
        if now < counter.resets_at {
            return Err(StoreError::Conflict);
        }
        return Ok(());
    };
    let attempts: i64 = row.try_get("", "attempts")?;
    let in_flight: i64 = row.try_get("", "in_flight")?;
    // Once in a window: refusals write nothing.
    if attempts - in_flight != i64::from(counter.budget.limit) {
        return Ok(());
    }
    let user = match &counter.budget.protects {
        Protected::Account(user) => Some(user),
        Protected::Logins => None,
        Protected::Registration => return Ok(()),
    };
    let by = Actor::Stranger { ip };
    let used_up = NewEvent {
        user,
        ..NewEvent::new(EventKind::LoginThrottled, &by, now)
    };
    events::insert(connection, used_up).await
}

/// Refunds the units one by one, in the order in which [`Store::charge`] reserves them: in another order, two
/// logins could deadlock.
pub(super) async fn give_back(
    connection: &impl ConnectionTrait,
    placed: &[Counter],
) -> Result<(), StoreError> {
    for counter in placed {
        let statement = of_window(connection, GIVE_BACK, counter);
        connection.execute_raw(statement).await?;
    }
    Ok(())
}

fn of_window(connection: &impl ConnectionTrait, sql: &str, counter: &Counter) -> Statement {
    let values: [Value; 2] = [
        counter.budget.key.as_str().into(),
        counter.resets_at.millis().into(),
    ];
    Statement::from_sql_and_values(connection.get_database_backend(), sql, values)
}
