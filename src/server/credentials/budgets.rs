//! The budgets that an attempt to verify a password is charged to.

use unicode_normalization::UnicodeNormalization;

use super::{Prover, device_of};
use crate::clock::Time;
use crate::server::App;
use crate::server::error::ApiError;
use crate::server::names::fold_username;
use crate::server::store::{User, UserId, UserWithHash};
use crate::server::throttle::{BudgetKind, BudgetName, KnownDevice, NamedBudget, network};

/// The role of services that may introspect tokens.
const INTROSPECT: &str = "introspect";

/// Network that an attempt comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    pub(super) network: &'a str,
    /// True if an earlier login to the account came from there.
    pub(super) is_known: bool,
}

impl App {
    /// Returns the names under which this process may remember a refusal before it has looked the
    /// account up.
    pub(super) fn names_before_lookup(&self, by: &Prover<'_>, network: &str) -> Vec<BudgetName> {
        match by {
            // Which budgets apply depends on the owner of the device, which is not known yet.
            Prover::Login { devices, .. } if !devices.is_empty() => Vec::new(),
            Prover::Login { username, .. } => {
                let in_network = self.name_in_network(username, network);
                let is_unknown = self.throttle.is_unknown(&in_network);
                let mut names = vec![self.network_budget(network).remembered_as, in_network];
                // Attempts from a network known to the account do not count against the budget of all strangers.
                if is_unknown {
                    names.push(self.remembered_as(BudgetKind::Account, &at("", &folded(username))));
                }
                names
            }
            Prover::Session { .. } => Vec::new(),
        }
    }

    fn name_in_network(&self, username: &str, network: &str) -> BudgetName {
        let named = at(network, &folded(username));
        self.remembered_as(BudgetKind::AccountInNetwork, &named)
    }

    /// Returns whether a login to the account came from this network since its password was set. Queries
    /// the database, at most once a minute for an unknown network.
    ///
    /// # Errors
    /// `unavailable`.
    pub(super) async fn is_known_network(
        &self,
        by: &Prover<'_>,
        found: Option<&UserWithHash>,
        network_of_caller: &str,
    ) -> Result<bool, ApiError> {
        let Prover::Login { username, .. } = by else {
            return Ok(false);
        };
        let name = self.name_in_network(username, network_of_caller);
        if self.throttle.is_unknown(&name) {
            return Ok(false);
        }
        // The same work for an account that does not exist.
        let (user, since) = match found {
            Some(found) => (found.user.id.clone(), found.user.password_changed_at),
            None => (UserId::from(""), Time::from_millis(0)),
        };
        let addresses = self.store.addresses_of_logins(&user, since).await?;
        let mut addresses = addresses.iter().filter_map(|address| address.parse().ok());
        let is_known = addresses.any(|address| network(address) == network_of_caller);
        if !is_known {
            self.throttle.note_unknown(&name);
        }
        Ok(is_known)
    }

    /// Returns the budgets that an attempt is charged to, in the fixed order of their kinds.
    pub(super) fn budgets(
        &self,
        by: &Prover<'_>,
        found: Option<&UserWithHash>,
        from: &Origin<'_>,
    ) -> Vec<NamedBudget> {
        let user = found.map(|found| &found.user);
        match by {
            Prover::Session { user, session } => {
                let whom = format!("{user} {session}");
                let rate = self.config.throttle_account_ip;
                vec![self.budget((BudgetKind::Session, &whom), rate)]
            }
            Prover::Login { username, devices } => {
                match (user, user.and_then(|user| device_of(user, devices))) {
                    // Failures of others in the same network do not affect a known device of the account.
                    (Some(user), Some(device)) => self.device_budgets(device, user).into(),
                    _ => self.stranger_budgets(username, user, from),
                }
            }
        }
    }

    /// Returns the budgets of a known device: its own, and one that all known devices of the account
    /// share. Every login without a proof creates another device, so their number has no limit.
    fn device_budgets(&self, device: &KnownDevice, user: &User) -> [NamedBudget; 2] {
        let (own, all) = (
            self.config.throttle_account_ip,
            self.config.throttle_account,
        );
        [
            self.budget_of((BudgetKind::Device, device.id()), own, user),
            self.budget_of((BudgetKind::Devices, ""), all, user),
        ]
    }

    /// Returns the budgets of a client that is not known to the account: one for its network at all
    /// accounts, one for its network at this account, and one that all such clients share. The last does
    /// not apply to networks that are known to the account: strangers elsewhere lock no user out there.
    fn stranger_budgets(
        &self,
        username: &str,
        user: Option<&User>,
        from: &Origin<'_>,
    ) -> Vec<NamedBudget> {
        let network = from.network;
        let name = folded(username);
        let budget = |kind, whom: &str, rate| {
            // Under the name as typed: an attempt is refused before the account is looked up.
            let named = at(whom, &name);
            let remembered_as = self.remembered_as(kind, &named);
            let budget = match user {
                Some(user) => self.budget_of((kind, whom), rate, user),
                None => self.budget((kind, &named), rate),
            };
            NamedBudget {
                remembered_as,
                ..budget
            }
        };
        let in_network = self.config.throttle_account_ip;
        let mut budgets = vec![
            self.network_budget(network),
            budget(BudgetKind::AccountInNetwork, network, in_network),
        ];
        if !from.is_known && !user.is_some_and(is_service) {
            let rate = self.config.throttle_account;
            budgets.push(budget(BudgetKind::Account, "", rate));
        }
        budgets
    }

    fn remembered_as(&self, kind: BudgetKind, whom: &str) -> BudgetName {
        let scope = format!("name {}", kind.as_str());
        BudgetName {
            kind,
            key: self.derived.throttle_name(&scope, whom),
        }
    }
}

/// Returns whether this is the account of a service. It has no budget that all networks share:
/// strangers would use it up, and a service has no browser that keeps the proof of a known device.
fn is_service(user: &User) -> bool {
    user.roles == [INTROSPECT]
}

/// Returns the form in which names are compared, so that one account has one budget.
fn folded(username: &str) -> String {
    let name: String = username.nfkc().collect();
    fold_username(&name).nfc().collect()
}

/// Returns the key of a name in one network, or, with an empty `network`, in all of them.
fn at(network: &str, name: &str) -> String {
    format!("{network} {name}")
}
