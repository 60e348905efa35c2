//! Decisions about login, refresh and logout. Their HTTP responses are built by the API.

use std::net::IpAddr;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::App;
use super::error::ApiError;
use super::refused_attempts;
use super::rotation::SessionEnd;
use super::store::{
    LoginDevice, NewSession, RotationOutcome, RotationSettings, SessionId, SessionPageRequest,
    SessionWithOwner, SessionWithUsername, StartedSession,
};
use super::throttle::KnownDevice;
use latchet_guard::clock::Time;
use latchet_guard::token::{Claims, FreshClaim};

mod client_refresh;
mod issue;
mod logout;

pub use client_refresh::ClientRefresh;
pub(super) use client_refresh::require_client;
pub(super) use issue::NARROWED_CLAIM;
use issue::resolve_scopes;
pub use issue::{FlaskClaims, IssuedAccessToken, IssuedTokens, TokenIssuer};
pub(super) use logout::CLOCK_SKEW;
pub use logout::Revocations;

/// Origin of a request, for the throttle and the list of devices. It proves nothing.
#[derive(Clone, Debug)]
pub struct ClientInfo {
    /// Address of the client, behind trusted proxies.
    pub ip: IpAddr,
    /// `User-Agent`, truncated for the list of devices.
    pub user_agent: String,
}

/// A login request.
#[derive(Debug)]
pub struct LoginAttempt {
    /// User name as typed.
    pub username: String,
    /// Password as typed.
    pub password: SecretString,
    /// Requested scopes, space-separated; `None` requests all that may be granted.
    pub scope: Option<String>,
    /// OAuth client; empty for the first party.
    pub client_id: String,
    /// Name that the user gave this device; empty for none.
    pub label: String,
    /// Proofs of accounts that this device is known to.
    pub devices: Vec<KnownDevice>,
    /// Origin of the request.
    pub client: ClientInfo,
}

impl App {
    /// Verifies user name and password, and starts a session.
    ///
    /// # Errors
    /// `invalid_credentials`, the same for unknown users, wrong passwords and disabled accounts;
    /// `too_many_requests` before any of them is checked; a scope that is not granted here.
    pub async fn login(&self, login: LoginAttempt) -> Result<IssuedTokens, ApiError> {
        let (username, ip) = (login.username.clone(), login.client.ip);
        let outcome = self.start_session(login).await;
        if let Err(error) = &outcome {
            refused_attempts::log_login(&username, ip, error);
        }
        if let Some(metrics) = &self.metrics {
            metrics.count_login(&outcome);
        }
        outcome
    }

    async fn start_session(&self, login: LoginAttempt) -> Result<IssuedTokens, ApiError> {
        let now = self.clock.now();
        let granted = resolve_scopes(&self.config.scopes, login.scope.as_deref())?;
        let verified = self
            .password_verification
            .verify_login_password(&login, now)
            .await?;
        let user = verified.user;
        let period = self.revocations.denial_period(now).await?;
        let new = NewSession {
            limit: self.config.max_sessions,
            period,
            expires_at: now + self.config.session_ttl,
            idle_limit: self.config.idle_ttl,
            amr: vec!["pwd".to_owned()],
            scope: granted.scopes,
            is_narrowed: granted.is_narrowed,
            client_id: login.client_id,
            device: LoginDevice {
                user_agent: login.client.user_agent,
                ip: login.client.ip.to_string(),
                label: login.label,
            },
        };
        let session = self
            .store
            .create_session(&user, new, &verified.attempt.counters, now)
            .await;
        if !matches!(session, Ok(Some(_))) {
            self.throttle.refund_attempt(verified.attempt).await;
        }
        let session = session?;
        // The account was disabled or its password changed after it was verified: as if that came first.
        let StartedSession { current, evicted } = session.ok_or(ApiError::InvalidCredentials)?;
        if !evicted.is_empty() {
            self.revocations.deny(&evicted, now).await?;
            tracing::info!(user.id = %user.id, sessions = evicted.len(),
                "the least recently used sessions ended: the user has reached the limit of sessions");
        }
        tracing::info!(user.id = %user.id, session.id = %current.session.id, "logged in");
        self.issuer
            .issue_tokens(&current, FreshClaim::Yes, now)
            .await
    }

    /// Exchanges a refresh token for the session's current tokens.
    ///
    /// However often and at whichever replica a token is presented within the grace period, the refresh
    /// token in the response is the same, byte for byte. The same holds for a day if `key` is the key of the
    /// refresh whose response was lost, until the token of that response is used.
    ///
    /// # Errors
    /// The token's own faults; `refresh_reused` when it was superseded before that, which ends the
    /// session; `session_expired`, `session_revoked`.
    pub async fn refresh(
        &self,
        token: &str,
        key: Option<&SecretString>,
        ip: IpAddr,
    ) -> Result<IssuedTokens, ApiError> {
        let now = self.clock.now();
        let current = self.rotate_session(token, key, ip, now).await?;
        self.issuer
            .issue_tokens(&current, FreshClaim::No, now)
            .await
    }

    /// Rotates the session of a refresh token, or repeats the last rotation, and returns the session.
    async fn rotate_session(
        &self,
        token: &str,
        key: Option<&SecretString>,
        ip: IpAddr,
        now: Time,
    ) -> Result<Arc<SessionWithOwner>, ApiError> {
        let mut presented = self.refresh_tokens.verify(token)?;
        presented.ip = Some(ip);
        presented.retry_key = key.map(|key| {
            let (sid, generation) = (presented.session.as_str(), presented.generation);
            self.derived
                .retry_key_hash(sid, generation, key.expose_secret())
        });
        let sid = presented.session.clone();
        let rules = RotationSettings {
            grace: self.grace,
            denial_ttl: self.revocations.denial_ttl().await?,
        };
        let rotation = self.store.rotate(presented, now, rules).await?;
        if let Some(metrics) = &self.metrics {
            metrics.count_refresh(&rotation);
        }
        match rotation {
            RotationOutcome::Rotated(current) | RotationOutcome::Retried(current) => {
                if current.owner.disabled_at.is_some() {
                    return Err(ApiError::SessionRevoked);
                }
                Ok(current)
            }
            RotationOutcome::Reused { user, denials } => {
                self.revocations.deny(&denials, now).await?;
                tracing::warn!(event = "refresh_reused", user.id = %user, session.id = %sid,
                    "a superseded refresh token was presented after grace: the session was ended");
                Err(ApiError::RefreshReused)
            }
            RotationOutcome::Ended(SessionEnd::Revoked(_)) => Err(ApiError::SessionRevoked),
            RotationOutcome::Indeterminate => Err(ApiError::unavailable(
                "other requests rotated the session while a refresh token waited or was in transit",
            )),
            RotationOutcome::UnknownGeneration => {
                tracing::error!(session.id = %sid,
                    "a refresh token is ahead of its session: was an old backup restored?");
                Err(ApiError::SessionExpired)
            }
            RotationOutcome::Ended(SessionEnd::Expired) | RotationOutcome::NoSuchSession => {
                Err(ApiError::SessionExpired)
            }
        }
    }

    /// Returns a page of the active sessions, newest login first.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn sessions(
        &self,
        page: &SessionPageRequest,
    ) -> Result<Vec<SessionWithUsername>, ApiError> {
        Ok(self.store.sessions(page, self.clock.now()).await?)
    }

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
}
