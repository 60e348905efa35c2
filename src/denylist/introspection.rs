//! Token introspection at the issuer (RFC 7662): for services that can reach neither its SQL nor its
//! Redis.
//!
//! A response is cached for a second, so that twenty requests of one page cause one introspection.
//! Without a response the check fails with 503: a token is never accepted unchecked.

mod account;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_lc_rs::digest;
use quick_cache::sync::Cache;
use reqwest::Url;
use secrecy::SecretString;
use serde::Deserialize;

use super::{Denial, Denylist, TokenIds, TokenStatus, Unavailable};
use crate::clock::Time;
use crate::remote::{FetchError, Http, Plaintext, Proof, SetupError, parse};
use crate::token::Claims;

use account::Account;

/// Credential with which this service authenticates at the issuer.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A user of a Latchet with the role `introspect`. The service signs in, and refreshes its token or
    /// signs in again before the token expires.
    Account {
        /// Token endpoint, for example `https://auth.example/oauth/token`.
        token_endpoint: String,
        /// The user.
        username: String,
        /// The user's password.
        password: SecretString,
    },
    /// An OAuth client with a secret, at issuers that have such clients.
    Client {
        /// Name of the client.
        id: String,
        /// Its secret.
        secret: SecretString,
    },
    /// A token that does not expire, or not while this service runs.
    Bearer(SecretString),
}

/// Endpoint and credential of introspection, and lifetimes of its responses.
#[derive(Clone, Debug)]
pub struct IntrospectionSettings {
    /// Introspection endpoint, for example `https://auth.example/oauth/introspect`.
    pub endpoint: String,
    /// Credential of this service.
    pub credential: Credential,
    /// Addresses for which `http://` is allowed.
    pub plaintext: Plaintext,
    /// Longest time that a check waits for a response.
    pub deadline: Duration,
    /// Lifetime of the response "active": a logout takes effect here at most this much later. With zero
    /// every check calls the issuer.
    pub active_for: Duration,
    /// Lifetime of the response "not active". A revoked token stays revoked; but a service without
    /// permission to introspect receives the same response, and should not need a restart once it has
    /// permission.
    pub inactive_for: Duration,
    /// Number of cached responses.
    pub cached_tokens: usize,
}

impl IntrospectionSettings {
    /// Returns the settings: "active" counts for 1 s, "not active" for 1 min, and a check waits 1 s.
    pub fn new(endpoint: impl Into<String>, credential: Credential) -> Self {
        Self {
            endpoint: endpoint.into(),
            credential,
            plaintext: Plaintext::default(),
            deadline: Duration::from_secs(1),
            active_for: Duration::from_secs(1),
            inactive_for: Duration::from_mins(1),
            cached_tokens: 8192,
        }
    }
}

/// A [`Denylist`] that calls the issuer. It checks tokens, not ids, and cannot deny.
pub struct IntrospectionDenylist {
    http: Http,
    endpoint: Url,
    identity: Identity,
    settings: IntrospectionSettings,
    answers: Cache<TokenHash, Answer>,
}

enum Identity {
    Account(Account),
    Client { id: String, secret: SecretString },
    Bearer(SecretString),
}

type TokenHash = [u8; 32];

/// Result of an introspection, with the time of the request on both clocks: the monotonic clock may stop
/// while a machine is suspended, the other may be set back.
#[derive(Clone, Copy, Debug)]
struct Answer {
    is_active: bool,
    instant: Instant,
    time: Time,
}

/// Members of the response that are read.
#[derive(Deserialize)]
struct Body {
    active: bool,
    jti: Option<String>,
}

/// Reason for a missing result.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the issuer did not respond in time")]
    Deadline,
    #[error("the issuer's response is about another token")]
    OtherToken,
}

impl IntrospectionDenylist {
    /// Returns a list that calls the endpoint. It sends no request yet.
    ///
    /// # Errors
    /// [`SetupError`] when an address is not allowed.
    pub fn new(settings: IntrospectionSettings) -> Result<Self, SetupError> {
        let endpoint = parse(&settings.endpoint, settings.plaintext)?;
        let http = Http::new(&endpoint, settings.deadline)?;
        let identity = match settings.credential.clone() {
            Credential::Account {
                token_endpoint,
                username,
                password,
            } => Identity::Account(Account::new(
                parse(&token_endpoint, settings.plaintext)?,
                username,
                password,
            )),
            Credential::Client { id, secret } => Identity::Client { id, secret },
            Credential::Bearer(token) => Identity::Bearer(token),
        };
        Ok(Self {
            http,
            endpoint,
            identity,
            answers: Cache::new(settings.cached_tokens),
            settings,
        })
    }

