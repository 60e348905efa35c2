//! Verification of passwords under the throttle: the order in which an attempt is refused, admitted and decided. The
//! budgets that it is charged to are in [`budgets`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::error::ApiError;
use super::ids::UserId;
use super::names::{EmailAddress, stored_forms};
use super::password::{HashingPermit, HashingPriority, PasswordHasher, PasswordVerdict};
use super::refused_attempts;
use super::sessions::LoginAttempt;
use super::store::{Store, StoreError, User, UserWithHash};
use super::throttle::{AdmissionResult, KnownDevice, Throttle, ThrottleTicket, network_of};
use latchet_guard::clock::Time;
use latchet_guard::token::Claims;

mod budgets;
#[cfg(test)]
mod tests;

use budgets::AttemptNetwork;

/// Longest wait of an attempt for the attempts in flight, if together they may use up a budget.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Time between two checks of such a budget.
const RETRY_INTERVAL: Duration = Duration::from_millis(25);

/// A user whose password was right, and the attempt, whose charge is to be refunded.
#[derive(Debug)]
pub(super) struct VerifiedPassword {
    pub(super) user: User,
    pub(super) attempt: ThrottleTicket,
}

/// A password to be verified.
struct PresentedPassword<'a> {
    claimant: PasswordClaimant<'a>,
    password: &'a SecretString,
    ip: IpAddr,
    now: Time,
}

/// The party that presents a password.
#[derive(Clone, Copy)]
enum PasswordClaimant<'a> {
    /// A client that logs in.
    Login {
        username: &'a str,
        devices: &'a [KnownDevice],
    },
    /// A user that is signed in.
    Session { user: &'a UserId, session: &'a str },
}

/// Attempts in flight on this budget did not end in time.
#[derive(Debug, thiserror::Error)]
#[error("other attempts on this budget are still being decided")]
struct AttemptsPending;

/// Verifies passwords under the throttle.
#[derive(Debug)]
pub(super) struct PasswordVerification {
    pub(super) store: Store,
    pub(super) passwords: PasswordHasher,
    pub(super) throttle: Arc<Throttle>,
}

impl PasswordVerification {
    /// Verifies user name and password, and returns the user. Every failure costs the same work and has the
    /// same response.
    pub(super) async fn verify_login_password(
        &self,
        login: &LoginAttempt,
        now: Time,
    ) -> Result<VerifiedPassword, ApiError> {
        self.verify_under_throttle(&PresentedPassword {
            claimant: PasswordClaimant::Login {
                username: &login.username,
                devices: &login.devices,
            },
            password: &login.password,
            ip: login.client.ip,
            now,
        })
        .await
    }

    /// Verifies the password of the user of a session, and returns that user. Failures count against the
    /// session alone: guesses of strangers do not slow down a user that is signed in.
    pub(super) async fn verify_session_password(
        &self,
        claims: &Claims,
        password: &SecretString,
        ip: IpAddr,
        now: Time,
    ) -> Result<User, ApiError> {
        let user = UserId::from(claims.sub.as_str());
        let presented = PresentedPassword {
            claimant: PasswordClaimant::Session {
                user: &user,
                session: claims.sid.as_deref().unwrap_or_default(),
            },
            password,
            ip,
            now,
        };
        let verified = self.verify_under_throttle(&presented).await;
        let VerifiedPassword { user, attempt } =
            verified.inspect_err(|error| refused_attempts::log_in_session(&user, ip, error))?;
        self.throttle.refund_attempt(attempt).await;
        Ok(user)
    }

