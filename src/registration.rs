//! Open registration: counted per network before anything is hashed.

use std::sync::Arc;

use secrecy::SecretString;

use super::accounts::{Accounts, NewAccount};
use super::addresses::{MailOrigin, new_email};
use super::error::ApiError;
use super::locale::Locale;
use super::mailed_secrets::MailedSecrets;
use super::mailer::{CODE_LIFETIME, MailChallenge};
use super::names::EmailAddress;
use super::password::{HashingPermit, HashingPriority};
use super::refused_attempts;
use super::security_events::Actor;
use super::store::{BudgetSubject, NewUser, StoreError, User};
use super::throttle::{AdmissionResult, BudgetKind, Throttle, ThrottleTicket, network_of};

/// The registrations of this network that are in flight may use up its budget.
#[derive(Debug, thiserror::Error)]
#[error("other registrations from this network are still being decided")]
struct RegistrationsPending;

/// Result of a registration.
#[derive(Debug)]
pub enum Registered {
    /// An account without an address.
    Created(User),
    /// An account whose address is to be verified. The response does not depend on whether another account has the
    /// address, so it does not name the user.
    MailSent(MailChallenge),
}

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
    /// `weak_password`; `conflict` when the name is taken; `too_many_requests`; `not_found` with an address where mail
    /// is off.
    pub async fn register(
        &self,
        account: NewAccount,
        email: Option<EmailAddress>,
        origin: MailOrigin,
    ) -> Result<Registered, ApiError> {
        let registered = self.register_counted(account, email, origin).await;
        if let Err(error) = &registered {
            refused_attempts::log_registration(origin.ip, error);
        }
        registered
    }

    async fn register_counted(
        &self,
        account: NewAccount,
        email: Option<EmailAddress>,
        origin: MailOrigin,
    ) -> Result<Registered, ApiError> {
        let ip = origin.ip;
        self.accounts
            .check_new_password(&account.password, account.username.as_str())?;
        let now = self.accounts.clock.now();
        if email.is_some() {
            self.accounts.mailer.require_on()?;
        }
        let network = network_of(ip);
        let rate = self.throttle.limits.registration;
        let mut budget = self
            .throttle
            .budget((BudgetKind::Registration, &network), rate);
        budget.stored.subject = BudgetSubject::Unrecorded;
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
        let mailed_to = email.as_ref().map(EmailAddress::key);
        let creating = self.create_registered_user(account, email, &permit, origin);
        let created = match mailed_to {
            None => creating.await,
            Some(key) => self.throttle.count_mail(&key, (ip, now), creating).await,
        };
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
        email: Option<EmailAddress>,
        permit: &HashingPermit,
        origin: MailOrigin,
    ) -> Result<Registered, ApiError> {
        let password_hash = SecretString::from(permit.hash(account.password).await?);
        let new = NewUser {
            username: account.username.into_string(),
            password_hash,
            roles: Vec::new(),
            locale: account.locale,
        };
        let Accounts { store, clock, .. } = &self.accounts;
        let (by, now) = (Actor::Anonymous { ip: origin.ip }, clock.now());
        let registered = match email {
            None => store
                .create_user(new, &by, now)
                .await
                .map(Registered::Created),
            Some(email) => {
                self.create_with_email(new, email, (&by, origin.locale))
                    .await
            }
        };
        registered.map_err(|error| match error {
            StoreError::Conflict => ApiError::Conflict("this user name is taken"),
            other => other.into(),
        })
    }

    /// Creates a user with an address that is not verified. If another account has verified it, its owner receives a
    /// mail about that, and the new account cannot verify it: the response is the same.
    async fn create_with_email(
        &self,
        new: NewUser,
        address: EmailAddress,
        (by, locale): (&Actor, Locale),
    ) -> Result<Registered, StoreError> {
        let Accounts {
            store,
            mailer,
            clock,
            ..
        } = &self.accounts;
        let now = clock.now();
        let secrets = MailedSecrets::random();
        let delivery = if let Some(owner) = store.verified_email(&address.key()).await? {
            mailer.address_in_use(owner.address, locale)
        } else {
            let recipient = (new.username.as_str(), locale);
            mailer.proof_of_address(address.clone(), recipient, &secrets)
        };
        let email = new_email(address, None, &secrets, now + CODE_LIFETIME);
        store
            .create_user_with_email(new, email, delivery, (by, now))
            .await?;
        Ok(Registered::MailSent(MailChallenge::of(secrets)))
    }
}
