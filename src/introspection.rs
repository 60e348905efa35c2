//! Introspection and revocation of tokens that clients hold.

use std::sync::Arc;

use super::error::ApiError;
use super::ids::UserId;
use super::names::{ClientId, USERNAME_CLAIM};
use super::refresh_token::RefreshTokenCodec;
use super::rotation::{Grace, RotationDecision, decide};
use super::sessions::{Revocations, require_client};
use super::store::{FIRST_PARTY_CLIENT_ID, Session, SessionWithOwner, Store};
use latchet_guard::clock::Clock;
use latchet_guard::denylist::TokenStatus;
use latchet_guard::error::AuthError;
use latchet_guard::token::{Claims, ExpectedKind, Verifier};

/// Result of the introspection of a token.
#[derive(Debug)]
pub enum IntrospectionOutcome {
    /// The token is not ours, has expired, or was superseded or revoked.
    Inactive,
    /// An access token that is accepted.
    Access {
        /// Its claims.
        claims: Arc<Claims>,
        /// Name of its user; `None` if a token of another issuer names no user of this server.
        username: Option<String>,
    },
    /// A refresh token that would be accepted.
    Refresh {
        /// Its session.
        session: Box<Session>,
        /// Name of its user.
        username: String,
    },
}

/// Introspection and revocation of tokens.
#[derive(Debug)]
pub struct Introspection {
    /// True if tokens are accepted that were signed with the keys of other issuers.
    pub(super) accepts_foreign_keys: bool,
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) grace: Grace,
    pub(super) refresh_tokens: Arc<RefreshTokenCodec>,
    pub(super) verifier: Arc<Verifier>,
    pub(super) revocations: Revocations,
}

impl Introspection {
    /// Returns the user name in an accepted access token of this server. The account is enabled then: disabling it
    /// denies its tokens. Where keys of other issuers are accepted, no claim proves who signed a token, and the
    /// row of the user decides.
    pub fn username_in_token<'c>(&self, claims: &'c Claims) -> Option<&'c str> {
        if self.accepts_foreign_keys || claims.sid.is_none() {
            return None;
        }
        claims.extra.get(USERNAME_CLAIM)?.as_str()
    }

    /// Revokes a token (RFC 7009): a refresh token with its whole session, an access token alone. A token
    /// that is invalid already is no error.
    ///
    /// # Errors
    /// `invalid_grant` when the token was issued to another client than `client`, where one is named;
    /// `unavailable` when the end is not certain: retry.
    pub async fn revoke(&self, token: &str, client: Option<&ClientId>) -> Result<(), ApiError> {
        match self.refresh_tokens.verify(token) {
            Ok(presented) => {
                if client.is_some()
                    && let Some(current) = self.store.session(&presented.session).await?
                {
                    require_client(&current.session, client)?;
                }
                return self.revocations.log_out(&presented.session).await;
            }
            Err(AuthError::WrongTokenType) => {}
            Err(_) => return Ok(()),
        }
        match self
            .verifier
            .verify(token, ExpectedKind::Access, self.clock.now())
        {
            Ok(claims) => {
                let issued_to = claims.client_id.as_deref().unwrap_or(FIRST_PARTY_CLIENT_ID);
                if client.is_some_and(|client| client.as_str() != issued_to) {
                    return Err(ApiError::WrongClient);
                }
                self.revocations.revoke_access_token(&claims).await
            }
            Err(_) => Ok(()),
        }
    }

    /// Returns the state of a token (RFC 7662). Rotates nothing.
    ///
    /// # Errors
    /// `unavailable`: a token whose state cannot be read is never reported as inactive.
    pub async fn introspect(&self, token: &str) -> Result<IntrospectionOutcome, ApiError> {
        let now = self.clock.now();
        let presented = match self.refresh_tokens.verify(token) {
            Ok(presented) => presented,
            Err(AuthError::WrongTokenType) => return self.introspect_access(token).await,
            Err(_) => return Ok(IntrospectionOutcome::Inactive),
        };
        let session = self.store.session(&presented.session).await?;
        let accepted = session.filter(|SessionWithOwner { session, owner }| {
            let decision = decide(
                &session.state,
                presented.presented_generation(),
                now,
                self.grace,
            );
            matches!(decision, RotationDecision::Rotate | RotationDecision::Retry)
                && owner.disabled_at.is_none()
        });
        let Some(SessionWithOwner { session, owner }) = accepted else {
            return Ok(IntrospectionOutcome::Inactive);
        };
        Ok(IntrospectionOutcome::Refresh {
            username: owner.username,
            session: session.into(),
        })
    }

    /// Checks again an access token that was checked at the beginning of its request: the body may have
    /// arrived long after that.
    ///
    /// # Errors
    /// `token_revoked`, `token_outdated`, `unavailable`.
    pub async fn recheck_access_token(&self, claims: &Claims) -> Result<(), ApiError> {
        let now = self.clock.now();
        match self
            .revocations
            .denylist
            .list()
            .check(claims.into(), now)
            .await?
        {
            TokenStatus::NotDenied => Ok(()),
            TokenStatus::Revoked => Err(AuthError::TokenRevoked.into()),
            TokenStatus::Outdated => Err(AuthError::TokenOutdated.into()),
        }
    }

    async fn introspect_access(&self, token: &str) -> Result<IntrospectionOutcome, ApiError> {
        let now = self.clock.now();
        let Ok(claims) = self.verifier.verify(token, ExpectedKind::Access, now) else {
            return Ok(IntrospectionOutcome::Inactive);
        };
        let status = self
            .revocations
            .denylist
            .list()
            .check((&*claims).into(), now)
            .await?;
        if status != TokenStatus::NotDenied {
            return Ok(IntrospectionOutcome::Inactive);
        }
        let username = if let Some(name) = self.username_in_token(&claims) {
            Some(name.to_owned())
        } else {
            let user = self.store.user(&UserId::from(claims.sub.as_str())).await?;
            user.map(|user| user.username)
        };
        Ok(IntrospectionOutcome::Access { claims, username })
    }
}
