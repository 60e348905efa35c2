//! The throttle: failures are counted against budgets, and attempts on a used-up budget are refused.
//!
//! An attempt is charged before it is decided, and refunded unless it failed, so that parallel guesses
//! cannot exceed a budget, on all replicas together. Refused attempts, attempts at a busy server and
//! attempts that end with a fault of the server are not counted. `password_verification` chooses the budgets of an
//! attempt; this module charges them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::config::{Config, RateLimit};
use super::derived_keys::DerivedKeys;
use super::error::ApiError;
use super::ids::UserId;
use super::password::HashingPermit;
use super::store::{
    BudgetReservation, BudgetSubject, ChargeResult, FailureBudget, Store, StoreError, User,
    UserWithHash,
};
use latchet_guard::clock::Time;

mod budget_kind;
mod known_device;
mod mails;
mod recent_networks;
mod refusal_cache;
mod refusal_pacer;
#[cfg(test)]
mod tests;

pub use budget_kind::BudgetKind;
pub use known_device::{KnownDevice, MAX_TOKEN_LENGTH};
pub(super) use recent_networks::network_of;

use recent_networks::RecentNetworks;
use refusal_cache::RefusalCache;
use refusal_pacer::RefusalPacer;

/// Time for which logins from a network wait in a separate queue after a failed one.
const FAILURE_REMEMBERED: Duration = Duration::from_mins(15);

/// Time for which a network counts as unknown to an account without another query of the database.
const UNKNOWN_REMEMBERED: Duration = Duration::from_mins(1);

/// The throttle: its settings, and its state in this process. The budgets themselves are in the database.
#[derive(Debug)]
pub(super) struct Throttle {
    store: Store,
    derived: Arc<DerivedKeys>,
    pub(super) limits: ThrottleLimits,
    refusals: RefusalCache,
    failed_networks: RecentNetworks,
    unknown_networks: RecentNetworks,
    refusal_pacer: RefusalPacer,
}

/// Failures that each kind of budget allows.
#[derive(Debug)]
pub(super) struct ThrottleLimits {
    /// Of one account, by all its strangers or all its known devices.
    pub(super) account: RateLimit,
    /// Of one account, by one network, device or session.
    pub(super) account_in_network: RateLimit,
    /// Of all accounts, by one network.
    pub(super) network: RateLimit,
    /// Registrations by one network.
    pub(super) registration: RateLimit,
    /// Mails to one address.
    pub(super) mail_to_address: RateLimit,
    /// Requests for mails by one network.
    pub(super) mail_from_network: RateLimit,
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
    pub(super) cache_name: BudgetName,
    pub(super) stored: FailureBudget,
    /// Key of its row under the previous root secret, while there is one.
    pub(super) previous_key: Option<String>,
}

impl NamedBudget {
    /// Returns its rows.
    fn rows(&self) -> impl Iterator<Item = FailureBudget> {
        let previous = self.previous_key.clone().map(|key| FailureBudget {
            key,
            ..self.stored.clone()
        });
        std::iter::once(self.stored.clone()).chain(previous)
    }
}

/// Proof that an attempt was charged, with its right to use a hashing thread.
#[derive(Debug)]
pub(super) struct ThrottleTicket {
    pub(super) counters: Vec<BudgetReservation>,
    pub(super) permit: Option<HashingPermit>,
}

/// The budget names that were checked in memory for an attempt, and the time of the check.
#[derive(Clone, Debug)]
pub(super) struct CheckedBudgets {
    names: Vec<BudgetName>,
    at: Instant,
}

/// Result of charging an attempt.
#[derive(Debug)]
pub(super) enum AdmissionResult {
    /// It is charged.
    Charged(Vec<BudgetReservation>),
    /// Attempts in flight may use a budget up: wait for them.
    Pending,
}

/// The throttle itself is overloaded.
#[derive(Debug, thiserror::Error)]
#[error("too many attempts wait for the throttle")]
pub(super) struct ThrottleOverloaded;

/// The attempt took so long that it cannot be counted any more. Its result must not be revealed.
#[derive(Debug, thiserror::Error)]
#[error("the attempt took too long to be counted")]
struct AttemptTooSlow;

