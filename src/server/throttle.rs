//! The throttle: failures are counted against budgets, and attempts on a used-up budget are refused.
//!
//! An attempt is charged before it is decided, and refunded unless it failed, so that parallel guesses
//! cannot exceed a budget, on all replicas together. Refused attempts, attempts at a busy server and
//! attempts that end with a fault of the server are not counted. `credentials` chooses the budgets of an
//! attempt; this module charges them.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, TryAcquireError};

use super::App;
use super::config::Rate;
use super::error::ApiError;
use super::password::Seat;
use super::store::{Budget, Charge, Counter, Protected, StoreError, User};
use crate::clock::Time;

mod kind;
mod known_device;
mod pace;
mod recent_networks;
mod refusals;
#[cfg(test)]
mod tests;

pub use kind::BudgetKind;
pub use known_device::{KnownDevice, LONGEST_TOKEN};

use pace::Pace;
use recent_networks::RecentNetworks;
use refusals::Refusals;

/// Number of database connections that the throttle uses at once. The rest is for all other work.
const CONNECTIONS: usize = 4;

/// Number of attempts that may wait for one of these connections.
const WAITING: usize = 256;

/// Time for which logins from a network wait in a separate queue after a failed one.
const FAILURE_REMEMBERED: Duration = Duration::from_mins(15);

/// Time for which a network counts as unknown to an account without another query of the database.
const UNKNOWN_REMEMBERED: Duration = Duration::from_mins(1);

/// State of the throttle in this process; the budgets themselves are in the database.
#[derive(Debug)]
pub(super) struct Throttle {
    refusals: Refusals,
    failed_networks: RecentNetworks,
    unknown_networks: RecentNetworks,
    pace: Pace,
    connections: Semaphore,
    waiting: Semaphore,
}

/// The name under which this process remembers that a budget is used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BudgetName {
    pub(super) kind: BudgetKind,
    pub(super) key: String,
}

/// A budget, and the name under which this process remembers that it is used up.
#[derive(Clone, Debug)]
pub(super) struct NamedBudget {
    pub(super) remembered_as: BudgetName,
    pub(super) stored: Budget,
}

/// Proof that an attempt was charged, with its right to use a hashing thread.
#[derive(Debug)]
pub(super) struct CountedAttempt {
    pub(super) counters: Vec<Counter>,
    pub(super) seat: Option<Seat>,
}

/// The budget names that were checked in memory for an attempt, and the time of the check.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    names: Vec<BudgetName>,
    at: Instant,
}

/// Result of charging an attempt.
#[derive(Debug)]
pub(super) enum Admitted {
    /// It is charged.
    Charged(Vec<Counter>),
    /// Attempts in flight may use a budget up: wait for them.
    Occupied,
}

/// The throttle itself is overloaded.
#[derive(Debug, thiserror::Error)]
#[error("too many attempts wait for the throttle")]
struct Overloaded;

/// The attempt took so long that it cannot be counted any more. Its result must not be revealed.
#[derive(Debug, thiserror::Error)]
#[error("the attempt took too long to be counted")]
struct TooLate;

impl Throttle {
    pub(super) fn new() -> Self {
        Self {
            refusals: Refusals::default(),
            failed_networks: RecentNetworks::new(FAILURE_REMEMBERED),
            unknown_networks: RecentNetworks::new(UNKNOWN_REMEMBERED),
            pace: Pace::new(),
            connections: Semaphore::new(CONNECTIONS),
            waiting: Semaphore::new(CONNECTIONS + WAITING),
        }
    }

    /// Returns whether a login from this network failed a short time ago, as far as this process knows.
    pub(super) fn has_failed(&self, network: &str) -> bool {
        self.failed_networks.contains(network, Instant::now())
    }

    /// Returns whether a query a short time ago found no login to an account from a network. `name` is the
    /// budget of both.
    pub(super) fn is_unknown(&self, name: &BudgetName) -> bool {
        self.unknown_networks.contains(&name.key, Instant::now())
    }

    /// Records that an account has no login from a network.
    pub(super) fn note_unknown(&self, name: &BudgetName) {
        self.unknown_networks.add(&name.key, Instant::now());
    }

    /// Runs the statement that charges an attempt, unless too many wait for that.
    async fn admit<T>(
        &self,
        statement: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, ApiError> {
        let _waiting = self.waiting.try_acquire().map_err(overloaded)?;
        self.run(statement).await
    }

    /// Runs a statement on one of the connections of the throttle. Statements that record the result of an
    /// attempt skip the waiting limit: a failure that is not recorded is refunded, so a flood would gain
    /// free guesses. Their number is bounded, since each of these attempts was charged before.
    async fn run<T>(
        &self,
        statement: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, ApiError> {
        let _connection = self.connections.acquire().await;
        Ok(statement.await?)
    }

    /// Returns the refusal of an attempt on a budget that is known to be used up, without SQL. For names
    /// that the attempt has checked before, only refusals since that check count.
    fn find_refusal<'a>(
        &self,
        names: impl Iterator<Item = &'a BudgetName>,
        checked: &Checked,
        now: Time,
    ) -> Option<ApiError> {
        let instant = Instant::now();
        let waits = names.filter_map(|name| {
            let wait = if checked.names.contains(name) {
                self.refusals.find_newer(&name.key, now, checked.at)
            } else {
                self.refusals.find(&name.key, now, instant)
            };
            Some((wait?, name.kind))
        });
        let (retry_after, budget) = waits.max_by_key(|(wait, _)| *wait)?;
        Some(ApiError::TooManyRequests {
            retry_after,
            budget,
        })
    }
}

impl Checked {
    /// Returns a check of no names.
    pub(super) fn nothing() -> Self {
        Self {
            names: Vec::new(),
            at: Instant::now(),
        }
    }
}

fn overloaded(_: TryAcquireError) -> ApiError {
    ApiError::unavailable(Overloaded)
}

impl App {
    /// Refuses an attempt on a budget that is known to be used up, without SQL.
    pub(super) async fn refuse_if_remembered(
        &self,
        names: Vec<BudgetName>,
        now: Time,
    ) -> Result<Checked, ApiError> {
        let nothing = Checked::nothing();
        match self.throttle.find_refusal(names.iter(), &nothing, now) {
            None => Ok(Checked { names, ..nothing }),
            Some(refusal) => Err(self.paced(refusal).await),
        }
    }

