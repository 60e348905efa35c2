//! The budgets that an attempt to prove a password is charged to.

use unicode_normalization::UnicodeNormalization;

use super::{Prover, device_of};
use crate::server::App;
use crate::server::names::fold_username;
use crate::server::store::{User, UserWithHash};
use crate::server::throttle::{BudgetKind, BudgetName, KnownDevice, NamedBudget};

/// The role of services that may look into tokens.
const INTROSPECT: &str = "introspect";

impl App {
    /// Returns the names under which this process may remember a refusal before it has looked the
    /// account up.
    pub(super) fn names_before_lookup(&self, by: &Prover<'_>, network: &str) -> Vec<BudgetName> {
        match by {
            // It is not certain which budgets count before it is known whose device that is.
            Prover::Login { devices, .. } if !devices.is_empty() => Vec::new(),
            Prover::Login { username, .. } => vec![
                self.network_budget(network).remembered_as,
                self.remembered_as(
                    BudgetKind::AccountInNetwork,
                    &at(network, &folded(username)),
                ),
                self.remembered_as(BudgetKind::Account, &at("", &folded(username))),
            ],
            Prover::Session { .. } => Vec::new(),
        }
    }

    /// Returns the budgets that an attempt is charged to, in the one order of their kinds.
    pub(super) fn budgets(
        &self,
        by: &Prover<'_>,
        found: Option<&UserWithHash>,
        network: &str,
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
                    // Others in the same network do not concern a device that the account knows.
                    (Some(user), Some(device)) => self.device_budgets(device, user).into(),
                    _ => self.stranger_budgets(username, user, network),
                }
            }
        }
    }

    /// Returns the budgets of a known device: its own, and one for all known devices of the account
    /// together. Every login without a proof makes another device, so that alone they have no bound.
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

    /// Returns the budgets of those who are not known to the account: one for their network at all
    /// accounts, one for their network at this one, and one for all of them together.
    fn stranger_budgets(
        &self,
        username: &str,
        user: Option<&User>,
        network: &str,
    ) -> Vec<NamedBudget> {
        let name = folded(username);
        let budget = |kind, whom: &str, rate| {
            // By the name as typed: an attempt is refused before the account is looked up.
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
        if !user.is_some_and(is_service) {
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

/// Returns whether this is the account of a service. It has no budget that is shared by all networks:
/// strangers would use it up, and a service has no browser that keeps a proof.
fn is_service(user: &User) -> bool {
    user.roles == [INTROSPECT]
}

/// Returns the name as it is compared: what counts as one account is one budget.
fn folded(username: &str) -> String {
    let name: String = username.nfkc().collect();
    fold_username(&name).nfc().collect()
}

/// Returns what is counted of a name in one network, or in all of them.
fn at(network: &str, name: &str) -> String {
    format!("{network} {name}")
}
