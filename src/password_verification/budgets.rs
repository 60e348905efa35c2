//! The budgets that an attempt at a password is charged to.

use unicode_normalization::UnicodeNormalization;

use super::{PasswordClaimant, PasswordVerification, find_known_device};
use crate::error::ApiError;
use crate::names::{EmailAddress, fold_username};
use crate::store::{User, UserWithHash};
use crate::throttle::{BudgetKind, BudgetName, NamedBudget};

/// The role of services that may introspect tokens.
const INTROSPECT_ROLE: &str = "introspect";

/// Network that an attempt comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct AttemptNetwork<'a> {
    pub(super) network: &'a str,
    /// True if an earlier login to the account came from there.
    pub(super) is_known: bool,
}

impl PasswordVerification {
    /// Returns the names under which this process may remember a refusal before it has looked the
    /// account up.
    pub(super) fn budget_names_before_lookup(
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
    pub(super) async fn is_known_network(
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
    pub(super) fn budgets(
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
