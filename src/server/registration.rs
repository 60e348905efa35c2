//! Open registration: counted per network before anything is hashed.

use std::net::IpAddr;

use secrecy::SecretString;

use super::App;
use super::accounts::NewAccount;
use super::error::ApiError;
use super::events::Actor;
use super::password::{Priority, Seat};
use super::refused_attempts;
use super::store::{NewUser, Protected, StoreError, User};
use super::throttle::{Admitted, BudgetKind, CountedAttempt, network};

/// The registrations of this network that are in flight may use up its budget.
#[derive(Debug, thiserror::Error)]
#[error("other registrations from this network are still being decided")]
struct Occupied;

impl App {
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
        self.acceptable(&account.password, account.username.as_str())?;
        let now = self.clock.now();
        let network = network(ip);
        let rate = self.config.throttle_registration;
        let mut budget = self.budget((BudgetKind::Registration, &network), rate);
        budget.stored.protects = Protected::Registration;
        let names = vec![budget.remembered_as.clone()];
        let checked = self.refuse_if_remembered(names, now).await?;
        let seat = match self.passwords.seat(Priority::NewPassword, &network).await {
            Ok(seat) => seat,
            Err(busy) => return Err(self.paced(busy).await),
        };
        let counters = match self.charge(&[budget], &checked, now).await {
            Ok(Admitted::Charged(counters)) => counters,
            Ok(Admitted::Occupied) => return Err(ApiError::unavailable(Occupied)),
            Err(refusal) => {
                drop(seat);
                return Err(self.paced(refusal).await);
            }
        };
        let made = self.make(account, &seat, &Actor::Stranger { ip }).await;
        let seat = Some(seat);
        let attempt = CountedAttempt { counters, seat };
        match made {
            Ok(_) | Err(ApiError::Conflict(_)) => self.record_failure(attempt, ip, now).await?,
            Err(_) => self.forgive_attempt(attempt).await,
        }
        made
    }

    async fn make(&self, account: NewAccount, seat: &Seat, by: &Actor) -> Result<User, ApiError> {
        let password_hash = SecretString::from(seat.hash(account.password).await?);
        let new = NewUser {
            username: account.username.into_string(),
            password_hash,
            roles: Vec::new(),
        };
        let made = self.store.create_user(new, by, self.clock.now()).await;
        let user = made.map_err(|error| match error {
            StoreError::Conflict => ApiError::Conflict("this user name is taken"),
            other => other.into(),
        })?;
        tracing::info!(user.id = %user.id, "user registered");
        Ok(user)
    }
}
