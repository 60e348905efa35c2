//! Services: programs that authenticate with a name and a secret. They receive access tokens for themselves
//! (RFC 6749, 4.4) and tokens of third parties, and may introspect and revoke tokens.
//!
//! The settings name the services. The database knows which of their secrets have ended: it is asked at each
//! request, so that a secret that was removed or revoked is refused by every replica.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::config::RootSecret;
use super::config::profile_tables::{
    SecretFileError, SecretHash, ServiceSettings, TokenProfileTables,
};
use super::error::ApiError;
use super::ids::CredentialId;
use super::refused_attempts;
use super::sessions::{Revocations, resolve_scopes};
use super::store::{ConfiguredCredential, StoreError};
use super::third_party_tokens::refuse_root_secret;
use super::throttle::{BudgetKind, Throttle, network_of};
use super::token_issuer::{IssuedServiceToken, TokenIssuer};
use latchet_guard::clock::Time;

/// The services in the settings of one server.
pub struct ServiceRegistry(BTreeMap<String, ServiceProfile>);

/// Secrets and rights of one service.
struct ServiceProfile {
    secrets: Vec<SecretHash>,
    scopes: Vec<String>,
    may_introspect: bool,
}

/// Credentials that a service presents. They are not verified yet.
#[derive(Debug)]
pub struct ServiceCredentials {
    /// Name of the service.
    pub name: String,
    /// Secret of the service.
    pub secret: SecretString,
}

/// A service that has authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticatedService {
    /// Its name: the `client_id` of its tokens.
    pub name: String,
    /// The credential that it presented: the `sid` of its tokens.
    pub credential: CredentialId,
}

impl ServiceRegistry {
    /// Reads the secret of every service that is not disabled.
    ///
    /// # Errors
    /// When one cannot be read, is weak, or is the `root` secret of this server.
    pub fn open(tables: &TokenProfileTables, root: &RootSecret) -> Result<Self, SecretFileError> {
        let enabled = tables.services.iter();
        let services = enabled
            .filter(|(_, settings)| !settings.disabled)
            .map(|(name, settings)| Ok((name.clone(), ServiceProfile::open(settings, root)?)));
        services.collect::<Result<_, _>>().map(Self)
    }

    /// Returns whether a name is that of a service, which must authenticate.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Returns whether there are no services.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the hash of the presented secret if it is one of the service. An unknown name takes as long as a
    /// wrong secret.
    fn verify(&self, presented: &ServiceCredentials) -> Option<SecretHash> {
        let hash = SecretHash::of(&presented.secret);
        let service = self.0.get(&presented.name);
        let known = service.map_or(&[][..], |service| &service.secrets);
        // Each is compared, also after a match.
        let matching = known.iter().filter(|secret| secret.matches(&hash)).count();
        (matching > 0).then_some(hash)
    }

    fn credentials(&self) -> Vec<ConfiguredCredential> {
        let services = self.0.iter();
        let credentials = services.flat_map(|(name, service)| {
            let secrets = service.secrets.iter();
            secrets.map(|secret| credential(name, secret))
        });
        credentials.collect()
    }
}

/// Prints the names, but no hash of a secret.
impl fmt::Debug for ServiceRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServiceRegistry")
            .field(&self.0.keys())
            .finish()
    }
}

impl ServiceProfile {
    fn open(settings: &ServiceSettings, root: &RootSecret) -> Result<Self, SecretFileError> {
        let mut secrets = settings.secret_hashes.clone();
        if let (Some(file), Some(secret)) = (&settings.secret_file, settings.read_secret()?) {
            refuse_root_secret(root, secret.expose_secret().as_bytes(), file)?;
            secrets.push(SecretHash::of(&secret));
        }
        secrets.sort_by_key(SecretHash::to_string);
        secrets.dedup();
        Ok(Self {
            secrets,
            scopes: settings.scopes.clone(),
            may_introspect: settings.introspection,
        })
    }
}

fn credential(name: &str, secret: &SecretHash) -> ConfiguredCredential {
    ConfiguredCredential {
        service: name.to_owned(),
        secret_hash: secret.to_string(),
    }
}

/// Authenticates services, and issues tokens to them.
#[derive(Debug)]
pub struct Services {
    /// The services in the settings.
    pub registry: ServiceRegistry,
    pub(super) revocations: Revocations,
    pub(super) throttle: Arc<Throttle>,
    pub(super) issuer: Arc<TokenIssuer>,
}