    async fn verify_under_throttle(
        &self,
        presented: &PresentedPassword<'_>,
    ) -> Result<VerifiedPassword, ApiError> {
        let (mut claimant, now) = (presented.claimant, presented.now);
        let network = network_of(presented.ip);
        let names = self.budget_names_before_lookup(&claimant, &network);
        let mut checked = self.throttle.refuse_if_cached(names, now).await?;
        let give_up_at = Instant::now() + MAX_WAIT;
        let mut from = AttemptNetwork {
            network: &network,
            is_known: false,
        };
        loop {
            let permit = match self
                .passwords
                .acquire_permit(self.priority(&claimant, &network), &network)
                .await
            {
                Ok(permit) => permit,
                Err(busy) => return Err(self.throttle.pace_refusal(busy).await),
            };
            let found = self.find_user(&claimant).await?;
            if claimant.presents_only_foreign_devices(found.as_ref()) {
                // From here on the attempt is one of a stranger: it waits once more, in their queue.
                drop(permit);
                claimant = claimant.without_devices();
                let names = self.budget_names_before_lookup(&claimant, &network);
                checked = self.throttle.refuse_if_cached(names, now).await?;
                continue;
            }
            let budgets = self.budgets(&claimant, found.as_ref(), &from);
            match self.throttle.charge(&budgets, &checked, now).await {
                Ok(AdmissionResult::Charged(counters)) => {
                    let permit = Some(permit);
                    let attempt = ThrottleTicket { counters, permit };
                    return self.verify_charged_attempt(attempt, found, presented).await;
                }
                // The permit is not held during the wait: attempts in flight need one.
                Ok(AdmissionResult::Pending) => drop(permit),
                Err(refusal) => {
                    let is_known = !from.is_known
                        && self
                            .is_known_network(&claimant, found.as_ref(), &network, &refusal)
                            .await?;
                    drop(permit);
                    if !is_known {
                        return Err(self.throttle.pace_refusal(refusal).await);
                    }
                    from.is_known = true;
                    continue;
                }
            }
            if Instant::now() >= give_up_at {
                return Err(ApiError::unavailable(AttemptsPending));
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }

    fn priority(&self, claimant: &PasswordClaimant<'_>, network: &str) -> HashingPriority {
        match claimant {
            PasswordClaimant::Login { devices: [], .. }
                if self.throttle.has_recent_failure(network) =>
            {
                HashingPriority::UnknownAfterFailure
            }
            PasswordClaimant::Login { devices: [], .. } => HashingPriority::UnknownClient,
            PasswordClaimant::Login { .. } | PasswordClaimant::Session { .. } => {
                HashingPriority::KnownClient
            }
        }
    }

    async fn find_user(
        &self,
        claimant: &PasswordClaimant<'_>,
    ) -> Result<Option<UserWithHash>, StoreError> {
        match claimant {
            PasswordClaimant::Login { username, .. } => {
                let owner = match EmailAddress::parse(username) {
                    Ok(address) => self.store.user_with_hash_by_address(&address.key()).await?,
                    Err(_) => None,
                };
                let mut named = None;
                for name in stored_forms(username) {
                    named = self.store.user_with_hash_by_name(&name).await?;
                    if named.is_some() {
                        break;
                    }
                }
                // A verified address wins over a user name of the same spelling: its owner has proved it. Both are
                // looked up, so that the time does not show whether an account has the address.
                Ok(owner.or(named))
            }
            PasswordClaimant::Session { user, .. } => self.store.user_with_hash(user).await,
        }
    }

    /// Verifies the password of a charged attempt. A failure is reported only after it was counted.
    async fn verify_charged_attempt(
        &self,
        attempt: ThrottleTicket,
        found: Option<UserWithHash>,
        presented: &PresentedPassword<'_>,
    ) -> Result<VerifiedPassword, ApiError> {
        let permit = attempt.permit.as_ref();
        let verdict = self
            .verify_hash(permit, found.as_ref(), presented.password)
            .await;
        let verdict = match verdict {
            Ok(verdict) => verdict,
            Err(fault) => {
                self.throttle.refund_attempt(attempt).await;
                return Err(fault);
            }
        };
        let found = found.filter(|found| !found.user.is_disabled());
        if let (PasswordVerdict::Right | PasswordVerdict::Outdated, Some(found)) = (verdict, found)
        {
            let user = found.user;
            // The next password can be hashed while the session is created.
            let attempt = ThrottleTicket {
                permit: None,
                ..attempt
            };
            return Ok(VerifiedPassword { user, attempt });
        }
        self.throttle
            .record_failure(attempt, presented.ip, presented.now)
            .await?;
        Err(ApiError::InvalidCredentials)
    }

    /// Verifies a password, and replaces a stored hash whose cost differs from the configured one.
    async fn verify_hash(
        &self,
        permit: Option<&HashingPermit>,
        found: Option<&UserWithHash>,
        password: &SecretString,
    ) -> Result<PasswordVerdict, ApiError> {
        let Some(permit) = permit else {
            return Err(ApiError::misconfigured("an attempt has no permit"));
        };
        let stored = found.map(|found| found.password_hash.expose_secret());
        let verdict = permit.verify(password.clone(), stored).await?;
        if let (PasswordVerdict::Outdated, Some(found)) = (verdict, found)
            && !found.user.is_disabled()
        {
            let hash = SecretString::from(permit.hash(password.clone()).await?);
            self.store.upgrade_hash(found, &hash).await?;
        }
        Ok(verdict)
    }
}

impl PasswordClaimant<'_> {
    /// Returns whether this login presents devices, and none of them is known to its account.
    fn presents_only_foreign_devices(&self, found: Option<&UserWithHash>) -> bool {
        match self {
            Self::Session { .. } | Self::Login { devices: [], .. } => false,
            Self::Login { devices, .. } => {
                found.is_none_or(|found| find_known_device(&found.user, devices).is_none())
            }
        }
    }

    /// Returns the same party without its devices: a stranger.
    fn without_devices(self) -> Self {
        match self {
            Self::Login { username, .. } => Self::Login {
                username,
                devices: &[],
            },
            Self::Session { .. } => self,
        }
    }
}

fn find_known_device<'a>(user: &User, devices: &'a [KnownDevice]) -> Option<&'a KnownDevice> {
    devices.iter().find(|known| known.belongs_to(&user.id))
}
