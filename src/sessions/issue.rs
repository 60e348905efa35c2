//! Issue of the tokens of a session.

use std::sync::Arc;

use secrecy::SecretString;

use crate::config::Config;
use crate::error::ApiError;
use crate::ids::{SessionId, UserId};
use crate::keyring::Keyring;
use crate::names::parse_scopes;
use crate::refresh_token::RefreshTokenCodec;
use crate::store::SessionWithOwner;
use crate::token_lifetimes::TokenLifetimes;
use latchet_guard::clock::Time;
use latchet_guard::token::{Claims, FreshClaim};

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

/// Claim of tokens that are limited to some scopes. Its value has no meaning.
pub(crate) const NARROWED_CLAIM: &str = "narrowed";

/// The scopes of a new session.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GrantedScopes {
    /// The granted scopes.
    pub(super) scopes: Vec<String>,
    /// True if these are fewer than all, because the login requested fewer.
    pub(super) is_narrowed: bool,
}

/// Issues the tokens of sessions.
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
    pub(crate) fn new(
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

    pub(crate) async fn issue_tokens(
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

    pub(super) async fn issue_access_token(
        &self,
        current: &SessionWithOwner,
        fresh: FreshClaim,
        now: Time,
    ) -> Result<IssuedAccessToken, ApiError> {
        let SessionWithOwner { session, owner } = current;
        let lifetime = self.token_lifetimes.lifetime_to_issue().await?;
        let scope = session.scope.join(" ");
        let mut claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: session.user_id.to_string(),
            client_id: Some(session.client().to_owned()),
            sid: Some(session.id.to_string()),
            fresh,
            auth_time: Some(session.auth_time.secs()),
            amr: session.amr.clone(),
            roles: owner.roles.clone(),
            authority_version: owner.authority_version,
            scope: Some(scope.clone()).filter(|scope| !scope.is_empty()),
            ..Claims::access(now, lifetime)
        };
        if session.is_narrowed {
            claims.extra.insert(NARROWED_CLAIM.to_owned(), true.into());
        }
        Ok(IssuedAccessToken {
            access_token: self
                .keyring
                .signer(now)
                .sign(&self.flask.add_to(claims))
                .map_err(ApiError::internal)?,
            expires_in: lifetime.as_secs(),
            scope,
            session_id: session.id.clone(),
            user_id: session.user_id.clone(),
        })
    }
}

/// Returns the scopes of a new session: the requested ones, or `all` that may be granted.
pub(super) fn resolve_scopes(
    all: &[String],
    asked: Option<&str>,
) -> Result<GrantedScopes, ApiError> {
    let asked = parse_scopes(asked.unwrap_or_default()).map_err(|_| ApiError::InvalidScope)?;
    if asked.is_empty() {
        return Ok(GrantedScopes {
            scopes: all.to_vec(),
            is_narrowed: false,
        });
    }
    let granted = all.iter().filter(|scope| asked.contains(&scope.as_str()));
    let scopes: Vec<String> = granted.cloned().collect();
    if asked
        .iter()
        .any(|scope| !scopes.iter().any(|known| known == scope))
    {
        return Err(ApiError::InvalidScope);
    }
    Ok(GrantedScopes {
        is_narrowed: scopes.len() < all.len(),
        scopes,
    })
}