impl Services {
    /// Makes the credentials in the database those of the settings: tokens of a service that was removed from the
    /// settings, or disabled there, are denied from now on.
    ///
    /// # Errors
    /// When the database does not respond.
    pub(super) async fn reconcile(&self) -> Result<(), StoreError> {
        let now = self.revocations.clock.now();
        let period = self.revocations.token_lifetimes.denial_period(now).await?;
        let configured = self.registry.credentials();
        let store = &self.revocations.store;
        let changes = store
            .reconcile_service_credentials(&configured, period)
            .await?;
        for service in &changes.added {
            tracing::info!(service.name = service, "a credential of a service is new");
        }
        for service in &changes.ended {
            tracing::warn!(
                service.name = service,
                "a credential of a service is not in the settings any more: its tokens are refused"
            );
        }
        for service in &changes.revoked {
            tracing::warn!(
                service.name = service,
                "the settings contain a credential that was revoked: it stays refused; give the service a new secret"
            );
        }
        if let Err(error) = self.revocations.deny(&changes.denials, now).await {
            // SQL has the denials, and each copy of the denylist follows it.
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "cannot copy the denials of services yet");
        }
        Ok(())
    }

    /// Authenticates a service.
    ///
    /// Right credentials are accepted whatever was counted, and only wrong ones are counted: a secret is
    /// too random to be guessed in any number of attempts, and a client that knows the name of a service
    /// must not be able to lock it out by wrong guesses.
    ///
    /// # Errors
    /// `invalid_client`; `too_many_requests` after too many wrong credentials; `unavailable`.
    pub async fn authenticate(
        &self,
        presented: &ServiceCredentials,
        ip: IpAddr,
    ) -> Result<AuthenticatedService, ApiError> {
        let now = self.revocations.clock.now();
        if let Some(secret) = self.registry.verify(presented) {
            let credential = credential(&presented.name, &secret);
            let store = &self.revocations.store;
            if let Some(credential) = store.use_service_credential(&credential, now).await? {
                return Ok(AuthenticatedService {
                    name: presented.name.clone(),
                    credential,
                });
            }
        }
        let counted = self.count_failure(&presented.name, ip, now).await;
        let refusal = counted.err().unwrap_or(ApiError::InvalidClient);
        refused_attempts::log_service(&presented.name, ip, &refusal);
        Err(refusal)
    }

    /// Checks that a service may introspect tokens.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn require_introspection(&self, service: &AuthenticatedService) -> Result<(), ApiError> {
        let profile = self.registry.0.get(&service.name);
        if profile.is_some_and(|profile| profile.may_introspect) {
            return Ok(());
        }
        Err(ApiError::Forbidden(
            "this service may not introspect tokens: set `introspection = true` in its table",
        ))
    }

    /// Returns an access token of a service for itself, with the requested scopes or all that it may have.
    ///
    /// # Errors
    /// `invalid_scope`; `unavailable`.
    pub async fn issue_token(
        &self,
        service: &AuthenticatedService,
        scope: Option<&str>,
    ) -> Result<IssuedServiceToken, ApiError> {
        let profile = self.registry.0.get(&service.name);
        let all = profile.map_or(&[][..], |profile| &profile.scopes);
        let granted = resolve_scopes(all, scope)?;
        let now = self.revocations.clock.now();
        let issued = self
            .issuer
            .issue_service_token(service, &granted.scopes, now)
            .await?;
        tracing::info!(
            service.name = service.name,
            session.id = %service.credential,
            scope = issued.scope,
            "access token issued to a service"
        );
        Ok(issued)
    }

    /// Counts wrong credentials of a service, separately for each network they come from: a stranger cannot
    /// use up the budget of the service.
    async fn count_failure(&self, name: &str, ip: IpAddr, now: Time) -> Result<(), ApiError> {
        let network = network_of(ip);
        let budgets = [
            self.throttle.network_budget(&network),
            self.throttle.budget(
                (BudgetKind::ServiceInNetwork, &format!("{network} {name}")),
                self.throttle.limits.account_in_network,
            ),
        ];
        let attempt = self.throttle.charge_now(&budgets, now).await?;
        self.throttle.record_failure(attempt, ip, now).await
    }
}
