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

use super::security_events::{self, NewSecurityEvent};
use super::{Store, StoreError, UserId, with_deadline};
use crate::security_events::{Actor, EventKind};
use latchet_guard::clock::Time;

/// Upper bound of the duration of an attempt, including the difference between the clocks of two replicas.
const LONGEST_ATTEMPT: Duration = Duration::from_mins(2);

/// Most times that a window doubles: 15 minutes, 30, 60.
const MAX_LEVEL: i32 = 2;

/// Longest window, in milliseconds: thousands of years, and small enough to be doubled without overflow.
const LONGEST_WINDOW: i64 = 1 << 50;

/// Budget: a number of failures that is allowed in a window of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureBudget {
    /// Key of the row. A reader of the database cannot derive the user or address from it.
    pub key: String,
    /// Failures in one window.
    pub limit: u32,
    /// Length of a window, from its first attempt. It doubles after a window in which the budget was used up.
    pub window: Duration,
    /// The object of the attempts.
    pub subject: BudgetSubject,
}

/// Object of the attempts that a budget counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BudgetSubject {
    /// One account. An event of its user is recorded when the budget is used up.
    Account(UserId),
    /// Accounts that do not exist, or all accounts. An event is recorded when the budget is used up.
    Logins,
    /// Registration of new accounts. No event is recorded.
    Registration,
}

/// One unit of a budget that an attempt has reserved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetReservation {
    budget: FailureBudget,
    /// End of the window in which it was reserved.
    resets_at: Time,
}

/// Result of charging an attempt to its budgets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChargeResult {
    /// The attempt has reserved one unit of every budget.
    Reserved(Vec<BudgetReservation>),
    /// A budget is used up by failures. Nothing was reserved.
    Exhausted {
        /// Index of that budget.
        budget: usize,
        /// End of its window.
        resets_at: Time,
    },
    /// A budget would be used up if every attempt in flight failed. Nothing was reserved.
    FullyReserved,
}

/// SQL for the number of reserved units whose attempts will never be completed.
const ABANDONED: &str = "CASE WHEN throttles.charged_at <= $5 THEN throttles.in_flight ELSE 0 END";

/// Reserves one unit in one statement, so that parallel attempts cannot all read the same count. Returns no row
/// when the budget has none left.
static RESERVE_UNIT: LazyLock<String> = LazyLock::new(|| {
    let level = format!(
        "CASE WHEN throttles.forgets_at <= $2 OR throttles.attempts - {ABANDONED} < $3 THEN 0
              WHEN throttles.level < {MAX_LEVEL} THEN throttles.level + 1
              ELSE {MAX_LEVEL} END"
    );
    format!(
        "INSERT INTO throttles (key, attempts, in_flight, charged_at, level, resets_at, forgets_at)
         VALUES ($1, 1, 1, $2, 0, $2 + $4, $2 + $4 + $4)
         ON CONFLICT (key) DO UPDATE SET
            attempts = CASE WHEN throttles.resets_at <= $2 THEN 1
                       ELSE throttles.attempts + 1 - {ABANDONED} END,
            in_flight = CASE WHEN throttles.resets_at <= $2 THEN 1
                        ELSE throttles.in_flight + 1 - {ABANDONED} END,
            charged_at = $2,
            level = CASE WHEN throttles.resets_at <= $2 THEN {level} ELSE throttles.level END,
            resets_at = CASE WHEN throttles.resets_at <= $2 THEN $2 + ($4 << ({level}))
                        ELSE throttles.resets_at END,
            forgets_at = CASE WHEN throttles.resets_at <= $2 THEN $2 + ($4 << (1 + {level}))
                         ELSE throttles.forgets_at END
         WHERE throttles.resets_at <= $2 OR throttles.attempts - {ABANDONED} < $3
         RETURNING resets_at"
    )
});

const READ_COUNTS: &str = "SELECT attempts, in_flight, resets_at FROM throttles WHERE key = $1";

/// Records an attempt as failed. Returns no row when its unit was refunded or its window is over.
const RECORD_FAILURE: &str = "
    UPDATE throttles SET in_flight = in_flight - 1
    WHERE key = $1 AND resets_at = $2 AND in_flight > 0
    RETURNING attempts, in_flight";

const REFUND: &str = "
    UPDATE throttles SET in_flight = in_flight - 1, attempts = attempts - 1
    WHERE key = $1 AND resets_at = $2 AND in_flight > 0";

impl Store {
    /// Reserves one unit of each budget, or none at all.
    ///
    /// All callers pass their budgets in the same order of kinds: on PostgreSQL another order would let two
    /// attempts deadlock.
    pub async fn charge(
        &self,
        budgets: &[FailureBudget],
        now: Time,
    ) -> Result<ChargeResult, StoreError> {
        with_deadline(async {
            // One commit for all budgets, since the commit is most of the cost. A refusal commits nothing.
            let transaction = self.begin().await?;
            let mut reservations = Vec::with_capacity(budgets.len());
            for (index, budget) in budgets.iter().enumerate() {
                match reserve_unit(&transaction, budget, now).await? {
                    Some(resets_at) => reservations.push(BudgetReservation {
                        budget: budget.clone(),
                        resets_at,
                    }),
                    None => return refusal_reason(&transaction, index, budget).await,
                }
            }
            transaction.commit().await?;
            Ok(ChargeResult::Reserved(reservations))
        })
        .await
    }

