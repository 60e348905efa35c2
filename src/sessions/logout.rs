//! Revocation of sessions and tokens: first in SQL, then in every copy of the denylist, then the response.

use crate::denylist::DenylistBackend;
use crate::error::ApiError;
use crate::ids::{SessionId, UserId};
use crate::metrics::Metrics;
use crate::rotation::RevokeReason;
use crate::security_events::Actor;
use crate::store::{Revocation, Store, StoreError};
use crate::token_issuer::is_service_token;
use crate::token_lifetimes::TokenLifetimes;
use latchet_guard::clock::{Clock, Time};
use latchet_guard::denylist::{Denial, TokenIds, TokenStatus};
use latchet_guard::error::{AuthError, InvalidToken};
use latchet_guard::token::{Claims, MAX_LEEWAY};

/// Ends sessions and denies tokens. Clones share the denylist.
#[derive(Clone, Debug)]
pub struct Revocations {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) denylist: DenylistBackend,
    pub(crate) token_lifetimes: TokenLifetimes,
    pub(crate) metrics: Option<Metrics>,
}

impl Revocations {
    /// Ends one session as an administrator.
    ///
    /// # Errors
    /// As [`Revocations::log_out_session`].
    pub async fn end_session_as_administrator(
        &self,
        id: &SessionId,
        by: &Actor,
    ) -> Result<(), ApiError> {
        self.end_one_session(id, None, RevokeReason::Admin, Some(by))
            .await
    }

    /// Ends one session, of `owner` if given, at the request of its user.
    ///
    /// # Errors
    /// `not_found`; `unavailable` when the end is not certain: retry.
    pub async fn log_out_session(
        &self,
        id: &SessionId,
        owner: Option<&UserId>,
    ) -> Result<(), ApiError> {
        self.end_one_session(id, owner, RevokeReason::Logout, None)
            .await
    }

    /// Returns the session that an access token belongs to, even if that session has ended: a second logout
    /// is no error.
    ///
    /// # Errors
    /// `token_revoked` for a token that was revoked on its own; `insufficient_scope` for the token of a service,
    /// whose `sid` is no session; `unavailable`.
    pub async fn session_of_access_token(&self, claims: &Claims) -> Result<SessionId, ApiError> {
        if is_service_token(claims) {
            return Err(AuthError::InsufficientScope.into());
        }
        let now = self.clock.now();
        // A token that was revoked on its own is refused, although its session is active. An outdated
        // token still proves which session it belongs to.
        let ids = TokenIds {
            sid: None,
            ..TokenIds::from(claims)
        };
        let status = self.denylist.list().check(ids, now).await?;
        match claims.sid.as_deref() {
            Some(sid) if status != TokenStatus::Revoked => Ok(SessionId::from(sid)),
            Some(_) => Err(AuthError::TokenRevoked.into()),
            None => Err(AuthError::InvalidToken(InvalidToken::NoSession).into()),
        }
    }

    /// Ends a session at the request of its user. A session that has ended, or was deleted, is no error.
    ///
    /// # Errors
    /// `unavailable` when the end is not certain: retry.
    pub async fn log_out(&self, id: &SessionId) -> Result<(), ApiError> {
        match self.log_out_session(id, None).await {
            Err(ApiError::NotFound(_)) => Ok(()),
            done => done,
        }
    }

    /// Ends the session that a login in the same browser has replaced: no client has its refresh token any
    /// more. The login is valid even if this fails.
    pub async fn end_replaced_session(&self, id: &SessionId) {
        let reason = RevokeReason::Replaced;
        match self.end_one_session(id, None, reason, None).await {
            // It has ended already.
            Ok(()) | Err(ApiError::NotFound(_)) => {}
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(session.id = %id, error,
                    "cannot end a session that a login has replaced");
            }
        }
    }

    /// Ends a session: first in SQL, then in every copy of the denylist.
    async fn end_one_session(
        &self,
        id: &SessionId,
        owner: Option<&UserId>,
        reason: RevokeReason,
        by: Option<&Actor>,
    ) -> Result<(), ApiError> {
        let now = self.clock.now();
        let revocation = self.revocation(reason, now).await?;
        let denials = self
            .store
            .revoke_session(id, owner, &revocation, by)
            .await?;
        if denials.is_empty() {
            return Err(ApiError::NotFound("there is no such session"));
        }
        self.deny(&denials, now).await?;
        tracing::info!(session.id = %id, reason = reason.as_str(), "session ended");
        Ok(())
    }

    /// Ends every session of a user.
    ///
    /// # Errors
    /// `unavailable` when the end is not certain: retry.
    pub async fn end_all_sessions(
        &self,
        user: &UserId,
        reason: RevokeReason,
        by: &Actor,
    ) -> Result<(), ApiError> {
        let now = self.clock.now();
        let revocation = self.revocation(reason, now).await?;
        let denied = self
            .store
            .revoke_all_sessions(user, None, &revocation, by)
            .await;
        match denied {
            Ok(denial) => self.deny(&[denial], now).await?,
            // A token of another issuer may name a user that does not exist here.
            Err(StoreError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
        tracing::info!(user.id = %user, reason = reason.as_str(), "sessions ended");
        Ok(())
    }

    /// Denies one access token; its session continues (RFC 7009 on an access token).
    ///
    /// # Errors
    /// `unavailable` when the denial is not certain: retry.
    pub async fn revoke_access_token(&self, claims: &Claims) -> Result<(), ApiError> {
        let now = self.clock.now();
        let not_after = claims.expires_at() + MAX_LEEWAY;
        let denial = self.store.revoke_token(&claims.jti, not_after, now).await?;
        self.deny(&[denial], now).await?;
        Ok(())
    }

    /// Writes denials to the denylist, where every check sees them.
    pub(crate) async fn deny(&self, denials: &[Denial], now: Time) -> Result<(), ApiError> {
        self.denylist.deny(denials, now).await?;
        if let Some(metrics) = &self.metrics {
            metrics.count_denials(denials.len());
        }
        Ok(())
    }

    /// Returns a revocation that takes effect now.
    pub(crate) async fn revocation(
        &self,
        reason: RevokeReason,
        now: Time,
    ) -> Result<Revocation, ApiError> {
        let period = self.token_lifetimes.denial_period(now).await?;
        Ok(Revocation { reason, period })
    }
}
