//! Rows of `throttles`: budgets of failures in windows of time, shared by all replicas.
//!
//! An attempt reserves one unit of each of its budgets before its outcome is known, so that parallel guesses
//! cannot exceed a budget. A failure uses the unit; a success, or an error that is not the client's, refunds it.
//! A unit whose attempt was never completed, because the process ended, is refunded after [`LONGEST_ATTEMPT`]:
//! an attacker learns nothing from an attempt without a response.

use std::net::IpAddr;
use std::time::Duration;

use super::{Store, StoreError, UserId};
use latchet_guard::clock::Time;

mod batch;
mod statements;

use batch::{AttemptOutcome, ChargeRequest, SettlementRequest};
pub(super) use batch::{ThrottleRequest, start};
pub(super) use statements::{BudgetWindow, SettledUnits, settle_sql, settled_rows};

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
    /// Requests that prove nothing: registrations and requests for mails. No event is recorded.
    Unrecorded,
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

impl BudgetReservation {
    pub(super) fn window(&self) -> BudgetWindow<'_> {
        (&self.budget.key, self.resets_at)
    }
}

impl Store {
    /// Reserves one unit of each budget, or none at all.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when too many attempts wait or the database fails.
    pub async fn charge(
        &self,
        budgets: &[FailureBudget],
        now: Time,
    ) -> Result<ChargeResult, StoreError> {
        let budgets = budgets.to_vec();
        let charged = self.0.throttle.run(|reply| {
            ThrottleRequest::Charge(ChargeRequest {
                budgets,
                now,
                reply,
            })
        });
        charged.await
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
        let outcome = AttemptOutcome::Failed { ip, now };
        self.settle_attempt(reservations, outcome).await
    }

    /// Refunds the units of an attempt that did not fail.
    pub async fn refund_attempt(
        &self,
        reservations: &[BudgetReservation],
    ) -> Result<(), StoreError> {
        let outcome = AttemptOutcome::Refunded;
        self.settle_attempt(reservations, outcome).await
    }

    async fn settle_attempt(
        &self,
        reservations: &[BudgetReservation],
        outcome: AttemptOutcome,
    ) -> Result<(), StoreError> {
        let reservations = reservations.to_vec();
        let settled = self.0.throttle.run(|reply| {
            ThrottleRequest::Settlement(SettlementRequest {
                reservations,
                outcome,
                reply,
            })
        });
        settled.await
    }
}
