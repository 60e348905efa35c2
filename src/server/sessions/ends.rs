//! How sessions and tokens end: SQL, then every copy that checks ask, then the answer.

use std::time::Duration;

use crate::clock::Time;
use crate::denylist::Denial;
use crate::server::App;
use crate::server::error::ApiError;
use crate::server::events::Actor;
use crate::server::rotation::RevokeReason;
use crate::server::store::{Revocation, SessionId, UserId};
use crate::token::Claims;

/// By how much the clocks of replicas may differ: an access token may be dated after the end of its
/// session, or reach a replica before it was made.
pub(in crate::server) const CLOCK_SKEW: Duration = Duration::from_mins(1);

impl App {
    /// Ends one session as an administrator.
    ///
    /// # Errors
    /// As [`App::log_out_device`].
    pub async fn end_session(&self, id: &SessionId, by: &Actor) -> Result<(), ApiError> {
        self.revoke_session(id, None, RevokeReason::Admin, Some(by))
            .await
    }

    /// Ends one session, of `owner` where given, at its user's wish.
    ///
    /// # Errors
    /// `not_found`; `unavailable` when the end could not be made certain: ask again.
    pub async fn log_out_device(
        &self,
        id: &SessionId,
        owner: Option<&UserId>,
    ) -> Result<(), ApiError> {
        self.revoke_session(id, owner, RevokeReason::Logout, None)
            .await
    }

    /// SQL, then every copy that checks ask, then the answer.
    async fn revoke_session(
        &self,
        id: &SessionId,
        owner: Option<&UserId>,
        reason: RevokeReason,
        by: Option<&Actor>,
    ) -> Result<(), ApiError> {
        let now = self.clock.now();
        let revocation = self.revocation(reason, now);
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
    /// `unavailable` when the end could not be made certain: ask again.
    pub async fn end_sessions(
        &self,
        user: &UserId,
        reason: RevokeReason,
        by: &Actor,
    ) -> Result<(), ApiError> {
        let now = self.clock.now();
        let revocation = self.revocation(reason, now);
        let denials = self.store.revoke_all(user, None, &revocation, by).await?;
        self.deny(&denials, now).await?;
        tracing::info!(user.id = %user, reason = reason.as_str(), "sessions ended");
        Ok(())
    }

    /// Denies one access token and leaves its session alone (RFC 7009 on an access token).
    ///
    /// # Errors
    /// `unavailable` when it could not be made certain: ask again.
    pub async fn revoke_token(&self, claims: &Claims) -> Result<(), ApiError> {
        let now = self.clock.now();
        let not_after = claims.expires_at() + self.config.leeway;
        let denial = self.store.revoke_token(&claims.jti, not_after, now).await?;
        self.deny(&[denial], now).await?;
        Ok(())
    }

    /// Puts what was revoked where every check sees it.
    pub(in crate::server) async fn deny(
        &self,
        denials: &[Denial],
        now: Time,
    ) -> Result<(), ApiError> {
        self.denylist.deny(denials, now).await?;
        if let Some(metrics) = &self.metrics {
            metrics.denied(denials.len());
        }
        Ok(())
    }

    /// How long the end of a session must be remembered: no access token of it lives longer.
    pub(in crate::server) fn denied_for(&self) -> Duration {
        self.config.access_ttl + self.config.leeway + CLOCK_SKEW
    }

    /// Why and when sessions end now, and for how long that must be remembered.
    pub(in crate::server) fn revocation(&self, reason: RevokeReason, now: Time) -> Revocation {
        Revocation {
            reason,
            now,
            not_after: now + self.denied_for(),
        }
    }
}