impl Throttle {
    pub(super) fn new(config: &Config, store: Store, derived: Arc<DerivedKeys>) -> Self {
        Self {
            store,
            derived,
            limits: ThrottleLimits {
                account: config.throttle_account,
                account_in_network: config.throttle_account_ip,
                network: config.throttle_ip,
                registration: config.throttle_registration,
                mail_to_address: config.throttle_mail,
                mail_from_network: config.throttle_mail_ip,
            },
            refusals: RefusalCache::default(),
            failed_networks: RecentNetworks::new(FAILURE_REMEMBERED),
            unknown_networks: RecentNetworks::new(UNKNOWN_REMEMBERED),
            refusal_pacer: RefusalPacer::new(),
        }
    }

    /// Returns whether a login from this network failed a short time ago, as far as this process knows.
    pub(super) fn has_recent_failure(&self, network: &str) -> bool {
        self.failed_networks.contains(network, Instant::now())
    }

    /// Returns whether a query a short time ago found no login to an account from a network. `name` is the
    /// budget of both.
    pub(super) fn is_unknown_network(&self, name: &BudgetName) -> bool {
        self.unknown_networks.contains(&name.key, Instant::now())
    }

    /// Returns whether a login to an account came from this network since its password was set. Queries
    /// the database, at most once a minute for an unknown network. `name` is the budget of both.
    ///
    /// # Errors
    /// `unavailable`.
    pub(super) async fn is_known_network(
        &self,
        name: &BudgetName,
        found: Option<&UserWithHash>,
        network_of_caller: &str,
    ) -> Result<bool, ApiError> {
        if self.is_unknown_network(name) {
            return Ok(false);
        }
        // The same work for an account that does not exist.
        let (user, since) = match found {
            Some(found) => (found.user.id.clone(), found.user.password_changed_at),
            None => (UserId::from(""), Time::from_millis(0)),
        };
        let addresses = self.store.addresses_of_logins(&user, since).await?;
        let mut addresses = addresses.iter().filter_map(|address| address.parse().ok());
        let is_known = addresses.any(|address| network_of(address) == network_of_caller);
        if !is_known {
            self.unknown_networks.add(&name.key, Instant::now());
        }
        Ok(is_known)
    }

    /// Returns the refusal of an attempt on a budget that is known to be used up, without SQL. For names
    /// that the attempt has checked before, only refusals since that check count.
    fn find_refusal<'a>(
        &self,
        names: impl Iterator<Item = &'a BudgetName>,
        checked: &CheckedBudgets,
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

impl CheckedBudgets {
    /// Returns a check of no names.
    pub(super) fn none() -> Self {
        Self {
            names: Vec::new(),
            at: Instant::now(),
        }
    }
}

impl Throttle {
    /// Refuses an attempt on a budget that is known to be used up, without SQL.
    pub(super) async fn refuse_if_cached(
        &self,
        names: Vec<BudgetName>,
        now: Time,
    ) -> Result<CheckedBudgets, ApiError> {
        let none = CheckedBudgets::none();
        match self.find_refusal(names.iter(), &none, now) {
            None => Ok(CheckedBudgets { names, ..none }),
            Some(refusal) => Err(self.pace_refusal(refusal).await),
        }
    }

    /// Returns a refusal after the wait that the rate of refusals requires.
    pub(super) async fn pace_refusal(&self, refusal: impl Into<ApiError>) -> ApiError {
        self.refusal_pacer.wait().await;
        refusal.into()
    }

    /// Charges an attempt to its budgets, or to none of them.
    ///
    /// # Errors
    /// `too_many_requests` when one is used up; `unavailable`.
    pub(super) async fn charge(
        &self,
        budgets: &[NamedBudget],
        checked: &CheckedBudgets,
        now: Time,
    ) -> Result<AdmissionResult, ApiError> {
        let names = budgets.iter().map(|budget| &budget.cache_name);
        if let Some(refusal) = self.find_refusal(names, checked, now) {
            return Err(refusal);
        }
        let rows = budgets
            .iter()
            .flat_map(|budget| budget.rows().map(move |row| (budget, row)));
        let (charged, stored): (Vec<&NamedBudget>, Vec<FailureBudget>) = rows.unzip();
        match self.store.charge(&stored, now).await? {
            ChargeResult::Reserved(counters) => {
                for budget in budgets {
                    self.refusals.forget(&budget.cache_name.key, now);
                }
                Ok(AdmissionResult::Charged(counters))
            }
            ChargeResult::FullyReserved => Ok(AdmissionResult::Pending),
            ChargeResult::Exhausted { budget, resets_at } => {
                let BudgetName { kind, key } = &charged[budget].cache_name;
                self.refusals.remember(key, resets_at, Instant::now());
                Err(ApiError::TooManyRequests {
                    retry_after: resets_at.since(now),
                    budget: *kind,
                })
            }
        }
    }

