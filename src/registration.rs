//! Open registration: counted per network before anything is hashed.

use std::net::IpAddr;
use std::sync::Arc;

use secrecy::SecretString;

use super::accounts::{Accounts, NewAccount};
use super::error::ApiError;
use super::password::{HashingPermit, HashingPriority};
use super::refused_attempts;
use super::security_events::Actor;
use super::store::{BudgetSubject, NewUser, StoreError, User};
use super::throttle::{AdmissionResult, BudgetKind, Throttle, ThrottleTicket, network_of};

/// The registrations of this network that are in flight may use up its budget.
#[derive(Debug, thiserror::Error)]
#[error("other registrations from this network are still being decided")]
struct RegistrationsPending;

/// Open registration.
#[derive(Debug)]
pub struct Registration {
    pub(super) accounts: Accounts,
    pub(super) throttle: Arc<Throttle>,
}

impl Registration {
    /// Creates an account for an unauthenticated client. The attempt is counted even if the name is taken,
    /// because the response reveals that: names must not be enumerated.
    ///
    /// # Errors
    /// `weak_password`; `conflict` when the name is taken; `too_many_requests`.
    pub async fn register(&self, account: NewAccount, ip: IpAddr) -> Result<User, ApiError> {
        let registered = self.register_counted(account, ip).await;
        if let Err(error) = &registered {
            refused_attempts::log_registration(ip, error);
        }
        registered
    }

    async fn register_counted(&self, account: NewAccount, ip: IpAddr) -> Result<User, ApiError> {
        self.accounts
            .check_new_password(&account.password, account.username.as_str())?;
        let now = self.accounts.clock.now();
        let network = network_of(ip);
        let rate = self.throttle.limits.registration;
        let mut budget = self
            .throttle
            .budget((BudgetKind::Registration, &network), rate);
        budget.stored.subject = BudgetSubject::Registration;
        let names = vec![budget.cache_name.clone()];
        let checked = self.throttle.refuse_if_cached(names, now).await?;
        let permit = match self
            .accounts
            .passwords
            .acquire_permit(HashingPriority::NewPassword, &network)
            .await
        {
            Ok(permit) => permit,
            Err(busy) => return Err(self.throttle.pace_refusal(busy).await),
        };
        let counters = match self.throttle.charge(&[budget], &checked, now).await {
            Ok(AdmissionResult::Charged(counters)) => counters,
            Ok(AdmissionResult::Pending) => {
                return Err(ApiError::unavailable(RegistrationsPending));
            }
            Err(refusal) => {
                drop(permit);
                return Err(self.throttle.pace_refusal(refusal).await);
            }
        };
        let created = self
            .create_registered_user(account, &permit, &Actor::Anonymous { ip })
            .await;
        let permit = Some(permit);
        let attempt = ThrottleTicket { counters, permit };
        match created {
            Ok(_) | Err(ApiError::Conflict(_)) => {
                self.throttle.record_failure(attempt, ip, now).await?;
            }
            Err(_) => self.throttle.refund_attempt(attempt).await,
        }
        created
    }

    async fn create_registered_user(
        &self,
        account: NewAccount,
        permit: &HashingPermit,
        by: &Actor,
    ) -> Result<User, ApiError> {
        let password_hash = SecretString::from(permit.hash(account.password).await?);
        let new = NewUser {
            username: account.username.into_string(),
            password_hash,
            roles: Vec::new(),
        };
        let created = self
            .accounts
            .store
            .create_user(new, by, self.accounts.clock.now())
            .await;
        let user = created.map_err(|error| match error {
            StoreError::Conflict => ApiError::Conflict("this user name is taken"),
            other => other.into(),
        })?;
        tracing::info!(user.id = %user.id, "user registered");
        Ok(user)
    }
}
