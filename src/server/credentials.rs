//! Verification of passwords under the throttle: the order in which an attempt is refused, admitted and
//! decided. The budgets that it is charged to are in [`budgets`].

use std::net::IpAddr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::App;
use super::error::ApiError;
use super::names::stored_forms;
use super::password::{Priority, Seat, Verdict};
use super::refused_attempts;
use super::sessions::Login;
use super::store::{StoreError, User, UserId, UserWithHash};
use super::throttle::{Admitted, BudgetKind, CountedAttempt, KnownDevice, network};
use crate::clock::Time;
use crate::token::Claims;

mod budgets;
#[cfg(test)]
mod tests;

use budgets::Origin;

/// Longest wait of an attempt for the attempts in flight, if together they may use up a budget.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Time between two checks of such a budget.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// A user whose password was right, and the attempt, whose charge is to be refunded.
#[derive(Debug)]
pub(super) struct Proved {
    pub(super) user: User,
    pub(super) attempt: CountedAttempt,
}

/// A password to be verified.
struct PresentedPassword<'a> {
    by: Prover<'a>,
    password: &'a SecretString,
    ip: IpAddr,
    now: Time,
}

/// The party that presents a password.
#[derive(Clone, Copy)]
enum Prover<'a> {
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
struct StillOccupied;

impl App {
    /// Verifies user name and password, and returns the user. Every failure costs the same work and has the
    /// same response.
    pub(super) async fn prove_login(&self, login: &Login, now: Time) -> Result<Proved, ApiError> {
        self.prove(&PresentedPassword {
            by: Prover::Login {
                username: &login.username,
                devices: &login.devices,
            },
            password: &login.password,
            ip: login.caller.ip,
            now,
        })
        .await
    }

    /// Verifies the password of the user of a session, and returns that user. Failures count against the
    /// session alone: guesses of strangers do not slow down a user that is signed in.
    pub(super) async fn prove_in_session(
        &self,
        claims: &Claims,
        password: &SecretString,
        ip: IpAddr,
        now: Time,
    ) -> Result<User, ApiError> {
        let user = UserId::from(claims.sub.as_str());
        let presented = PresentedPassword {
            by: Prover::Session {
                user: &user,
                session: claims.sid.as_deref().unwrap_or_default(),
            },
            password,
            ip,
            now,
        };
        let proved = self.prove(&presented).await;
        let Proved { user, attempt } =
            proved.inspect_err(|error| refused_attempts::log_in_session(&user, ip, error))?;
        self.forgive_attempt(attempt).await;
        Ok(user)
    }

