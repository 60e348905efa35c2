//! Requests of clients, each of them recorded.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chaos::history::{Operation, RequestOutcome, Sender, TimeSpan, TokenIdentity};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::cluster::Cluster;
use crate::recorder::Recorder;
use crate::request_spec::{REQUEST_TIMEOUT, RequestSpec};

/// Sends requests to any replica, and records their outcomes.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    cluster: Arc<Cluster>,
    recorder: Arc<Recorder>,
    sender: Sender,
}

/// Time that a client retries a refresh before it gives up.
const REFRESH_PATIENCE: Duration = Duration::from_secs(40);

/// Tokens that a login or refresh returned.
#[derive(Clone, Debug)]
pub(crate) struct TokenGrant {
    pub(crate) session: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
    /// Expiry of the access token, by the clock of the run.
    pub(crate) expires: u64,
    /// The request that returned the access token.
    pub(crate) issued: TimeSpan,
    /// Device token by which the next login comes from a known device.
    pub(crate) device: Option<String>,
}

impl TokenGrant {
    /// Returns the id of the user.
    pub(crate) fn subject(&self) -> Option<String> {
        Some(claims(&self.access).get("sub")?.as_str()?.to_owned())
    }
}

/// A response, as far as clients use it.
#[derive(Debug)]
pub(crate) struct ClientResponse {
    pub(crate) outcome: RequestOutcome,
    pub(crate) body: Value,
    /// The value of `Remote-Roles`.
    remote_roles: Option<String>,
    /// When the request was sent, by the clock of the run.
    pub(crate) start: u64,
    /// When the response arrived.
    pub(crate) end: u64,
}

impl ClientResponse {
    pub(crate) fn is_ok(&self) -> bool {
        self.outcome == RequestOutcome::Ok
    }

    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self.outcome, RequestOutcome::Unknown { .. })
    }

    /// Returns the code of the refusal; empty when there is none.
    pub(crate) fn refusal(&self) -> &str {
        match &self.outcome {
            RequestOutcome::Refused { code } => code,
            _ => "",
        }
    }

    /// True when an access token was refused only because a newer one is needed.
    pub(crate) fn needs_refresh(&self) -> bool {
        ["token_expired", "token_outdated"].contains(&self.refusal())
    }

    /// True when the request was refused because the session has ended.
    pub(crate) fn is_over(&self) -> bool {
        let codes = ["token_revoked", "session_revoked", "session_expired"];
        codes.contains(&self.refusal()) || self.refusal() == "refresh_reused"
    }

    /// Returns the tokens of the response.
    pub(crate) fn grant(&self) -> Option<TokenGrant> {
        Some(TokenGrant {
            session: self.text("session_id")?,
            refresh: self.text("refresh_token")?,
            device: self.text("device_token"),
            ..self.renewed(None)?
        })
    }

    /// Returns the tokens of the response, with the refresh token of `old` where it has none itself.
    pub(crate) fn renewed(&self, old: Option<&TokenGrant>) -> Option<TokenGrant> {
        let old_text =
            |part: fn(&TokenGrant) -> &String| old.map(part).cloned().unwrap_or_default();
        // The clock of a process may be wrong, but the lifetime is a setting.
        let life = self.body.get("expires_in")?.as_u64()? * 1_000_000;
        Some(TokenGrant {
            session: old_text(|grant| &grant.session),
            refresh: old_text(|grant| &grant.refresh),
            access: self.text("access_token")?,
            expires: self.end + life,
            issued: TimeSpan {
                start: self.start,
                end: self.end,
            },
            device: old.and_then(|grant| grant.device.clone()),
        })
    }

    fn text(&self, name: &str) -> Option<String> {
        Some(self.body.get(name)?.as_str()?.to_owned())
    }

    /// Returns the user's roles according to the response.
    fn roles(&self) -> Option<Vec<String>> {
        let named: Vec<String> = if let Some(header) = &self.remote_roles {
            header.split(',').map(str::to_owned).collect()
        } else {
            let token = self.text("access_token")?;
            let roles = claims(&token)["roles"].as_array().cloned();
            let names = roles.into_iter().flatten();
            names
                .filter_map(|role| Some(role.as_str()?.to_owned()))
                .collect()
        };
        let mut roles = named;
        roles.retain(|role| !role.is_empty());
        roles.sort();
        Some(roles)
    }

    fn listed(&self) -> Option<usize> {
        Some(self.body.get("items")?.as_array()?.len())
    }
}

impl Client {
    pub(crate) fn new(cluster: &Arc<Cluster>, recorder: &Arc<Recorder>, sender: Sender) -> Self {
        Self {
            http: reqwest::Client::new(),
            cluster: Arc::clone(cluster),
            recorder: Arc::clone(recorder),
            sender,
        }
    }

    /// Returns the time of the run, in microseconds.
    pub(crate) fn now(&self) -> u64 {
        self.recorder.now()
    }

