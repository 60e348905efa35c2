//! Decisions about login, refresh and logout. Their HTTP responses are built by the API.

use std::net::IpAddr;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::App;
use super::error::ApiError;
use super::refused_attempts;
use super::rotation::End;
use super::store::{
    Current, Device, NamedSession, NewSession, Rotation, RotationRules, SessionId, SessionPage,
    StartedSession,
};
use super::throttle::KnownDevice;
use crate::clock::Time;
use crate::token::{Claims, Fresh};

mod client_refresh;
mod ends;
mod grant;

pub use client_refresh::ClientRefresh;
pub(super) use client_refresh::require_client;
pub(super) use ends::CLOCK_SKEW;
pub(super) use grant::NARROWED;
pub use grant::{AccessGrant, Grant};

/// Origin of a request, for the throttle and the list of devices. It proves nothing.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Address of the client, behind trusted proxies.
    pub ip: IpAddr,
    /// `User-Agent`, truncated for the list of devices.
    pub user_agent: String,
}

/// A login request.
#[derive(Debug)]
pub struct Login {
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
    pub caller: Caller,
}

impl App {
    /// Verifies user name and password, and starts a session.
    ///
    /// # Errors
    /// `invalid_credentials`, the same for unknown users, wrong passwords and disabled accounts;
    /// `too_many_requests` before any of them is checked; a scope that is not granted here.
    pub async fn login(&self, login: Login) -> Result<Grant, ApiError> {
        let (username, ip) = (login.username.clone(), login.caller.ip);
        let outcome = self.start_session(login).await;
        if let Err(error) = &outcome {
            refused_attempts::log_login(&username, ip, error);
        }
        if let Some(metrics) = &self.metrics {
            metrics.logged_in(&outcome);
        }
        outcome
    }

    async fn start_session(&self, login: Login) -> Result<Grant, ApiError> {
        let now = self.clock.now();
        let granted = self.grantable(login.scope.as_deref())?;
        let proved = self.prove_login(&login, now).await?;
        let user = proved.user;
        let period = self.denial_period(now).await?;
        let new = NewSession {
            limit: self.config.max_sessions,
            period,
            expires_at: now + self.config.session_ttl,
            idle_limit: self.config.idle_ttl,
            amr: vec!["pwd".to_owned()],
            scope: granted.scopes,
            is_narrowed: granted.is_narrowed,
            client_id: login.client_id,
            device: Device {
                user_agent: login.caller.user_agent,
                ip: login.caller.ip.to_string(),
                label: login.label,
            },
        };
        let session = self
            .store
            .create_session(&user, new, &proved.attempt.counters, now)
            .await;
        if !matches!(session, Ok(Some(_))) {
            self.forgive_attempt(proved.attempt).await;
        }
        let session = session?;
        // The account was disabled or its password changed after it was verified: as if that came first.
        let StartedSession { current, evicted } = session.ok_or(ApiError::InvalidCredentials)?;
        if !evicted.is_empty() {
            self.deny(&evicted, now).await?;
            tracing::info!(user.id = %user.id, sessions = evicted.len(),
                "the least recently used sessions ended: the user has reached the limit of sessions");
        }
        tracing::info!(user.id = %user.id, session.id = %current.session.id, "logged in");
        self.grant(&current, Fresh::Yes, now).await
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
    ) -> Result<Grant, ApiError> {
        let now = self.clock.now();
        let current = self.rotated(token, key, ip, now).await?;
        self.grant(&current, Fresh::No, now).await
    }

    /// Rotates the session of a refresh token, or repeats the last rotation, and returns the session.
    async fn rotated(
        &self,
        token: &str,
        key: Option<&SecretString>,
        ip: IpAddr,
        now: Time,
    ) -> Result<Arc<Current>, ApiError> {
        let mut presented = self.refresh_tokens.read(token)?;
        presented.ip = Some(ip);
        presented.key = key.map(|key| {
            let (sid, generation) = (presented.session.as_str(), presented.generation);
            self.derived.key_hash(sid, generation, key.expose_secret())
        });
        let sid = presented.session.clone();
        let rules = RotationRules {
            grace: self.grace,
            deny_for: self.deny_for().await?,
        };
        let rotation = self.store.rotate(presented, now, rules).await?;
        if let Some(metrics) = &self.metrics {
            metrics.decided(&rotation);
        }
        match rotation {
            Rotation::Rotated(current) | Rotation::Replayed(current) => {
                if current.owner.disabled_at.is_some() {
                    return Err(ApiError::SessionRevoked);
                }
                Ok(current)
            }
            Rotation::Reused { user, denials } => {
                self.deny(&denials, now).await?;
                tracing::warn!(event = "refresh_reused", user.id = %user, session.id = %sid,
                    "a superseded refresh token was presented after grace: the session was ended");
                Err(ApiError::RefreshReused)
            }
            Rotation::Ended(End::Revoked(_)) => Err(ApiError::SessionRevoked),
            Rotation::Undecided => Err(ApiError::unavailable(
                "other requests rotated the session while a refresh token waited or was in transit",
            )),
            Rotation::Unknown => {
                tracing::error!(session.id = %sid,
                    "a refresh token is ahead of its session: was an old backup restored?");
                Err(ApiError::SessionExpired)
            }
            Rotation::Ended(End::Expired) | Rotation::NoSuchSession => {
                Err(ApiError::SessionExpired)
            }
        }
    }

    /// Returns a page of the active sessions, newest login first.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn sessions(&self, page: &SessionPage) -> Result<Vec<NamedSession>, ApiError> {
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
    ) -> Result<AccessGrant, ApiError> {
        let now = self.clock.now();
        self.prove_in_session(claims, &password, ip, now).await?;
        let sid = claims
            .sid
            .as_deref()
            .map(SessionId::from)
            .ok_or(ApiError::SessionExpired)?;
        self.store.set_auth_time(&sid, now).await?;
        let current = self.store.session(&sid).await?;
        let current = current.ok_or(ApiError::SessionExpired)?;
        match current.session.end(now) {
            None => self.access(&current, Fresh::Yes, now).await,
            Some(End::Expired) => Err(ApiError::SessionExpired),
            Some(End::Revoked(_)) => Err(ApiError::SessionRevoked),
        }
    }
}