    async fn prove(&self, presented: &PresentedPassword<'_>) -> Result<Proved, ApiError> {
        let (mut by, now) = (presented.by, presented.now);
        let network = network(presented.ip);
        let names = self.names_before_lookup(&by, &network);
        let mut checked = self.refuse_if_remembered(names, now).await?;
        let give_up_at = Instant::now() + LONGEST_WAIT;
        let mut from = Origin {
            network: &network,
            is_known: false,
        };
        loop {
            let seat = match self
                .passwords
                .seat(self.priority(&by, &network), &network)
                .await
            {
                Ok(seat) => seat,
                Err(busy) => return Err(self.paced(busy).await),
            };
            let found = self.find(&by).await?;
            if by.shows_devices_of_others(found.as_ref()) {
                // From here on the attempt is one of a stranger: it waits once more, in their queue.
                drop(seat);
                by = by.without_devices();
                let names = self.names_before_lookup(&by, &network);
                checked = self.refuse_if_remembered(names, now).await?;
                continue;
            }
            let budgets = self.budgets(&by, found.as_ref(), &from);
            match self.charge(&budgets, &checked, now).await {
                Ok(Admitted::Charged(counters)) => {
                    let seat = Some(seat);
                    let attempt = CountedAttempt { counters, seat };
                    return self.decide(attempt, found, presented).await;
                }
                // The seat is not held during the wait: attempts in flight need one.
                Ok(Admitted::Occupied) => drop(seat),
                Err(refusal) => {
                    let is_known = !from.is_known
                        && is_of_all_strangers(&refusal)
                        && self.is_known_network(&by, found.as_ref(), &network).await?;
                    drop(seat);
                    if !is_known {
                        return Err(self.paced(refusal).await);
                    }
                    from.is_known = true;
                    continue;
                }
            }
            if Instant::now() >= give_up_at {
                return Err(ApiError::unavailable(StillOccupied));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn priority(&self, by: &Prover<'_>, network: &str) -> Priority {
        match by {
            Prover::Login { devices: [], .. } if self.throttle.has_failed(network) => {
                Priority::AfterFailure
            }
            Prover::Login { devices: [], .. } => Priority::Stranger,
            Prover::Login { .. } | Prover::Session { .. } => Priority::Known,
        }
    }

    async fn find(&self, by: &Prover<'_>) -> Result<Option<UserWithHash>, StoreError> {
        match by {
            Prover::Login { username, .. } => {
                for name in stored_forms(username) {
                    let found = self.store.user_with_hash_by_name(&name).await?;
                    if found.is_some() {
                        return Ok(found);
                    }
                }
                Ok(None)
            }
            Prover::Session { user, .. } => self.store.user_with_hash(user).await,
        }
    }

    /// Verifies the password of a charged attempt. A failure is reported only after it was counted.
    async fn decide(
        &self,
        attempt: CountedAttempt,
        found: Option<UserWithHash>,
        presented: &PresentedPassword<'_>,
    ) -> Result<Proved, ApiError> {
        let seat = attempt.seat.as_ref();
        let verified = self.verify(seat, found.as_ref(), presented.password).await;
        let verdict = match verified {
            Ok(verdict) => verdict,
            Err(fault) => {
                self.forgive_attempt(attempt).await;
                return Err(fault);
            }
        };
        let found = found.filter(|found| !found.user.is_disabled());
        if let (Verdict::Right | Verdict::Outdated, Some(found)) = (verdict, found) {
            let user = found.user;
            return Ok(Proved { user, attempt });
        }
        self.record_failure(attempt, presented.ip, presented.now)
            .await?;
        Err(ApiError::InvalidCredentials)
    }

    /// Verifies a password, and replaces a stored hash whose cost differs from the configured one.
    async fn verify(
        &self,
        seat: Option<&Seat>,
        found: Option<&UserWithHash>,
        password: &SecretString,
    ) -> Result<Verdict, ApiError> {
        let Some(seat) = seat else {
            return Err(ApiError::misconfigured("an attempt has no seat"));
        };
        let stored = found.map(|found| found.password_hash.expose_secret());
        let verdict = seat.verify(password.clone(), stored).await?;
        if let (Verdict::Outdated, Some(found)) = (verdict, found)
            && !found.user.is_disabled()
        {
            let hash = SecretString::from(seat.hash(password.clone()).await?);
            self.store.upgrade_hash(found, &hash).await?;
        }
        Ok(verdict)
    }
}

impl Prover<'_> {
    /// Returns whether this login presents devices, and none of them is known to its account.
    fn shows_devices_of_others(&self, found: Option<&UserWithHash>) -> bool {
        match self {
            Self::Session { .. } | Self::Login { devices: [], .. } => false,
            Self::Login { devices, .. } => {
                found.is_none_or(|found| device_of(&found.user, devices).is_none())
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

/// Returns whether the used-up budget is the one that strangers of all networks share.
fn is_of_all_strangers(refusal: &ApiError) -> bool {
    matches!(
        refusal,
        ApiError::TooManyRequests {
            budget: BudgetKind::Account,
            ..
        }
    )
}

fn device_of<'a>(user: &User, devices: &'a [KnownDevice]) -> Option<&'a KnownDevice> {
    devices.iter().find(|known| known.is_of(&user.id))
}