    pub(crate) fn replicas(&self) -> usize {
        self.cluster.replicas.len()
    }

    /// Refreshes with one key until there is a response.
    pub(crate) async fn refresh(
        &self,
        user: &str,
        grant: &TokenGrant,
        random: &mut fastrand::Rng,
    ) -> Option<ClientResponse> {
        let (key, end) = (random.u64(..), Instant::now() + REFRESH_PATIENCE);
        while Instant::now() < end {
            let replica = random.usize(..self.replicas());
            let answer = self
                .ask(RequestSpec::refresh(user, grant, Some(key)), replica)
                .await;
            if !answer.is_unknown() {
                return Some(answer);
            }
            sleep(Duration::from_millis(random.u64(50..250))).await;
        }
        None
    }

    /// Sends a request to a replica, waits for the response and records both.
    pub(crate) async fn ask(&self, ask: RequestSpec<'_>, replica: usize) -> ClientResponse {
        let url = format!("{}{}", self.cluster.replicas[replica].url, ask.path);
        let mut request = self
            .http
            .request(ask.method.parse().expect("it is a method"), url);
        if let Some(grant) = ask.bearer {
            request = request.bearer_auth(&grant.access);
        }
        if let Some(key) = ask.key {
            request = request.header("Idempotency-Key", format!("chaos-{key:032x}"));
        }
        if ask.body != Value::Null {
            request = request.json(&ask.body);
        }
        let start = self.recorder.begin();
        let fetched = tokio::time::timeout(ask.patience, fetch(request)).await;
        let fetched = fetched.unwrap_or_else(|_| {
            let hung_up = ask.patience < REQUEST_TIMEOUT;
            RawResponse::lost(if hung_up { "hung_up" } else { "no_answer" })
        });
        let answer = ClientResponse {
            outcome: fetched.outcome,
            body: fetched.body,
            remote_roles: fetched.remote_roles,
            start,
            end: self.recorder.now(),
        };
        let given = answer.grant();
        self.recorder.op(Operation {
            sender: self.sender,
            user: ask.user.to_owned(),
            known_device: ask.is_known_device,
            action: ask.action,
            session: ask
                .session
                .map(str::to_owned)
                .or_else(|| given.as_ref().map(|grant| grant.session.clone())),
            presented: ask.presented.map(token_identity),
            key: ask.key,
            expires: ask.bearer.map(|grant| grant.expires),
            issued: ask.bearer.map(|grant| grant.issued),
            roles: answer.roles(),
            listed: answer.listed(),
            given: given.map(|grant| token_identity(&grant.refresh)),
            replica,
            start,
            end: answer.end,
            outcome: answer.outcome.clone(),
        });
        answer
    }
}

/// Response as it arrived.
struct RawResponse {
    outcome: RequestOutcome,
    body: Value,
    remote_roles: Option<String>,
}

impl RawResponse {
    fn lost(code: &str) -> Self {
        Self {
            outcome: RequestOutcome::Unknown {
                code: code.to_owned(),
            },
            body: Value::Null,
            remote_roles: None,
        }
    }
}

async fn fetch(request: reqwest::RequestBuilder) -> RawResponse {
    let Ok(response) = request.send().await else {
        return RawResponse::lost("no_answer");
    };
    let status = response.status();
    let says_when = response.headers().contains_key("retry-after");
    let remote_roles = response.headers().get("remote-roles");
    let remote_roles = remote_roles.and_then(|roles| Some(roles.to_str().ok()?.to_owned()));
    let Ok(text) = response.text().await else {
        return RawResponse::lost("half_an_answer");
    };
    let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    let code = body["code"].as_str().unwrap_or("no_code").to_owned();
    let is_later = matches!(status.as_u16(), 429 | 503);
    let outcome = if status.is_success() {
        RequestOutcome::Ok
    } else if is_later && !says_when {
        RawResponse::lost("no_retry_after").outcome
    } else if status.is_server_error() || is_later {
        RequestOutcome::Unknown { code }
    } else {
        RequestOutcome::Refused { code }
    };
    RawResponse {
        outcome,
        body,
        remote_roles,
    }
}

/// Returns the identity of a refresh token that does not reveal the token.
fn token_identity(text: &str) -> TokenIdentity {
    let claims = claims(text);
    TokenIdentity {
        session: claims["sid"].as_str().unwrap_or_default().to_owned(),
        generation: claims["gen"].as_u64().unwrap_or(u64::MAX),
        digest: digest(text),
        signed_digest: digest(text.rsplit_once('.').map_or(text, |(signed, _)| signed)),
    }
}

/// Returns the claims of a JWT without a check of its signature.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap_or_default();
    let payload = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    serde_json::from_slice(&payload).unwrap_or(Value::Null)
}

/// FNV-1a: enough to distinguish tokens, of which none is chosen to collide.
fn digest(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}