    /// Returns whether the token is active, and calls the issuer only without a recent result.
    /// Concurrent checks of one token share one call.
    async fn is_active(&self, token: &str, claims: &Claims, now: Time) -> Result<bool, Failure> {
        let began = Instant::now();
        let hash = hash(token);
        self.answers
            .remove_if(&hash, |known| !self.counts(known, began, now));
        let known = self
            .answers
            .get_or_insert_async(&hash, self.ask(token, claims, now))
            .await?;
        if self.counts(&known, began, now) {
            return Ok(known.is_active);
        }
        // The result of a concurrent check whose call began too early for this one.
        let answer = self.ask(token, claims, now).await?;
        self.answers.insert(hash, answer);
        Ok(answer.is_active)
    }

    fn counts(&self, answer: &Answer, instant: Instant, time: Time) -> bool {
        let longest = if answer.is_active {
            self.settings.active_for
        } else {
            self.settings.inactive_for
        };
        let age = instant.saturating_duration_since(answer.instant);
        age.max(time.since(answer.time)) <= longest
    }

    async fn ask(&self, token: &str, claims: &Claims, time: Time) -> Result<Answer, Failure> {
        let instant = Instant::now();
        let body = match &self.identity {
            Identity::Account(account) => self.ask_by(account, token).await?,
            Identity::Client { id, secret } => self.post(token, Proof::Basic(id, secret)).await?,
            Identity::Bearer(bearer) => self.post(token, Proof::Bearer(bearer)).await?,
        };
        if body.active && body.jti.is_some_and(|jti| jti != claims.jti) {
            return Err(Failure::OtherToken);
        }
        Ok(Answer {
            is_active: body.active,
            instant,
            time,
        })
    }

    /// The account's session may have been ended although its token has not expired: retry once.
    async fn ask_by(&self, account: &Account, token: &str) -> Result<Body, FetchError> {
        let own = account.token(&self.http).await?;
        match self.post(token, Proof::Bearer(&own)).await {
            Err(FetchError::Status { status: 401, .. }) => {
                account.forget(&own).await;
                let own = account.token(&self.http).await?;
                self.post(token, Proof::Bearer(&own)).await
            }
            answer => answer,
        }
    }

    async fn post(&self, token: &str, proof: Proof<'_>) -> Result<Body, FetchError> {
        let form = [("token", token), ("token_type_hint", "access_token")];
        self.http.post(&self.endpoint, &form, proof).await
    }
}

#[async_trait]
impl Denylist for IntrospectionDenylist {
    /// Fails: introspection requires the token, not its ids.
    async fn check(&self, _: TokenIds<'_>, _: Time) -> Result<TokenStatus, Unavailable> {
        Err(Unavailable(Some("introspection needs the token".into())))
    }

    /// The issuer reports only whether a token is active: an outdated token counts as revoked.
    async fn check_token(
        &self,
        token: &str,
        claims: &Claims,
        now: Time,
    ) -> Result<TokenStatus, Unavailable> {
        let answer = self.is_active(token, claims, now);
        let answer = tokio::time::timeout(self.settings.deadline, answer).await;
        match answer.unwrap_or(Err(Failure::Deadline)) {
            Ok(true) => Ok(TokenStatus::NotDenied),
            Ok(false) => Ok(TokenStatus::Revoked),
            Err(failure) => Err(Unavailable(Some(failure.into()))),
        }
    }

    /// Fails: tokens are revoked at the server that issued them.
    async fn deny(&self, _: &[Denial], _: Time) -> Result<(), Unavailable> {
        Err(Unavailable(Some(
            "this service cannot deny tokens, only introspect them".into(),
        )))
    }
}

/// Prints no secret and no token.
impl fmt::Debug for IntrospectionDenylist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntrospectionDenylist")
            .field("endpoint", &self.endpoint.as_str())
            .finish_non_exhaustive()
    }
}

fn hash(token: &str) -> TokenHash {
    let mut hash = TokenHash::default();
    hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    hash
}
