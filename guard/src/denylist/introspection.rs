//! Token introspection at the issuer (RFC 7662): for services that can reach neither its SQL nor its
//! Redis.
//!
//! A response is cached for a second, so that twenty requests of one page cause one introspection.
//! Without a response the check fails with 503: a token is never accepted unchecked.

mod service_account;

use std::fmt;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_lc_rs::digest;
use quick_cache::sync::Cache;
use reqwest::Url;
use secrecy::SecretString;
use serde::Deserialize;

use super::{Denial, Denylist, DenylistUnavailable, TokenIds, TokenStatus};
use crate::clock::Time;
use crate::remote::{
    CallerResponse, ClientAuthentication, FetchError, IssuerClient, PlaintextPolicy, SetupError,
    parse_address,
};
use crate::token::Claims;

use service_account::ServiceAccount;

/// Credential with which this service authenticates at the issuer.
#[derive(Clone, Debug)]
pub enum IssuerCredential {
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
    /// The token of the caller itself: the endpoint is `/v1/verify` of a Latchet, which needs no other.
    Caller,
}

/// Endpoint and credential of introspection, and lifetimes of its responses.
#[derive(Clone, Debug)]
pub struct IntrospectionSettings {
    /// Introspection endpoint, for example `https://auth.example/oauth/introspect`.
    pub endpoint: String,
    /// Credential of this service.
    pub credential: IssuerCredential,
    /// Addresses for which `http://` is allowed.
    pub plaintext: PlaintextPolicy,
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
    pub fn new(endpoint: impl Into<String>, credential: IssuerCredential) -> Self {
        Self {
            endpoint: endpoint.into(),
            credential,
            plaintext: PlaintextPolicy::default(),
            deadline: Duration::from_secs(1),
            active_for: Duration::from_secs(1),
            inactive_for: Duration::from_mins(1),
            cached_tokens: 8192,
        }
    }
}

/// A [`Denylist`] that calls the issuer. It checks tokens, not ids, and cannot deny.
pub struct IntrospectionDenylist {
    http: IssuerClient,
    endpoint: Url,
    authentication: Authentication,
    settings: IntrospectionSettings,
    results: Cache<TokenHash, CachedResult>,
}

enum Authentication {
    ServiceAccount(ServiceAccount),
    Client { id: String, secret: SecretString },
    Bearer(SecretString),
    Caller,
}

type TokenHash = [u8; 32];

/// Result of an introspection, with the time of the request on both clocks: the monotonic clock may stop
/// while a machine is suspended, the other may be set back.
#[derive(Clone, Copy, Debug)]
struct CachedResult {
    status: TokenStatus,
    instant: Instant,
    time: Time,
}

/// Members of the response that are read.
#[derive(Deserialize)]
struct IntrospectionResponse {
    active: bool,
    jti: Option<String>,
}

/// Status of a token, and the id of the token that the response is about, if it has one.
struct Verdict {
    status: TokenStatus,
    jti: Option<String>,
}

impl From<IntrospectionResponse> for Verdict {
    fn from(response: IntrospectionResponse) -> Self {
        if response.active {
            let (status, jti) = (TokenStatus::NotDenied, response.jti);
            return Self { status, jti };
        }
        let status = TokenStatus::Revoked;
        Self { status, jti: None }
    }
}

/// Claims in the response of `/v1/verify` that are read.
#[derive(Deserialize)]
struct VerifiedToken {
    jti: String,
}

/// Reason for a missing result.
#[derive(Debug, thiserror::Error)]
enum IntrospectionError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the issuer did not respond in time")]
    TimedOut,
    #[error("the issuer's response is about another token")]
    WrongToken,
}

impl IntrospectionDenylist {
    /// Returns a list that calls the endpoint. It sends no request yet.
    ///
    /// # Errors
    /// [`SetupError`] when an address is not allowed.
    pub fn new(settings: IntrospectionSettings) -> Result<Self, SetupError> {
        let endpoint = parse_address(&settings.endpoint, settings.plaintext)?;
        let http = IssuerClient::new(&endpoint, settings.deadline)?;
        let authentication = match settings.credential.clone() {
            IssuerCredential::Account {
                token_endpoint,
                username,
                password,
            } => Authentication::ServiceAccount(ServiceAccount::new(
                parse_address(&token_endpoint, settings.plaintext)?,
                username,
                password,
            )),
            IssuerCredential::Client { id, secret } => Authentication::Client { id, secret },
            IssuerCredential::Bearer(token) => Authentication::Bearer(token),
            IssuerCredential::Caller => Authentication::Caller,
        };
        Ok(Self {
            http,
            endpoint,
            authentication,
            results: Cache::new(settings.cached_tokens),
            settings,
        })
    }

