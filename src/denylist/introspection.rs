//! Asking the issuer about each token (RFC 7662): for services that reach neither its SQL nor its
//! Redis.
//!
//! An answer is relied upon for a second, so that twenty requests of one page are one question. Where
//! there is no answer the check fails, with 503: a token is never taken on nothing.

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

/// How this service shows the issuer who it is.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A user of a Latchet with the role `introspect`. The service signs in, and refreshes or signs
    /// in again when its own token ends.
    Account {
        /// Where tokens are issued: `https://auth.example/oauth/token`.
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
    /// A token that does not end, or not before this service does.
    Bearer(SecretString),
}

/// Whom to ask, and how long an answer counts.
#[derive(Clone, Debug)]
pub struct IntrospectionSettings {
    /// Where tokens are asked about: `https://auth.example/oauth/introspect`.
    pub endpoint: String,
    /// How this service shows who it is.
    pub credential: Credential,
    /// Where `http://` is good enough.
    pub plaintext: Plaintext,
    /// How long a check waits for its answer.
    pub deadline: Duration,
    /// How long the answer "active" counts: so much later at most, a logout is felt here. Zero asks
    /// for every check.
    pub active_for: Duration,
    /// How long the answer "not active" counts. A revoked token stays so; but a service that was
    /// refused the right to ask is told the same, and should not have to be restarted.
    pub inactive_for: Duration,
    /// How many answers are remembered.
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

/// A [`Denylist`] that asks the issuer. It knows tokens, not ids, and denies nothing itself.
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

/// What the issuer said, and when it was asked by either clock: the monotonic one may stand still
/// while a machine is suspended, the other may be set back.
#[derive(Clone, Copy, Debug)]
struct Answer {
    is_active: bool,
    instant: Instant,
    time: Time,
}

/// The answer, as far as it is read.
#[derive(Deserialize)]
struct Body {
    active: bool,
    jti: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the issuer gave no answer in time")]
    Deadline,
    #[error("the issuer answered about another token")]
    OtherToken,
}

impl IntrospectionDenylist {
    /// Returns a list that asks at the endpoint. Nothing is asked yet.
    ///
    /// # Errors
    /// [`SetupError`] when an address is not one that may be asked.
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

    /// Returns whether the token is active, asking only where no answer counts any more. Checks of
    /// one token that come together ask once.
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
        // Somebody else's question, asked too long before this check began.
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

    /// The account's own session may have been ended while its token looked good: one more try.
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
    /// Fails: the issuer answers about tokens, not about ids.
    async fn check(&self, _: TokenIds<'_>, _: Time) -> Result<TokenStatus, Unavailable> {
        Err(Unavailable(Some("introspection needs the token".into())))
    }

    /// The issuer says no more than whether a token is active: an outdated one counts as revoked.
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
            "this service only asks the issuer".into(),
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
