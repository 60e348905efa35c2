//! Budgets of requests for mails, and of the codes that mails carry.

use std::net::IpAddr;

use super::{AdmissionResult, BudgetKind, NamedBudget, Throttle, ThrottleTicket, network_of};
use crate::error::ApiError;
use crate::store::{BudgetSubject, StoreError};
use latchet_guard::clock::Time;

/// The attempts on this budget that are in flight may use it up.
#[derive(Debug, thiserror::Error)]
#[error("other attempts on this budget are still being decided")]
struct AttemptsPending;

impl Throttle {
    /// Counts a request for a mail, for the address and for the network that it comes from. Whether an account has
    /// the address makes no difference.
    ///
    /// # Errors
    /// `too_many_requests`; `unavailable`.
    pub(crate) async fn charge_mail_request(
        &self,
        address_key: &str,
        ip: IpAddr,
        now: Time,
    ) -> Result<(), ApiError> {
        let attempt = self.reserve_mail_request(address_key, ip, now).await?;
        self.record_mail_request(attempt, ip, now).await
    }

    /// Reserves a request for a mail, to be recorded or refunded.
    ///
    /// # Errors
    /// `too_many_requests`; `unavailable`.
    pub(crate) async fn reserve_mail_request(
        &self,
        address_key: &str,
        ip: IpAddr,
        now: Time,
    ) -> Result<ThrottleTicket, ApiError> {
        let (network, limits) = (network_of(ip), &self.limits);
        let budgets = [
            (
                BudgetKind::MailsFromNetwork,
                network.as_str(),
                limits.mail_from_network,
            ),
            (
                BudgetKind::MailsToAddress,
                address_key,
                limits.mail_to_address,
            ),
        ];
        let budgets = budgets.map(|(kind, subject, rate)| {
            let mut budget = self.budget((kind, subject), rate);
            budget.stored.subject = BudgetSubject::Unrecorded;
            budget
        });
        self.charge_now(&budgets, now).await
    }

    /// Counts a request for a mail.
    ///
    /// # Errors
    /// `unavailable`.
    pub(crate) async fn record_mail_request(
        &self,
        reserved: ThrottleTicket,
        ip: IpAddr,
        now: Time,
    ) -> Result<(), ApiError> {
        self.record_use(reserved, ip, now).await
    }

    /// Awaits the check of a mailed link or code, and counts it for its network if it is wrong.
    ///
    /// # Errors
    /// `invalid_code` when the check finds nothing; `too_many_requests`; `unavailable`.
    pub(crate) async fn count_wrong_code<T>(
        &self,
        ip: IpAddr,
        now: Time,
        check: impl Future<Output = Result<Option<T>, StoreError>>,
    ) -> Result<T, ApiError> {
        let budget = self.network_budget(&network_of(ip));
        let attempt = self.charge_now(&[budget], now).await?;
        match check.await {
            Ok(Some(found)) => {
                self.refund_attempt(attempt).await;
                Ok(found)
            }
            Ok(None) => {
                self.record_failure(attempt, ip, now).await?;
                Err(ApiError::InvalidCode)
            }
            Err(fault) => {
                self.refund_attempt(attempt).await;
                Err(fault.into())
            }
        }
    }

    /// Charges an attempt that does not wait for those in flight.
    async fn charge_now(
        &self,
        budgets: &[NamedBudget],
        now: Time,
    ) -> Result<ThrottleTicket, ApiError> {
        let names = budgets.iter().map(|budget| budget.cache_name.clone());
        let checked = self.refuse_if_cached(names.collect(), now).await?;
        match self.charge(budgets, &checked, now).await {
            Ok(AdmissionResult::Charged(counters)) => Ok(ThrottleTicket {
                counters,
                permit: None,
            }),
            Ok(AdmissionResult::Pending) => Err(ApiError::unavailable(AttemptsPending)),
            Err(refusal) => Err(self.pace_refusal(refusal).await),
        }
    }
}
