//! Third-party tokens: JWTs that a service such as Iterable requires from the backend of an app.
//!
//! They are signed with the third party's key and carry the claims that it reads. No guard of Latchet
//! accepts them: their key and their claims both differ.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::accounts::Accounts;
use super::config::RootSecret;
use super::config::profile_tables::{
    AllowedUsers, ClaimSource, ProfileSettings, SecretFileError, TokenProfileTables, UserAttribute,
};
use super::error::ApiError;
use super::ids::UserId;
use super::refused_attempts;
use super::store::User;
use super::throttle::{
    AdmissionResult, BudgetKind, CheckedBudgets, Throttle, ThrottleOverloaded, ThrottleTicket,
    network_of,
};
use latchet_guard::clock::Time;
use latchet_guard::keys::{KeyError, SigningKey};
use latchet_guard::token::{Claims, Issuer, Typ};

/// The profiles of one server, and the services that may use them.
pub struct TokenProfiles {
    profiles: BTreeMap<String, TokenProfile>,
    /// The hash of each service's secret, which is random enough to need no slow one.
    services: BTreeMap<String, Digest>,
}

/// One profile, ready to sign.
struct TokenProfile {
    settings: ProfileSettings,
    issuer: Issuer,
}

/// Credentials that a service presents. They are not verified yet.
#[derive(Debug)]
pub struct ServiceCredentials {
    /// Name of the service.
    pub name: String,
    /// Secret of the service.
    pub secret: SecretString,
}

/// The name of a service that has authenticated.
#[derive(Debug)]
pub struct AuthenticatedService(String);

/// Requester of a third-party token, which determines its user.
#[derive(Debug)]
pub enum TokenRequester<'a> {
    /// A user, by an access token that a guard accepted.
    User(&'a Claims),
    /// A service, on behalf of a user.
    Service(&'a AuthenticatedService, &'a UserId),
}

/// A token for a third party.
#[derive(Debug)]
pub struct ThirdPartyToken {
    /// The token.
    pub token: String,
    /// Lifetime in seconds.
    pub expires_in: u64,
}

impl TokenProfiles {
    /// Reads every key and secret that the tables name.
    ///
    /// # Errors
    /// When one cannot be read, is weak, or is the `root` secret of this server.
    pub fn open(tables: &TokenProfileTables, root: &RootSecret) -> Result<Self, SecretFileError> {
        let refuse_root = |secret: &[u8], path: &Path| {
            if secret == root.expose().as_bytes() {
                let path = path.to_owned();
                return Err(SecretFileError::RootSecret { path });
            }
            Ok(())
        };
        let profiles = tables.profiles.iter().map(|(name, settings)| {
            let key = settings.read_key()?;
            refuse_root(key.private_bytes(), &settings.key_file)?;
            Ok((name.clone(), TokenProfile::new(settings.clone(), key)))
        });
        let services = tables.services.iter().map(|(name, settings)| {
            let secret = settings.read_secret()?;
            refuse_root(secret.expose_secret().as_bytes(), &settings.secret_file)?;
            Ok((name.clone(), hash(&secret)))
        });
        Ok(Self {
            profiles: profiles.collect::<Result<_, SecretFileError>>()?,
            services: services.collect::<Result<_, SecretFileError>>()?,
        })
    }

    /// Authenticates a service. An unknown name takes as long as a wrong secret.
    fn authenticate(&self, presented: &ServiceCredentials) -> Option<AuthenticatedService> {
        let known = self.services.get(&presented.name);
        let presented_hash = hash(&presented.secret);
        let expected = known.map_or(&[0; 32][..], Digest::as_ref);
        let is_right = verify_slices_are_equal(presented_hash.as_ref(), expected).is_ok();
        (is_right && known.is_some()).then(|| AuthenticatedService(presented.name.clone()))
    }
}

/// Prints the names, but no hash of a secret.
impl fmt::Debug for TokenProfiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenProfiles")
            .field("profiles", &self.profiles.keys())
            .field("services", &self.services.keys())
            .finish_non_exhaustive()
    }
}

impl TokenProfile {
    fn new(settings: ProfileSettings, key: SigningKey) -> Self {
        // `typ` is JWT, which our own verifiers accept only if tokens of Flask apps are accepted.
        let is_asymmetric = key.algorithm().is_asymmetric();
        let mut issuer = Issuer::with_typ(Typ::Plain, key);
        if !is_asymmetric {
            issuer = issuer.without_kid();
        }
        Self { settings, issuer }
    }

