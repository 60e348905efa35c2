//! Decisions about login and refresh. The tokens that both return are issued by the
//! [`token_issuer`](super::token_issuer), their HTTP responses are built by the API.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::accounts::Accounts;
use super::config::Config;
use super::derived_keys::DerivedKeys;
use super::error::ApiError;
use super::metrics::Metrics;
use super::password_verification::PasswordVerification;
use super::refused_attempts;
use super::rotation::{Grace, SessionEnd};
use super::store::{
    LoginDevice, NewSession, PresentedRefreshToken, RotationOutcome, RotationSettings,
    SessionPageRequest, SessionWithOwner, SessionWithUsername, StartedSession, Store,
};
use super::throttle::KnownDevice;
use super::token_issuer::{IssuedTokens, TokenIssuer};
use latchet_guard::clock::{Clock, Time};
use latchet_guard::token::FreshClaim;

mod client_refresh;
mod logout;
mod password_proof;
mod scopes;

pub use client_refresh::ClientRefresh;
pub(super) use client_refresh::require_client;
pub use logout::Revocations;
pub(super) use scopes::resolve_scopes;

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

/// Starts and refreshes sessions.
#[derive(Debug)]
pub struct Sessions {
    pub(super) settings: SessionSettings,
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) derived: Arc<DerivedKeys>,
    pub(super) accounts: Accounts,
    pub(super) password_verification: PasswordVerification,
    pub(super) revocations: Revocations,
    pub(super) issuer: Arc<TokenIssuer>,
    pub(super) metrics: Option<Metrics>,
}

/// Settings of new sessions and of their rotation.
#[derive(Debug)]
pub(super) struct SessionSettings {
    max_sessions: NonZeroU32,
    lifetime: Duration,
    idle_limit: Duration,
    scopes: Vec<String>,
    grace: Grace,
}

impl SessionSettings {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            max_sessions: config.max_sessions,
            lifetime: config.session_ttl,
            idle_limit: config.idle_ttl,
            scopes: config.scopes.clone(),
            grace: grace_period(config),
        }
    }
}

/// Returns the grace period that the settings give.
pub(super) fn grace_period(config: &Config) -> Grace {
    Grace::new(config.grace).unwrap_or(Grace::MAX)
}

impl Sessions {
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
        let granted = resolve_scopes(&self.settings.scopes, login.scope.as_deref())?;
        let verified = self
            .password_verification
            .verify_login_password(&login, now)
            .await?;
        let user = verified.user;
        let period = self.revocations.token_lifetimes.denial_period(now).await?;
        let new = NewSession {
            limit: self.settings.max_sessions,
            period,
            expires_at: now + self.settings.lifetime,
            idle_limit: self.settings.idle_limit,
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
            .await?;
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
    /// `refresh_reused` when it was superseded before that, which ends the
    /// session; `session_expired`, `session_revoked`.
    pub async fn refresh(
        &self,
        presented: PresentedRefreshToken,
        key: Option<&SecretString>,
        ip: IpAddr,
    ) -> Result<IssuedTokens, ApiError> {
        let now = self.clock.now();
        let current = self.rotate_session(presented, key, ip, now).await?;
        self.issuer
            .issue_tokens(&current, FreshClaim::No, now)
            .await
    }

    /// Rotates the session of a refresh token, or repeats the last rotation, and returns the session.
    async fn rotate_session(
        &self,
        mut presented: PresentedRefreshToken,
        key: Option<&SecretString>,
        ip: IpAddr,
        now: Time,
    ) -> Result<Arc<SessionWithOwner>, ApiError> {
        presented.ip = Some(ip);
        presented.retry_key = key.map(|key| {
            let (sid, generation) = (presented.session.as_str(), presented.generation);
            self.derived
                .retry_key_hash(sid, generation, key.expose_secret())
        });
        let sid = presented.session.clone();
        let rules = RotationSettings {
            grace: self.settings.grace,
            denial_ttl: self.revocations.token_lifetimes.denial_ttl().await?,
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
    pub async fn list(
        &self,
        page: &SessionPageRequest,
    ) -> Result<Vec<SessionWithUsername>, ApiError> {
        Ok(self.store.sessions(page, self.clock.now()).await?)
    }
}
