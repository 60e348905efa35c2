//! Operations for which the user of a session repeats the password.

use std::net::IpAddr;

use secrecy::SecretString;

use super::Sessions;
use crate::error::ApiError;
use crate::ids::{SessionId, UserId};
use crate::rotation::SessionEnd;
use crate::security_events::Actor;
use crate::token_issuer::{IssuedAccessToken, IssuedTokens};
use latchet_guard::token::{Claims, FreshClaim};

impl Sessions {
    /// Verifies the password again, and issues a fresh access token of the same session.
    ///
    /// # Errors
    /// `invalid_credentials`, `too_many_requests`, `session_revoked`.
    pub async fn reauthenticate(
        &self,
        claims: &Claims,
        password: SecretString,
        ip: IpAddr,
    ) -> Result<IssuedAccessToken, ApiError> {
        let now = self.clock.now();
        self.password_verification
            .verify_session_password(claims, &password, ip, now)
            .await?;
        let sid = claims
            .sid
            .as_deref()
            .map(SessionId::from)
            .ok_or(ApiError::SessionExpired)?;
        self.store.set_auth_time(&sid, now).await?;
        let current = self.store.session(&sid).await?;
        let current = current.ok_or(ApiError::SessionExpired)?;
        match current.session.end(now) {
            None => {
                self.issuer
                    .issue_access_token(&current, FreshClaim::Yes, now)
                    .await
            }
            Some(SessionEnd::Expired) => Err(ApiError::SessionExpired),
            Some(SessionEnd::Revoked(_)) => Err(ApiError::SessionRevoked),
        }
    }

    /// Changes a password. The current session continues with the tokens that are returned; all others
    /// end.
    ///
    /// # Errors
    /// `invalid_credentials` for a wrong current password; `weak_password`; `too_many_requests`;
    /// `session_expired` when the token belongs to no session, or to one that has ended.
    pub async fn change_password(
        &self,
        claims: &Claims,
        current: SecretString,
        new: SecretString,
        ip: IpAddr,
    ) -> Result<IssuedTokens, ApiError> {
        let session = claims.sid.as_deref().map(SessionId::from);
        let session = session.ok_or(ApiError::SessionExpired)?;
        let account = self
            .accounts
            .user(&UserId::from(claims.sub.as_str()))
            .await?;
        self.accounts.check_new_password(&new, &account.username)?;
        let now = self.clock.now();
        let user = self
            .password_verification
            .verify_session_password(claims, &current, ip, now)
            .await
            .map_err(|error| match error {
                ApiError::InvalidCredentials => ApiError::WrongCurrentPassword,
                other => other,
            })?;
        let by = Actor::User {
            id: user.id.clone(),
            session: Some(session),
            jti: claims.jti.clone(),
            authority_version: claims.authority_version,
            ip,
        };
        let kept = self.accounts.replace_password(&user, new, &by).await?;
        let kept = kept.ok_or(ApiError::SessionExpired)?;
        self.issuer
            .issue_tokens(&kept, FreshClaim::Yes, self.clock.now())
            .await
    }
}
