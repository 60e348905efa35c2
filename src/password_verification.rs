//! Verification of passwords under the throttle: the order in which an attempt is refused, admitted and
//! decided, and the budgets that it is charged to.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use unicode_normalization::UnicodeNormalization;

use super::error::ApiError;
use super::ids::UserId;
use super::names::{EmailAddress, fold_username, stored_forms};
use super::password::{HashingPermit, HashingPriority, PasswordHasher, PasswordVerdict};
use super::refused_attempts;
use super::sessions::LoginAttempt;
use super::store::{Store, StoreError, User, UserWithHash};
use super::throttle::{
    AdmissionResult, BudgetKind, BudgetName, KnownDevice, NamedBudget, Throttle, ThrottleTicket,
    network_of,
};
use latchet_guard::clock::Time;
use latchet_guard::token::Claims;

#[cfg(test)]
mod tests;

/// Longest wait of an attempt for the attempts in flight, if together they may use up a budget.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Time between two checks of such a budget.
const RETRY_INTERVAL: Duration = Duration::from_millis(25);

/// The role of services that may introspect tokens.
const INTROSPECT_ROLE: &str = "introspect";

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

/// Network that an attempt comes from.
#[derive(Clone, Copy, Debug)]
struct AttemptNetwork<'a> {
    network: &'a str,
    /// True if an earlier login to the account came from there.
    is_known: bool,
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
                // A verified address wins over a user name of the same spelling: its owner has proved it.
                if let Ok(address) = EmailAddress::parse(username) {
                    let found = self.store.user_with_hash_by_address(&address.key()).await?;
                    if found.is_some() {
                        return Ok(found);
                    }
                }
                for name in stored_forms(username) {
                    let found = self.store.user_with_hash_by_name(&name).await?;
                    if found.is_some() {
                        return Ok(found);
                    }
                }
                Ok(None)
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

    /// Returns the names under which this process may remember a refusal before it has looked the
    /// account up.
    fn budget_names_before_lookup(
        &self,
        claimant: &PasswordClaimant<'_>,
        network: &str,
    ) -> Vec<BudgetName> {
        match claimant {
            // Which budgets apply depends on the owner of the device, which is not known yet.
            PasswordClaimant::Login { devices, .. } if !devices.is_empty() => Vec::new(),
            PasswordClaimant::Login { username, .. } => {
                let in_network = self.network_budget_name(username, network);
                let is_unknown_network = self.throttle.is_unknown_network(&in_network);
                let mut names = vec![self.throttle.network_budget(network).cache_name, in_network];
                // Attempts from a network known to the account do not count against the budget of all strangers.
                if is_unknown_network {
                    names.push(self.throttle.cache_name(
                        BudgetKind::Account,
                        &budget_subject("", &folded_username(username)),
                    ));
                }
                names
            }
            PasswordClaimant::Session { .. } => Vec::new(),
        }
    }

    fn network_budget_name(&self, username: &str, network: &str) -> BudgetName {
        let named = budget_subject(network, &folded_username(username));
        self.throttle
            .cache_name(BudgetKind::AccountInNetwork, &named)
    }

    /// Returns whether an attempt was refused for the budget that strangers of all networks share, but
    /// comes from a network that is known to the account.
    async fn is_known_network(
        &self,
        claimant: &PasswordClaimant<'_>,
        found: Option<&UserWithHash>,
        network: &str,
        refusal: &ApiError,
    ) -> Result<bool, ApiError> {
        let (
            PasswordClaimant::Login { username, .. },
            ApiError::TooManyRequests {
                budget: BudgetKind::Account,
                ..
            },
        ) = (claimant, refusal)
        else {
            return Ok(false);
        };
        let name = self.network_budget_name(username, network);
        self.throttle.is_known_network(&name, found, network).await
    }

    /// Returns the budgets that an attempt is charged to, in the fixed order of their kinds.
    fn budgets(
        &self,
        claimant: &PasswordClaimant<'_>,
        found: Option<&UserWithHash>,
        from: &AttemptNetwork<'_>,
    ) -> Vec<NamedBudget> {
        let user = found.map(|found| &found.user);
        match claimant {
            PasswordClaimant::Session { user, session } => {
                vec![self.throttle.session_budget(user, session)]
            }
            PasswordClaimant::Login { username, devices } => {
                match (user, user.and_then(|user| find_known_device(user, devices))) {
                    // Failures of others in the same network do not affect a known device of the account.
                    (Some(user), Some(device)) => self.throttle.device_budgets(device, user).into(),
                    _ => self.stranger_budgets(username, user, from),
                }
            }
        }
    }

    /// Returns the budgets of a client that is not known to the account: one for its network at all
    /// accounts, one for its network at this account, and one that all such clients share. The last does
    /// not apply to networks that are known to the account: strangers elsewhere lock no user out there.
    fn stranger_budgets(
        &self,
        username: &str,
        user: Option<&User>,
        from: &AttemptNetwork<'_>,
    ) -> Vec<NamedBudget> {
        let network = from.network;
        let name = folded_username(username);
        let is_address = EmailAddress::parse(username).is_ok();
        let budget = |kind, subject: &str, rate| {
            // Under the name as typed: an attempt is refused before the account is looked up.
            let named = budget_subject(subject, &name);
            let cache_name = self.throttle.cache_name(kind, &named);
            let budget = match (user, is_address) {
                (Some(user), false) => self.throttle.account_budget((kind, subject), rate, user),
                // One for each address: that of the account would show which name and which address belong together.
                (Some(user), true) => self.throttle.account_budget((kind, &named), rate, user),
                (None, _) => self.throttle.budget((kind, &named), rate),
            };
            NamedBudget {
                cache_name,
                ..budget
            }
        };
        let in_network = self.throttle.limits.account_in_network;
        let mut budgets = vec![
            self.throttle.network_budget(network),
            budget(BudgetKind::AccountInNetwork, network, in_network),
        ];
        if !from.is_known && !user.is_some_and(is_service) {
            let rate = self.throttle.limits.account;
            budgets.push(budget(BudgetKind::Account, "", rate));
        }
        budgets
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

/// Returns whether this is the account of a service. It has no budget that all networks share:
/// strangers would use it up, and a service has no browser that keeps the proof of a known device.
fn is_service(user: &User) -> bool {
    user.roles == [INTROSPECT_ROLE]
}

/// Returns the form in which names and addresses are compared, so that all spellings of one have one budget, whether or
/// not an account has it.
fn folded_username(username: &str) -> String {
    if let Ok(address) = EmailAddress::parse(username) {
        return address.key();
    }
    let name: String = username.nfkc().collect();
    fold_username(&name).nfc().collect()
}

/// Returns the key of a name in one network, or, with an empty `network`, in all of them.
fn budget_subject(network: &str, name: &str) -> String {
    format!("{network} {name}")
}