    /// Records that the attempt failed, and an event for each subject whose budget it used up.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the attempt took so long that its unit was refunded: the client must not
    /// learn its result, since it is not counted.
    pub async fn record_failure(
        &self,
        reservations: &[BudgetReservation],
        ip: IpAddr,
        now: Time,
    ) -> Result<(), StoreError> {
        with_deadline(async {
            let transaction = self.begin().await?;
            let mut used_up: Vec<&BudgetSubject> = Vec::new();
            for reservation in reservations {
                let is_used_up = record_budget_failure(&transaction, reservation, now).await?;
                let subject = &reservation.budget.subject;
                // While the root secret is rotated, a budget has two rows.
                if is_used_up && !used_up.contains(&subject) {
                    used_up.push(subject);
                }
            }
            for subject in used_up {
                record_throttled(&transaction, subject, ip, now).await?;
            }
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// Refunds the units of an attempt that did not fail.
    pub async fn refund_attempt(
        &self,
        reservations: &[BudgetReservation],
    ) -> Result<(), StoreError> {
        with_deadline(async {
            let transaction = self.begin().await?;
            refund(&transaction, reservations).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }
}

async fn reserve_unit(
    connection: &impl ConnectionTrait,
    budget: &FailureBudget,
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
    let statement = Statement::from_sql_and_values(backend, RESERVE_UNIT.as_str(), values);
    let row = connection.query_one_raw(statement).await?;
    let resets_at = row.map(|row| row.try_get("", "resets_at")).transpose()?;
    Ok(resets_at.map(Time::from_millis))
}

async fn refusal_reason(
    connection: &impl ConnectionTrait,
    index: usize,
    budget: &FailureBudget,
) -> Result<ChargeResult, StoreError> {
    let backend = connection.get_database_backend();
    let read_counts =
        Statement::from_sql_and_values(backend, READ_COUNTS, [budget.key.as_str().into()]);
    let row = connection.query_one_raw(read_counts).await?;
    let row = row.ok_or(StoreError::NotFound)?;
    let attempts: i64 = row.try_get("", "attempts")?;
    let in_flight: i64 = row.try_get("", "in_flight")?;
    if attempts - in_flight < i64::from(budget.limit) {
        return Ok(ChargeResult::FullyReserved);
    }
    Ok(ChargeResult::Exhausted {
        budget: index,
        resets_at: Time::from_millis(row.try_get("", "resets_at")?),
    })
}

/// Counts a failure. Returns whether it used the budget up: once in a window, since refusals write nothing.
async fn record_budget_failure(
    connection: &impl ConnectionTrait,
    reservation: &BudgetReservation,
    now: Time,
) -> Result<bool, StoreError> {
    let row = connection
        .query_one_raw(statement_for_window(
            connection,
            RECORD_FAILURE,
            reservation,
        ))
        .await?;
    let Some(row) = row else {
        if now < reservation.resets_at {
            return Err(StoreError::Conflict);
        }
        return Ok(false);
    };
    let attempts: i64 = row.try_get("", "attempts")?;
    let in_flight: i64 = row.try_get("", "in_flight")?;
    Ok(attempts - in_flight == i64::from(reservation.budget.limit))
}

async fn record_throttled(
    connection: &impl ConnectionTrait,
    subject: &BudgetSubject,
    ip: IpAddr,
    now: Time,
) -> Result<(), StoreError> {
    let user = match subject {
        BudgetSubject::Account(user) => Some(user),
        BudgetSubject::Logins => None,
        BudgetSubject::Registration => return Ok(()),
    };
    let actor = Actor::Anonymous { ip };
    let used_up = NewSecurityEvent {
        user,
        ..NewSecurityEvent::new(EventKind::LoginThrottled, &actor, now)
    };
    security_events::insert(connection, used_up).await
}

/// Refunds the units one by one, in the order in which [`Store::charge`] reserves them: in another order, two
/// logins could deadlock.
pub(super) async fn refund(
    connection: &impl ConnectionTrait,
    reservations: &[BudgetReservation],
) -> Result<(), StoreError> {
    for reservation in reservations {
        let statement = statement_for_window(connection, REFUND, reservation);
        connection.execute_raw(statement).await?;
    }
    Ok(())
}

fn statement_for_window(
    connection: &impl ConnectionTrait,
    sql: &str,
    reservation: &BudgetReservation,
) -> Statement {
    let values: [Value; 2] = [
        reservation.budget.key.as_str().into(),
        reservation.resets_at.millis().into(),
    ];
    Statement::from_sql_and_values(connection.get_database_backend(), sql, values)
}