    /// Charges an attempt that does not wait for those in flight, and has no permit.
    ///
    /// # Errors
    /// `too_many_requests`; `unavailable`, also while those in flight may use a budget up.
    pub(super) async fn charge_now(
        &self,
        budgets: &[NamedBudget],
        now: Time,
    ) -> Result<ThrottleTicket, ApiError> {
        match self.charge(budgets, &CheckedBudgets::none(), now).await {
            Ok(AdmissionResult::Charged(counters)) => Ok(ThrottleTicket {
                counters,
                permit: None,
            }),
            Ok(AdmissionResult::Pending) => {
                let overloaded = ApiError::unavailable(ThrottleOverloaded);
                Err(self.pace_refusal(overloaded).await)
            }
            Err(refusal) => Err(self.pace_refusal(refusal).await),
        }
    }

    /// Counts a failure. Only then may the response be sent.
    pub(super) async fn record_failure(
        &self,
        attempt: ThrottleTicket,
        ip: IpAddr,
        now: Time,
    ) -> Result<(), ApiError> {
        self.failed_networks.add(&network_of(ip), Instant::now());
        self.record_use(attempt, ip, now).await
    }

    /// Counts an attempt that is not refunded.
    async fn record_use(
        &self,
        attempt: ThrottleTicket,
        ip: IpAddr,
        now: Time,
    ) -> Result<(), ApiError> {
        let recorded = self.store.record_failure(&attempt.counters, ip, now);
        match recorded.await {
            Err(StoreError::Conflict) => Err(ApiError::unavailable(AttemptTooSlow)),
            other => Ok(other?),
        }
    }

    /// Refunds an attempt that did not fail. If that does not succeed, the charge expires after some
    /// minutes.
    pub(super) async fn refund_attempt(&self, attempt: ThrottleTicket) {
        if let Err(error) = self.store.refund_attempt(&attempt.counters).await {
            tracing::warn!(%error, "cannot refund an attempt that did not fail; its charge expires in two minutes");
        }
    }

    /// Returns the budget of all strangers in one network.
    pub(super) fn network_budget(&self, network: &str) -> NamedBudget {
        self.budget((BudgetKind::Network, network), self.limits.network)
    }

    /// Returns the budgets of a known device: its own, and one that all known devices of the account
    /// share. Every login without a proof creates another device, so their number has no limit.
    pub(super) fn device_budgets(&self, device: &KnownDevice, user: &User) -> [NamedBudget; 2] {
        let (own, all) = (self.limits.account_in_network, self.limits.account);
        [
            self.account_budget((BudgetKind::KnownDevice, device.id()), own, user),
            self.account_budget((BudgetKind::AllKnownDevices, ""), all, user),
        ]
    }

    /// Returns the budget of a session: of the user that is signed in, and no other client.
    pub(super) fn session_budget(&self, user: &UserId, session: &str) -> NamedBudget {
        let subject = format!("{user} {session}");
        let rate = self.limits.account_in_network;
        self.budget((BudgetKind::Session, &subject), rate)
    }

    /// Returns a budget that protects no account.
    pub(super) fn budget(
        &self,
        (kind, subject): (BudgetKind, &str),
        rate: RateLimit,
    ) -> NamedBudget {
        let key = self.derived.throttle_key(kind.as_str(), subject);
        let previous_key = self.derived.previous_throttle_key(kind.as_str(), subject);
        NamedBudget {
            previous_key,
            cache_name: BudgetName {
                kind,
                key: key.clone(),
            },
            stored: FailureBudget {
                key,
                limit: rate.limit,
                window: rate.window,
                subject: BudgetSubject::Logins,
            },
        }
    }

    /// Returns the name of a budget whose account is not looked up yet.
    pub(super) fn cache_name(&self, kind: BudgetKind, subject: &str) -> BudgetName {
        let scope = format!("name {}", kind.as_str());
        BudgetName {
            kind,
            key: self.derived.throttle_key(&scope, subject),
        }
    }

    /// Returns a budget that protects an account. Each change of the password begins a new budget, so
    /// that a reset lifts the throttle, at once on every replica.
    pub(super) fn account_budget(
        &self,
        (kind, subject): (BudgetKind, &str),
        rate: RateLimit,
        user: &User,
    ) -> NamedBudget {
        let changed_at = user.password_changed_at.millis();
        let subject = format!("{} {changed_at} {subject}", user.id);
        let mut budget = self.budget((kind, &subject), rate);
        budget.stored.subject = BudgetSubject::Account(user.id.clone());
        budget
    }
}
