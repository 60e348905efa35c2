//! Budgets of requests for mails, and of the codes that mails carry.

use std::net::IpAddr;

use super::{BudgetKind, Throttle, network_of};
use crate::error::ApiError;
use crate::store::{BudgetSubject, StoreError};
use latchet_guard::clock::Time;

impl Throttle {
    /// Does work that writes a mail, and counts the mail for its address and for the network that the request comes
    /// from; whether an account has the address makes no difference. A mail that was not written is not counted: its
    /// address would get none.
    ///
    /// # Errors
    /// `too_many_requests`; `unavailable`; those of the work.
    pub(crate) async fn count_mail<T>(
        &self,
        address_key: &str,
        (ip, now): (IpAddr, Time),
        work: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
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
        let attempt = self.charge_now(&budgets, now).await?;
        let done = work.await;
        match &done {
            Ok(_) => self.record_use(attempt, ip, now).await?,
            Err(_) => self.refund_attempt(attempt).await,
        }
        done
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
}