    /// Returns a refusal after the wait that the rate of refusals requires.
    pub(super) async fn paced(&self, refusal: impl Into<ApiError>) -> ApiError {
        self.throttle.pace.wait().await;
        refusal.into()
    }

    /// Charges an attempt to its budgets, or to none of them.
    ///
    /// # Errors
    /// `too_many_requests` when one is used up; `unavailable`.
    pub(super) async fn charge(
        &self,
        budgets: &[NamedBudget],
        checked: &Checked,
        now: Time,
    ) -> Result<Admitted, ApiError> {
        let throttle = &self.throttle;
        let names = budgets.iter().map(|budget| &budget.remembered_as);
        if let Some(refusal) = throttle.find_refusal(names, checked, now) {
            return Err(refusal);
        }
        let stored: Vec<Budget> = budgets.iter().map(|budget| budget.stored.clone()).collect();
        match throttle.admit(self.store.charge(&stored, now)).await? {
            Charge::Placed(counters) => {
                for budget in budgets {
                    throttle.refusals.forget(&budget.remembered_as.key, now);
                }
                Ok(Admitted::Charged(counters))
            }
            Charge::Occupied => Ok(Admitted::Occupied),
            Charge::UsedUp { budget, resets_at } => {
                let BudgetName { kind, key } = &budgets[budget].remembered_as;
                throttle.refusals.remember(key, resets_at, Instant::now());
                Err(ApiError::TooManyRequests {
                    retry_after: resets_at.since(now),
                    budget: *kind,
                })
            }
        }
    }

    /// Counts a failure. Only then may the response be sent.
    pub(super) async fn record_failure(
        &self,
        attempt: CountedAttempt,
        ip: IpAddr,
        now: Time,
    ) -> Result<(), ApiError> {
        let failed_networks = &self.throttle.failed_networks;
        failed_networks.add(&network(ip), Instant::now());
        let recorded = self.store.record_failure(&attempt.counters, ip, now);
        let recorded = self.throttle.run(async {
            match recorded.await {
                Err(StoreError::Conflict) => Ok(Err(TooLate)),
                other => other.map(Ok),
            }
        });
        recorded.await?.map_err(ApiError::unavailable)
    }

    /// Refunds an attempt that did not fail. If that does not succeed, the charge expires after some
    /// minutes.
    pub(super) async fn forgive_attempt(&self, attempt: CountedAttempt) {
        let given_back = self.store.give_back_attempt(&attempt.counters);
        if let Err(error) = self.throttle.run(given_back).await {
            tracing::warn!(%error, "cannot refund an attempt that did not fail; its charge expires in two minutes");
        }
    }

    /// Counts wrong credentials of a service, separately for each network they come from: a stranger cannot
    /// use up the budget of the service.
    pub(super) async fn count_service_failure(
        &self,
        name: &str,
        ip: IpAddr,
        now: Time,
    ) -> Result<(), ApiError> {
        let network = network(ip);
        let budgets = [
            self.network_budget(&network),
            self.budget(
                (BudgetKind::ServiceInNetwork, &format!("{network} {name}")),
                self.config.throttle_account_ip,
            ),
        ];
        match self.charge(&budgets, &Checked::nothing(), now).await {
            Ok(Admitted::Charged(counters)) => {
                let seat = None;
                self.record_failure(CountedAttempt { counters, seat }, ip, now)
                    .await
            }
            Ok(Admitted::Occupied) => Err(self.paced(ApiError::unavailable(Overloaded)).await),
            Err(refusal) => Err(self.paced(refusal).await),
        }
    }

    /// Returns the budget of all strangers in one network.
    pub(super) fn network_budget(&self, network: &str) -> NamedBudget {
        self.budget((BudgetKind::Network, network), self.config.throttle_ip)
    }

    /// Returns a budget that protects no account.
    pub(super) fn budget(&self, (kind, whom): (BudgetKind, &str), rate: Rate) -> NamedBudget {
        let key = self.derived.throttle_name(kind.as_str(), whom);
        NamedBudget {
            remembered_as: BudgetName {
                kind,
                key: key.clone(),
            },
            stored: Budget {
                key,
                limit: rate.limit,
                window: rate.window,
                protects: Protected::Logins,
            },
        }
    }

    /// Returns a budget that protects an account. Each change of the password begins a new budget, so
    /// that a reset lifts the throttle, at once on every replica.
    pub(super) fn budget_of(
        &self,
        (kind, whom): (BudgetKind, &str),
        rate: Rate,
        user: &User,
    ) -> NamedBudget {
        let changed_at = user.password_changed_at.millis();
        let whom = format!("{} {changed_at} {whom}", user.id);
        let mut budget = self.budget((kind, &whom), rate);
        budget.stored.protects = Protected::Account(user.id.clone());
        budget
    }
}

/// Returns the network that counts as one address: an IPv6 customer has a whole /64.
pub(super) fn network(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}
