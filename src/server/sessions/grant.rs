//! Issue of the tokens of a session.

use secrecy::SecretString;

use crate::clock::Time;
use crate::server::App;
use crate::server::error::ApiError;
use crate::server::names::scopes;
use crate::server::store::{Current, SessionId, UserId};
use crate::token::{Claims, Fresh};

/// Tokens that a login or a refresh returns.
#[derive(Debug)]
pub struct Grant {
    /// The access token, with its properties for the response.
    pub access: AccessGrant,
    /// The session's one current refresh token.
    pub refresh_token: SecretString,
    /// Seconds until an unused session ends.
    pub refresh_expires_in: u64,
    /// The generation from which on CSRF values of the session are valid.
    pub csrf_epoch: u64,
}

/// An access token without a refresh token.
#[derive(Debug)]
pub struct AccessGrant {
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
pub(in crate::server) const NARROWED: &str = "narrowed";

/// The scopes of a new session.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GrantedScope {
    /// The granted scopes.
    pub(super) scopes: Vec<String>,
    /// True if these are fewer than all, because the login requested fewer.
    pub(super) is_narrowed: bool,
}

impl App {
    pub(in crate::server) async fn grant(
        &self,
        current: &Current,
        fresh: Fresh,
        now: Time,
    ) -> Result<Grant, ApiError> {
        let session = &current.session;
        Ok(Grant {
            access: self.access(current, fresh, now).await?,
            refresh_token: self
                .refresh_tokens
                .mint(session)
                .map_err(ApiError::internal)?,
            refresh_expires_in: session.state.ends_at().since(now).as_secs(),
            csrf_epoch: session.csrf_epoch,
        })
    }

    pub(super) async fn access(
        &self,
        current: &Current,
        fresh: Fresh,
        now: Time,
    ) -> Result<AccessGrant, ApiError> {
        let Current { session, owner } = current;
        let lifetime = self.token_lifetimes.to_issue().await?;
        let scope = session.scope.join(" ");
        let mut claims = Claims {
            iss: self.config.issuer.clone(),
            aud: self.config.audience.clone(),
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
            claims.extra.insert(NARROWED.to_owned(), true.into());
        }
        Ok(AccessGrant {
            access_token: self
                .keyring
                .signer(now)
                .sign(&self.as_flask_reads(claims))
                .map_err(ApiError::internal)?,
            expires_in: lifetime.as_secs(),
            scope,
            session_id: session.id.clone(),
            user_id: session.user_id.clone(),
        })
    }

    /// Adds the claims that Flask apps require, if the settings enable support for them.
    fn as_flask_reads(&self, mut claims: Claims) -> Claims {
        if self.config.compat_flask_jwt {
            let name = self.config.compat_flask_jwt_identity.clone();
            claims.extra.insert(name, claims.sub.clone().into());
        }
        if self.config.compat_flask_jwt_extended {
            claims = claims.with_csrf();
        }
        if self.config.compat_flask_jwt || self.config.compat_flask_jwt_extended {
            claims = claims.with_nbf();
        }
        claims
    }

    /// Returns the scopes of a new session: the requested ones, or all that may be granted here.
    pub(super) fn grantable(&self, asked: Option<&str>) -> Result<GrantedScope, ApiError> {
        let all = &self.config.scopes;
        let asked = scopes(asked.unwrap_or_default()).map_err(|_| ApiError::InvalidScope)?;
        if asked.is_empty() {
            return Ok(GrantedScope {
                scopes: all.clone(),
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
        Ok(GrantedScope {
            is_narrowed: scopes.len() < all.len(),
            scopes,
        })
    }
}
