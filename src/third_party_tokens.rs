//! Third-party tokens: JWTs that a service such as Iterable requires from the backend of an app.
//!
//! They are signed with the third party's key and carry the claims that it reads. No guard of Latchet
//! accepts them: their key and their claims both differ.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::accounts::Accounts;
use super::config::RootSecret;
use super::config::profile_tables::{
    AllowedUsers, ClaimSource, ProfileSettings, SecretFileError, TokenProfileTables, UserAttribute,
};
use super::error::ApiError;
use super::ids::UserId;
use super::services::AuthenticatedService;
use super::store::User;
use latchet_guard::clock::Time;
use latchet_guard::keys::{KeyError, SigningKey};
use latchet_guard::token::{Claims, Issuer, Typ};

/// The profiles of one server.
pub struct TokenProfiles(BTreeMap<String, TokenProfile>);

/// One profile, ready to sign.
struct TokenProfile {
    settings: ProfileSettings,
    issuer: Issuer,
}

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
    /// Reads every key that the tables name.
    ///
    /// # Errors
    /// When one cannot be read, is weak, or is the `root` secret of this server.
    pub fn open(tables: &TokenProfileTables, root: &RootSecret) -> Result<Self, SecretFileError> {
        let profiles = tables.profiles.iter().map(|(name, settings)| {
            let key = settings.read_key()?;
            refuse_root_secret(root, key.private_bytes(), &settings.key_file)?;
            Ok((name.clone(), TokenProfile::new(settings.clone(), key)))
        });
        profiles.collect::<Result<_, _>>().map(Self)
    }
}

/// Prints the names alone.
impl fmt::Debug for TokenProfiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenProfiles")
            .field(&self.0.keys())
            .finish()
    }
}

/// Refuses a secret in a file that is the root secret.
pub(super) fn refuse_root_secret(
    root: &RootSecret,
    secret: &[u8],
    file: &Path,
) -> Result<(), SecretFileError> {
    if secret == root.expose().as_bytes() {
        let path = file.to_owned();
        return Err(SecretFileError::RootSecret { path });
    }
    Ok(())
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
            TokenRequester::Service(service, _) => self.settings.services.contains(&service.name),
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
}

impl ThirdPartyTokens {
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
        let found = self.profiles.0.get(profile);
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
            TokenRequester::Service(service, _) => service.name.as_str(),
        };
        tracing::info!(profile, user.id = %user.id, service = by, "third-party token issued");
        created.map_err(ApiError::internal)
    }
}

fn claim_value(source: &ClaimSource, user: &User) -> Value {
    match source {
        ClaimSource::User(UserAttribute::Id) => json!(user.id.as_str()),
        ClaimSource::User(UserAttribute::Username) => json!(user.username),
        ClaimSource::User(UserAttribute::Roles) => json!(user.roles),
        ClaimSource::Constant(constant) => json!(constant),
    }
}
