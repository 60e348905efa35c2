//! Refuses profiles and services that are unsafe or unusable.

use std::time::Duration;

use super::{
    AllowedUsers, ClaimSource, ProfileSettings, ServiceSettings, TokenProfileTables, UserAttribute,
};
use crate::config::RegistrationPolicy;
use crate::names::is_scope;
use crate::store::FIRST_PARTY_CLIENT_ID;

const LONGEST_LIFETIME: Duration = Duration::from_hours(365 * 24);
const LONGEST_NAME: usize = 64;

/// Claims that have a separate setting, or that would make the token look like one of ours.
const RESERVED: [&str; 7] = ["iss", "aud", "iat", "nbf", "exp", "jti", "type"];

impl TokenProfileTables {
    /// Adds every reason to refuse these tables to `faults`, each with a fix.
    pub(in crate::config) fn check(
        &self,
        registration: RegistrationPolicy,
        faults: &mut Vec<String>,
    ) {
        for (name, profile) in &self.profiles {
            let found = profile.faults(self, registration);
            let name_fault = name_fault(name);
            let found = found.into_iter().chain(name_fault);
            faults.extend(found.map(|fault| format!("token_profiles.{name}: {fault}")));
        }
        for (name, service) in &self.services {
            // Sessions without a client belong to it.
            let is_own = name == FIRST_PARTY_CLIENT_ID;
            let own_fault = is_own.then(|| "this is the name of the server".to_owned());
            let found = service.faults().into_iter().chain(name_fault(name));
            let found = found.chain(own_fault);
            faults.extend(found.map(|fault| format!("token_services.{name}: {fault}")));
        }
    }
}

impl ServiceSettings {
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        match usize::from(self.secret_file.is_some()) + self.secret_hashes.len() {
            0 => faults.push(
                "it has no secret: set secret_file, or secret_hashes as `latchet service secret` prints them"
                    .to_owned(),
            ),
            1 | 2 => {}
            _ => faults.push("it may have two secrets at most: remove the oldest".to_owned()),
        }
        if let Err(error) = self.read_secret() {
            faults.push(error.to_string());
        }
        for scope in self.scopes.iter().filter(|scope| !is_scope(scope)) {
            faults.push(format!(
                "`{scope}` is not a scope: use visible ASCII characters without quotes and backslashes"
            ));
        }
        faults
    }
}

impl ProfileSettings {
    fn faults(&self, tables: &TokenProfileTables, registration: RegistrationPolicy) -> Vec<String> {
        let mut faults = Vec::new();
        if self.lifetime < Duration::from_secs(1) || self.lifetime > LONGEST_LIFETIME {
            faults.push("lifetime must be between 1s and 365d".to_owned());
        }
        if self.users == AllowedUsers::None && self.services.is_empty() {
            faults.push(
                "nobody may request its tokens: set users to \"any\" or { role = \"…\" }, or list services"
                    .to_owned(),
            );
        }
        let unknown = self.services.iter();
        for service in unknown.filter(|service| !tables.services.contains_key(*service)) {
            faults.push(format!(
                "there is no service `{service}`: add [token_services.{service}] with its secret_file"
            ));
        }
        self.check_claims(registration, &mut faults);
        if let Err(error) = self.read_key() {
            faults.push(error.to_string());
        }
        faults
    }

    fn check_claims(&self, registration: RegistrationPolicy, faults: &mut Vec<String>) {
        for name in self.claims.keys() {
            if RESERVED.contains(&name.as_str()) {
                faults.push(format!(
                    "the claim `{name}` cannot be set here: issuer, audience and lifetime set `iss`, `aud`, `iat` and `exp`; the other reserved claims are not written"
                ));
            }
        }
        let names_the_user = |source: &ClaimSource| {
            matches!(
                source,
                ClaimSource::User(UserAttribute::Id | UserAttribute::Username)
            )
        };
        if !self.claims.values().any(names_the_user) {
            faults.push(
                "its tokens would name no user: take a claim from the user's `id` or `username`"
                    .to_owned(),
            );
        }
        // At registration nobody proves that the user name is their own address.
        let is_address = |(name, source): (&String, &ClaimSource)| {
            name == "email" && *source == ClaimSource::User(UserAttribute::Username)
        };
        if registration == RegistrationPolicy::Open && self.claims.iter().any(is_address) {
            faults.push(
                "anyone could register with the address of another person: set LATCHET_REGISTRATION=closed, or name users by their `id` instead of `email`"
                    .to_owned(),
            );
        }
    }
}

/// Checks a name. Names are parts of URLs and of `Authorization: Basic`, where a colon ends them.
fn name_fault(name: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let fits = (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(allowed);
    (!fits).then(|| "a name has 1 to 64 letters, digits, `-` and `_`".to_owned())
}
