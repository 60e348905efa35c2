//! Issue of the tokens of sessions and of services.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::config::Config;
use super::error::ApiError;
use super::ids::{SessionId, UserId};
use super::keyring::Keyring;
use super::names::USERNAME_CLAIM;
use super::refresh_token::RefreshTokenCodec;
use super::services::AuthenticatedService;
use super::store::SessionWithOwner;
use super::token_lifetimes::TokenLifetimes;
use latchet_guard::clock::Time;
use latchet_guard::token::{Claims, FreshClaim, NARROWED_CLAIM};

/// Tokens that a login or a refresh returns.
#[derive(Debug)]
pub struct IssuedTokens {
    /// The access token, with its properties for the response.
    pub access: IssuedAccessToken,
    /// The session's one current refresh token.
    pub refresh_token: SecretString,
    /// Seconds until an unused session ends.
    pub refresh_expires_in: u64,
    /// The generation from which on CSRF values of the session are valid.
    pub csrf_epoch: u64,
}

/// An access token without a refresh token.
#[derive(Debug)]
pub struct IssuedAccessToken {
    /// The token.
    pub access_token: String,
    /// Lifetime in seconds.
    pub expires_in: u64,
    /// Scopes of the token, space-separated.
    pub scope: String,
    /// Its session.
    pub session_id: SessionId,
    /// Its user.
    pub user_id: UserId,
}

/// Longest lifetime of a token of a service. The next one needs no person, so a longer lifetime has no use.
const LONGEST_SERVICE_TOKEN_LIFETIME: Duration = Duration::from_mins(15);

/// Start of the `sub` of the tokens of services. Ids of users have no colon, so no user has such a `sub`.
const SERVICE_SUBJECT: &str = "service:";

/// An access token of a service.
#[derive(Debug)]
pub struct IssuedServiceToken {
    /// The token.
    pub access_token: String,
    /// Lifetime in seconds.
    pub expires_in: u64,
    /// Scopes of the token, space-separated.
    pub scope: String,
}

/// Returns whether a token is one that a service received for itself.
pub fn is_service_token(claims: &Claims) -> bool {
    claims.sub.starts_with(SERVICE_SUBJECT)
}

/// Issues the tokens of sessions and of services.
#[derive(Debug)]
pub struct TokenIssuer {
    issuer: String,
    audience: Vec<String>,
    flask: FlaskClaims,
    keyring: Keyring,
    refresh_tokens: Arc<RefreshTokenCodec>,
    token_lifetimes: TokenLifetimes,
}

/// The claims that Flask apps require in access tokens, if the settings enable support for them.
#[derive(Debug)]
struct FlaskClaims {
    /// Claim of Flask-JWT that names the user in addition to `sub`.
    identity: Option<String>,
    /// True if the tokens have the claims of Flask-JWT-Extended.
    is_extended: bool,
}

impl FlaskClaims {
    fn add_to(&self, mut claims: Claims) -> Claims {
        if let Some(name) = &self.identity {
            claims.extra.insert(name.clone(), claims.sub.clone().into());
        }
        if self.is_extended {
            claims = claims.with_csrf();
        }
        if self.identity.is_some() || self.is_extended {
            claims = claims.with_nbf();
        }
        claims
    }
}

impl TokenIssuer {
    /// Returns an issuer of tokens with these parts of a server.
    pub(super) fn new(
        config: &Config,
        keyring: Keyring,
        refresh_tokens: Arc<RefreshTokenCodec>,
        token_lifetimes: TokenLifetimes,
    ) -> Self {
        let identity = &config.compat_flask_jwt_identity;
        Self {
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            flask: FlaskClaims {
                identity: config.compat_flask_jwt.then(|| identity.clone()),
                is_extended: config.compat_flask_jwt_extended,
            },
            keyring,
            refresh_tokens,
            token_lifetimes,
        }
    }

    /// Returns the tokens of a session.
    ///
    /// # Errors
    /// `unavailable` when the lifetime cannot be announced; `internal` when there is no key.
    pub(super) async fn issue_tokens(
        &self,
        current: &SessionWithOwner,
        fresh: FreshClaim,
        now: Time,
    ) -> Result<IssuedTokens, ApiError> {
        let session = &current.session;
        Ok(IssuedTokens {
            access: self.issue_access_token(current, fresh, now).await?,
            refresh_token: self
                .refresh_tokens
                .issue(session)
                .map_err(ApiError::internal)?,
            refresh_expires_in: session.state.ends_at().since(now).as_secs(),
            csrf_epoch: session.csrf_epoch,
        })
    }

    /// Returns an access token of a session.
    ///
    /// # Errors
    /// As [`Self::issue_tokens`].
    pub(super) async fn issue_access_token(
        &self,
        current: &SessionWithOwner,
        fresh: FreshClaim,
        now: Time,
    ) -> Result<IssuedAccessToken, ApiError> {
        let SessionWithOwner { session, owner } = current;
        let lifetime = self.token_lifetimes.lifetime_to_issue().await?;
        let mut claims = Claims {
            sub: session.user_id.to_string(),
            client_id: Some(session.client().to_owned()),
            sid: Some(session.id.to_string()),
            fresh,
            auth_time: Some(session.auth_time.secs()),
            amr: session.amr.clone(),
            roles: owner.roles.clone(),
            authority_version: owner.authority_version,
            ..self.claims(&session.scope, now, lifetime)
        };
        let username = owner.username.as_str();
        claims
            .extra
            .insert(USERNAME_CLAIM.to_owned(), username.into());
        if session.is_narrowed {
            claims.extra.insert(NARROWED_CLAIM.to_owned(), true.into());
        }
        Ok(IssuedAccessToken {
            access_token: self.sign(claims, now)?,
            expires_in: lifetime.as_secs(),
            scope: session.scope.join(" "),
            session_id: session.id.clone(),
            user_id: session.user_id.clone(),
        })
    }

    /// Returns an access token of a service for itself (RFC 6749, 4.4). Its `sid` is the credential, so that the
    /// denylist refuses it when the credential ends. It is limited to its scopes: routes that check roles alone
    /// do not accept it.
    ///
    /// # Errors
    /// As [`Self::issue_tokens`].
    pub(super) async fn issue_service_token(
        &self,
        service: &AuthenticatedService,
        scopes: &[String],
        now: Time,
    ) -> Result<IssuedServiceToken, ApiError> {
        let lifetime = self.token_lifetimes.lifetime_to_issue().await?;
        let lifetime = lifetime.min(LONGEST_SERVICE_TOKEN_LIFETIME);
        let mut claims = Claims {
            sub: format!("{SERVICE_SUBJECT}{}", service.name),
            client_id: Some(service.name.clone()),
            sid: Some(service.credential.to_string()),
            ..self.claims(scopes, now, lifetime)
        };
        claims.extra.insert(NARROWED_CLAIM.to_owned(), true.into());
        Ok(IssuedServiceToken {
            access_token: self.sign(claims, now)?,
            expires_in: lifetime.as_secs(),
            scope: scopes.join(" "),
        })
    }

    /// Returns the claims that all access tokens have, without a subject.
    fn claims(&self, scopes: &[String], now: Time, lifetime: Duration) -> Claims {
        Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            scope: (!scopes.is_empty()).then(|| scopes.join(" ")),
            ..Claims::access(now, lifetime)
        }
    }

    fn sign(&self, claims: Claims, now: Time) -> Result<String, ApiError> {
        let signer = self.keyring.signer(now);
        let token = signer.sign(&self.flask.add_to(claims));
        token.map_err(ApiError::internal)
    }
}