    fn authorize(&self, requester: &TokenRequester<'_>, user: &User) -> Result<(), ApiError> {
        if user.is_disabled() {
            return Err(ApiError::Forbidden("this account is disabled"));
        }
        let may_ask = match requester {
            TokenRequester::Service(AuthenticatedService(name), _) => {
                self.settings.services.contains(name)
            }
            TokenRequester::User(_) => match &self.settings.users {
                AllowedUsers::None => false,
                AllowedUsers::Any => true,
                AllowedUsers::Role(role) => user.roles.contains(role),
            },
        };
        if !may_ask {
            return Err(ApiError::Forbidden(
                "you may not request tokens of this profile",
            ));
        }
        Ok(())
    }

    fn sign(&self, user: &User, now: Time) -> Result<ThirdPartyToken, KeyError> {
        let settings = &self.settings;
        let mut claims: Map<String, Value> = settings
            .claims
            .iter()
            .map(|(name, source)| (name.clone(), claim_value(source, user)))
            .collect();
        let constants = [("iss", &settings.issuer), ("aud", &settings.audience)];
        for (name, constant) in constants {
            claims.extend(constant.as_ref().map(|text| (name.to_owned(), json!(text))));
        }
        claims.insert("iat".to_owned(), json!(now.secs()));
        claims.insert("exp".to_owned(), json!((now + settings.lifetime).secs()));
        Ok(ThirdPartyToken {
            token: self.issuer.sign_custom(&claims)?,
            expires_in: settings.lifetime.as_secs(),
        })
    }
}

/// Issues third-party tokens to users and services.
#[derive(Debug)]
pub struct ThirdPartyTokens {
    pub(super) profiles: TokenProfiles,
    pub(super) accounts: Accounts,
    pub(super) throttle: Arc<Throttle>,
}

impl ThirdPartyTokens {
    /// Authenticates a service.
    ///
    /// Right credentials are accepted whatever was counted, and only wrong ones are counted: a secret is
    /// too random to be guessed in any number of attempts, and a client that knows the name of a service
    /// must not be able to lock it out by wrong guesses.
    ///
    /// # Errors
    /// `invalid_client`; `too_many_requests` after too many wrong credentials.
    pub async fn authenticate_service(
        &self,
        presented: &ServiceCredentials,
        ip: IpAddr,
    ) -> Result<AuthenticatedService, ApiError> {
        if let Some(service) = self.profiles.authenticate(presented) {
            return Ok(service);
        }
        let now = self.accounts.clock.now();
        let counted = self.count_failure(&presented.name, ip, now).await;
        let refusal = counted.err().unwrap_or(ApiError::InvalidClient);
        refused_attempts::log_service(&presented.name, ip, &refusal);
        Err(refusal)
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
        match self
            .throttle
            .charge(&budgets, &CheckedBudgets::none(), now)
            .await
        {
            Ok(AdmissionResult::Charged(counters)) => {
                let permit = None;
                self.throttle
                    .record_failure(ThrottleTicket { counters, permit }, ip, now)
                    .await
            }
            Ok(AdmissionResult::Pending) => Err(self
                .throttle
                .pace_refusal(ApiError::unavailable(ThrottleOverloaded))
                .await),
            Err(refusal) => Err(self.throttle.pace_refusal(refusal).await),
        }
    }

    /// Issues a third-party token.
    ///
    /// # Errors
    /// `not_found` for the profile or the user; `forbidden` for a profile that the requester may not use,
    /// and for a disabled user.
    pub async fn issue(
        &self,
        profile: &str,
        requester: &TokenRequester<'_>,
    ) -> Result<ThirdPartyToken, ApiError> {
        let found = self.profiles.profiles.get(profile);
        let found = found.ok_or(ApiError::NotFound("there is no such token profile"))?;
        let user = match requester {
            TokenRequester::User(claims) => {
                self.accounts
                    .user(&UserId::from(claims.sub.as_str()))
                    .await?
            }
            TokenRequester::Service(_, user) => self.accounts.user(user).await?,
        };
        found.authorize(requester, &user)?;
        let created = found.sign(&user, self.accounts.clock.now());
        let by = match requester {
            TokenRequester::User(_) => "",
            TokenRequester::Service(AuthenticatedService(name), _) => name,
        };
        tracing::info!(profile, user.id = %user.id, service = by, "third-party token issued");
        created.map_err(ApiError::internal)
    }
}

fn hash(secret: &SecretString) -> Digest {
    digest(&SHA256, secret.expose_secret().as_bytes())
}

fn claim_value(source: &ClaimSource, user: &User) -> Value {
    match source {
        ClaimSource::User(UserAttribute::Id) => json!(user.id.as_str()),
        ClaimSource::User(UserAttribute::Username) => json!(user.username),
        ClaimSource::User(UserAttribute::Roles) => json!(user.roles),
        ClaimSource::Constant(constant) => json!(constant),
    }
}
