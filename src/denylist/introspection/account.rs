//! The service's session at a Latchet.

use std::time::{Duration, Instant};

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::remote::{FetchError, Http, Proof};

/// A token is renewed this long before its expiry, so that none expires in transit.
const EARLY: Duration = Duration::from_secs(30);

/// A user at the issuer, and the tokens of its session while it has one.
pub(super) struct Account {
    token_endpoint: Url,
    username: String,
    password: SecretString,
    /// Locked while tokens are requested: a thousand concurrent checks sign in once.
    held: Mutex<Option<Held>>,
}

struct Held {
    access: SecretString,
    good_until: Instant,
    refresh: Option<SecretString>,
}

#[derive(Deserialize)]
struct Grant {
    access_token: SecretString,
    expires_in: u64,
    refresh_token: Option<SecretString>,
}

impl Account {
    pub(super) fn new(token_endpoint: Url, username: String, password: SecretString) -> Self {
        Self {
            token_endpoint,
            username,
            password,
            held: Mutex::new(None),
        }
    }

    /// Returns an access token of the account.
    pub(super) async fn token(&self, http: &Http) -> Result<SecretString, FetchError> {
        let mut held = self.held.lock().await;
        if let Some(held) = &*held
            && Instant::now() < held.good_until
        {
            return Ok(held.access.clone());
        }
        let asked = Instant::now();
        // Taken, not borrowed: if this check is cancelled, the refresh token may have been used, and
        // presenting it again later would look like theft.
        let refresh = held.take().and_then(|held| held.refresh);
        let grant = match refresh {
            Some(refresh) => match self.refresh(http, &refresh).await {
                // Its session was ended by an administrator, or because it was idle.
                Err(FetchError::Status {
                    status: 400 | 401, ..
                }) => self.sign_in(http).await?,
                grant => grant?,
            },
            None => self.sign_in(http).await?,
        };
        let lifetime = Duration::from_secs(grant.expires_in);
        let access = grant.access_token;
        *held = Some(Held {
            access: access.clone(),
            good_until: asked + lifetime.saturating_sub(EARLY),
            refresh: grant.refresh_token,
        });
        Ok(access)
    }

    /// Drops a session that the issuer refuses, unless it has been replaced already.
    pub(super) async fn forget(&self, refused: &SecretString) {
        let mut held = self.held.lock().await;
        if held
            .as_ref()
            .is_some_and(|held| held.access.expose_secret() == refused.expose_secret())
        {
            *held = None;
        }
    }

    async fn sign_in(&self, http: &Http) -> Result<Grant, FetchError> {
        let form = [
            ("grant_type", "password"),
            ("username", &*self.username),
            ("password", self.password.expose_secret()),
        ];
        http.post(&self.token_endpoint, &form, Proof::Nothing).await
    }

    async fn refresh(&self, http: &Http, refresh: &SecretString) -> Result<Grant, FetchError> {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.expose_secret()),
        ];
        http.post(&self.token_endpoint, &form, Proof::Nothing).await
    }
}
