//! The service's session at a Latchet.

use std::time::{Duration, Instant};

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::remote::{ClientAuthentication, FetchError, IssuerClient};

/// A token is renewed this long before its expiry, so that none expires in transit.
const RENEW_BEFORE_EXPIRY: Duration = Duration::from_secs(30);

/// A user at the issuer, and the tokens of its session while it has one.
pub(super) struct ServiceAccount {
    token_endpoint: Url,
    username: String,
    password: SecretString,
    /// Locked while tokens are requested: a thousand concurrent checks sign in once.
    session: Mutex<Option<ServiceSession>>,
}

struct ServiceSession {
    access: SecretString,
    renew_at: Instant,
    refresh: Option<SecretString>,
}

#[derive(Deserialize)]
struct TokenResponse {
    access_token: SecretString,
    expires_in: u64,
    refresh_token: Option<SecretString>,
}

impl ServiceAccount {
    pub(super) fn new(token_endpoint: Url, username: String, password: SecretString) -> Self {
        Self {
            token_endpoint,
            username,
            password,
            session: Mutex::new(None),
        }
    }

    /// Returns an access token of the account.
    pub(super) async fn access_token(
        &self,
        http: &IssuerClient,
    ) -> Result<SecretString, FetchError> {
        let mut session = self.session.lock().await;
        if let Some(session) = &*session
            && Instant::now() < session.renew_at
        {
            return Ok(session.access.clone());
        }
        let requested_at = Instant::now();
        // Taken, not borrowed: if this check is cancelled, the refresh token may have been used, and
        // presenting it again later would look like theft.
        let refresh = session.take().and_then(|session| session.refresh);
        let response = match refresh {
            Some(refresh) => match self.refresh(http, &refresh).await {
                // Its session was ended by an administrator, or because it was idle.
                Err(FetchError::Status {
                    status: 400 | 401, ..
                }) => self.sign_in(http).await?,
                response => response?,
            },
            None => self.sign_in(http).await?,
        };
        let lifetime = Duration::from_secs(response.expires_in);
        let access = response.access_token;
        *session = Some(ServiceSession {
            access: access.clone(),
            renew_at: requested_at + lifetime.saturating_sub(RENEW_BEFORE_EXPIRY),
            refresh: response.refresh_token,
        });
        Ok(access)
    }

    /// Drops a session that the issuer refuses, unless it has been replaced already.
    pub(super) async fn drop_session(&self, refused: &SecretString) {
        let mut session = self.session.lock().await;
        if session
            .as_ref()
            .is_some_and(|session| session.access.expose_secret() == refused.expose_secret())
        {
            *session = None;
        }
    }

    async fn sign_in(&self, http: &IssuerClient) -> Result<TokenResponse, FetchError> {
        let form = [
            ("grant_type", "password"),
            ("username", &*self.username),
            ("password", self.password.expose_secret()),
        ];
        http.post(&self.token_endpoint, &form, ClientAuthentication::Nothing)
            .await
    }

    async fn refresh(
        &self,
        http: &IssuerClient,
        refresh: &SecretString,
    ) -> Result<TokenResponse, FetchError> {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.expose_secret()),
        ];
        http.post(&self.token_endpoint, &form, ClientAuthentication::Nothing)
            .await
    }
}