    /// Returns the status of the token, and calls the issuer only without a recent result. Concurrent checks of
    /// one token share one call.
    async fn status(
        &self,
        token: &str,
        claims: &Claims,
        now: Time,
    ) -> Result<TokenStatus, IntrospectionError> {
        let started = Instant::now();
        let hash = hash(token);
        self.results
            .remove_if(&hash, |known| !self.is_recent(known, started, now));
        let known = self
            .results
            .get_or_insert_async(&hash, self.introspect(token, claims, now))
            .await?;
        if self.is_recent(&known, started, now) {
            return Ok(known.status);
        }
        // The result of a concurrent check whose call began too early for this one.
        let result = self.introspect(token, claims, now).await?;
        self.results.insert(hash, result);
        Ok(result.status)
    }

    fn is_recent(&self, result: &CachedResult, instant: Instant, time: Time) -> bool {
        let longest = match result.status {
            TokenStatus::NotDenied => self.settings.active_for,
            TokenStatus::Revoked | TokenStatus::Outdated => self.settings.inactive_for,
        };
        let age = instant.saturating_duration_since(result.instant);
        age.max(time.since(result.time)) <= longest
    }

    async fn introspect(
        &self,
        token: &str,
        claims: &Claims,
        time: Time,
    ) -> Result<CachedResult, IntrospectionError> {
        let instant = Instant::now();
        let verdict = match &self.authentication {
            Authentication::ServiceAccount(account) => {
                self.introspect_as(account, token).await?.into()
            }
            Authentication::Client { id, secret } => {
                let proof = ClientAuthentication::Basic(id, secret);
                self.post(token, proof).await?.into()
            }
            Authentication::Bearer(bearer) => {
                let proof = ClientAuthentication::Bearer(bearer);
                self.post(token, proof).await?.into()
            }
            Authentication::Caller => self.verify_as_caller(token, claims).await?,
        };
        if verdict.jti.is_some_and(|jti| jti != claims.jti) {
            return Err(IntrospectionError::WrongToken);
        }
        Ok(CachedResult {
            status: verdict.status,
            instant,
            time,
        })
    }

    /// The account's session may have been ended although its token has not expired: retry once.
    async fn introspect_as(
        &self,
        account: &ServiceAccount,
        token: &str,
    ) -> Result<IntrospectionResponse, FetchError> {
        let access_token = account.access_token(&self.http).await?;
        match self
            .post(token, ClientAuthentication::Bearer(&access_token))
            .await
        {
            Err(FetchError::Status { status: 401, .. }) => {
                account.drop_session(&access_token).await;
                let access_token = account.access_token(&self.http).await?;
                self.post(token, ClientAuthentication::Bearer(&access_token))
                    .await
            }
            result => result,
        }
    }

    /// Has the token checked by `/v1/verify`. A token that is limited to some scopes passes there only if they are
    /// named; the guards of this service check them.
    async fn verify_as_caller(&self, token: &str, claims: &Claims) -> Result<Verdict, FetchError> {
        let mut url = self.endpoint.clone();
        if let Some(scope) = &claims.scope {
            url.query_pairs_mut().append_pair("scope", scope);
        }
        let response: CallerResponse<VerifiedToken> = self.http.get_as_caller(&url, token).await?;
        let code = match response {
            CallerResponse::Passed(VerifiedToken { jti }) => {
                return Ok(Verdict {
                    status: TokenStatus::NotDenied,
                    jti: Some(jti),
                });
            }
            CallerResponse::Refused { code } => code,
        };
        let status = match code.as_str() {
            // Revocation is checked before rights: a program without scopes has a valid token.
            "insufficient_scope" => TokenStatus::NotDenied,
            "token_outdated" => TokenStatus::Outdated,
            _ => TokenStatus::Revoked,
        };
        Ok(Verdict { status, jti: None })
    }

    async fn post(
        &self,
        token: &str,
        proof: ClientAuthentication<'_>,
    ) -> Result<IntrospectionResponse, FetchError> {
        let form = [("token", token), ("token_type_hint", "access_token")];
        self.http.post(&self.endpoint, &form, proof).await
    }
}

#[async_trait]
impl Denylist for IntrospectionDenylist {
    /// Fails: introspection requires the token, not its ids.
    async fn check(&self, _: TokenIds<'_>, _: Time) -> Result<TokenStatus, DenylistUnavailable> {
        Err(DenylistUnavailable(Some(
            "introspection needs the token".into(),
        )))
    }

    /// By introspection the issuer reports only whether a token is active: an outdated token counts as revoked.
    async fn check_token(
        &self,
        token: &str,
        claims: &Claims,
        now: Time,
    ) -> Result<TokenStatus, DenylistUnavailable> {
        let result = self.status(token, claims, now);
        let result = tokio::time::timeout(self.settings.deadline, result).await;
        match result.unwrap_or(Err(IntrospectionError::TimedOut)) {
            Ok(status) => Ok(status),
            Err(failure) => Err(DenylistUnavailable(Some(failure.into()))),
        }
    }

    /// Fails: tokens are revoked at the server that issued them.
    async fn deny(&self, _: &[Denial], _: Time) -> Result<(), DenylistUnavailable> {
        Err(DenylistUnavailable(Some(
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
