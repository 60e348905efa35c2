//! Tokens as they are held by others: whose session one belongs to, what it says, how it ends.

use std::sync::Arc;

use super::App;
use super::error::ApiError;
use super::names::ClientId;
use super::rotation::{Decision, decide};
use super::sessions::require_client;
use super::store::{Current, FIRST_PARTY, Session, SessionId, UserId};
use crate::denylist::{TokenIds, TokenStatus};
use crate::error::AuthError;
use crate::token::{Claims, Expected};

/// What a token is worth now.
#[derive(Debug)]
pub enum Introspection {
    /// Nothing: it is not ours, has expired, was superseded or revoked.
    Inactive,
    /// An access token that is accepted.
    Access {
        /// Its claims.
        claims: Arc<Claims>,
        /// Name of its user; `None` where another issuer's token names nobody of this server.
        username: Option<String>,
    },
    /// A refresh token that would be answered.
    Refresh {
        /// Its session.
        session: Box<Session>,
        /// Name of its user.
        username: Option<String>,
    },
}

impl App {
    /// Returns the session that an access token or a refresh token belongs to, however that session
    /// fares: whoever logs out twice is told nothing new.
    ///
    /// # Errors
    /// The token's own faults.
    pub async fn session_of(&self, token: &str) -> Result<SessionId, ApiError> {
        match self.refresh_tokens.read(token) {
            Ok(shown) => return Ok(shown.session),
            Err(AuthError::WrongTokenType) => {}
            Err(fault) => return Err(fault.into()),
        }
        let now = self.clock.now();
        let claims = self.verifier.verify(token, Expected::Access, now)?;
        // A token that was revoked on its own is worth nothing, though its session lives. An outdated
        // one is still proof of whose session this is.
        let ids = TokenIds {
            sid: None,
            ..TokenIds::from(&*claims)
        };
        let status = self.denylist.list().check(ids, now).await?;
        match claims.sid.as_deref() {
            Some(sid) if status != TokenStatus::Revoked => Ok(SessionId::from(sid)),
            Some(_) => Err(AuthError::TokenRevoked.into()),
            None => Err(AuthError::InvalidToken("it belongs to no session").into()),
        }
    }

    /// Ends a session at its user's wish. One that has ended, or is long forgotten, is no error.
    ///
    /// # Errors
    /// `unavailable` when the end could not be made certain: ask again.
    pub async fn log_out(&self, id: &SessionId) -> Result<(), ApiError> {
        match self.log_out_device(id, None).await {
            Err(ApiError::NotFound(_)) => Ok(()),
            done => done,
        }
    }

    /// Makes a token worthless (RFC 7009): a refresh token with its whole session, an access token
    /// alone. One that is worthless already is no error.
    ///
    /// # Errors
    /// `invalid_grant` when the token was issued to another client than `client`, where one is named;
    /// `unavailable` when the end could not be made certain: ask again.
    pub async fn revoke(&self, token: &str, client: Option<&ClientId>) -> Result<(), ApiError> {
        match self.refresh_tokens.read(token) {
            Ok(shown) => {
                if client.is_some()
                    && let Some(current) = self.store.session(&shown.session).await?
                {
                    require_client(&current.session, client)?;
                }
                return self.log_out(&shown.session).await;
            }
            Err(AuthError::WrongTokenType) => {}
            Err(_) => return Ok(()),
        }
        match self
            .verifier
            .verify(token, Expected::Access, self.clock.now())
        {
            Ok(claims) => {
                let issued_to = claims.client_id.as_deref().unwrap_or(FIRST_PARTY);
                if client.is_some_and(|client| client.as_str() != issued_to) {
                    return Err(ApiError::AnotherClient);
                }
                self.revoke_token(&claims).await
            }
            Err(_) => Ok(()),
        }
    }

    /// Returns what a token is worth now (RFC 7662). Rotates nothing.
    ///
    /// # Errors
    /// `unavailable`: an answer that is not known is never given as "inactive".
    pub async fn introspect(&self, token: &str) -> Result<Introspection, ApiError> {
        let now = self.clock.now();
        let presented = match self.refresh_tokens.read(token) {
            Ok(presented) => presented,
            Err(AuthError::WrongTokenType) => return self.introspect_access(token).await,
            Err(_) => return Ok(Introspection::Inactive),
        };
        let session = self.store.session(&presented.session).await?;
        let accepted = session.filter(|Current { session, owner }| {
            let decision = decide(&session.state, presented.shown(), now, self.grace);
            matches!(decision, Decision::Rotate | Decision::Replay) && owner.disabled_at.is_none()
        });
        let Some(Current { session, .. }) = accepted else {
            return Ok(Introspection::Inactive);
        };
        Ok(Introspection::Refresh {
            username: self.username(session.user_id.clone()).await?,
            session: session.into(),
        })
    }

    async fn username(&self, id: UserId) -> Result<Option<String>, ApiError> {
        let user = self.store.user(&id).await?;
        Ok(user.map(|user| user.username))
    }

    /// Checks an access token again that was checked when its request began: the body may have arrived
    /// long after that.
    ///
    /// # Errors
    /// `token_revoked`, `token_outdated`, `unavailable`.
    pub async fn check_again(&self, claims: &Claims) -> Result<(), ApiError> {
        let now = self.clock.now();
        match self.denylist.list().check(claims.into(), now).await? {
            TokenStatus::NotDenied => Ok(()),
            TokenStatus::Revoked => Err(AuthError::TokenRevoked.into()),
            TokenStatus::Outdated => Err(AuthError::TokenOutdated.into()),
        }
    }

    async fn introspect_access(&self, token: &str) -> Result<Introspection, ApiError> {
        let now = self.clock.now();
        let Ok(claims) = self.verifier.verify(token, Expected::Access, now) else {
            return Ok(Introspection::Inactive);
        };
        let status = self.denylist.list().check((&*claims).into(), now).await?;
        if status != TokenStatus::NotDenied {
            return Ok(Introspection::Inactive);
        }
        let username = self.username(UserId::from(claims.sub.as_str())).await?;
        Ok(Introspection::Access { claims, username })
    }
}
