//! Refresh by an OAuth client: with its name, and perhaps with fewer scopes.

use std::net::IpAddr;
use std::sync::Arc;

use secrecy::SecretString;

use super::Sessions;
use super::scopes::{narrow_scopes, resolve_narrowed_scopes};
use crate::error::ApiError;
use crate::names::ClientId;
use crate::store::{PresentedRefreshToken, Session, SessionWithOwner};
use crate::token_issuer::IssuedTokens;
use latchet_guard::token::FreshClaim;

/// A refresh request of an OAuth client.
#[derive(Debug)]
pub struct ClientRefresh<'a> {
    /// The refresh token.
    pub token: PresentedRefreshToken,
    /// The `Idempotency-Key`, if any.
    pub key: Option<&'a SecretString>,
    /// The client that the request names, if any.
    pub client: Option<&'a ClientId>,
    /// Scopes requested for the access token; `None` requests those of the session.
    pub scope: Option<&'a str>,
    /// Address of the client.
    pub ip: IpAddr,
}

impl Sessions {
    /// Exchanges a refresh token for the current tokens of its session (RFC 6749, 6).
    ///
    /// # Errors
    /// `invalid_grant` when the token was issued to another client than the request names; a scope that
    /// was not granted at login; otherwise as [`Sessions::refresh`]. Nothing is rotated in the first two cases.
    pub async fn refresh_for_client(
        &self,
        asked: ClientRefresh<'_>,
    ) -> Result<IssuedTokens, ApiError> {
        let scopes = self.check_client_refresh(&asked).await?;
        let now = self.clock.now();
        let mut current = self
            .rotate_session(asked.token, asked.key, asked.ip, now)
            .await?;
        if let Some(scopes) = scopes {
            narrow_scopes(&mut Arc::make_mut(&mut current).session, scopes);
        }
        self.issuer
            .issue_tokens(&current, FreshClaim::No, now)
            .await
    }

    /// Checks the client of the token and the requested scopes, which rotation does not, and returns these
    /// scopes. Neither the client nor the scopes of a session ever change.
    async fn check_client_refresh(
        &self,
        asked: &ClientRefresh<'_>,
    ) -> Result<Option<Vec<String>>, ApiError> {
        if asked.client.is_none() && asked.scope.is_none() {
            return Ok(None);
        }
        let session = self.store.session(&asked.token.session).await?;
        // A session that is deleted or has ended is refused by the rotation.
        let Some(SessionWithOwner { session, .. }) = session else {
            return Ok(None);
        };
        require_client(&session, asked.client)?;
        if session.end(self.clock.now()).is_some() {
            return Ok(None);
        }
        asked
            .scope
            .map(|scope| resolve_narrowed_scopes(&session, scope))
            .transpose()
    }
}

/// Refuses a client that is not the one a session belongs to. A request that names no client is accepted: the
/// name of a client proves nothing either.
pub(crate) fn require_client(session: &Session, client: Option<&ClientId>) -> Result<(), ApiError> {
    match client {
        Some(client) if client.as_str() != session.client() => Err(ApiError::WrongClient),
        _ => Ok(()),
    }
}
