//! Requests of clients, each of them recorded.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chaos::history::{Act, Op, Outcome, Token, Who};
use serde_json::{Value, json};

use crate::ACCESS_TTL;
use crate::record::Recorder;
use crate::world::World;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks any replica, and records what comes of it.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    world: Arc<World>,
    recorder: Arc<Recorder>,
    who: Who,
}

/// What a login or refresh gave.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) session: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
    /// When the access token ends, by the clock of the run.
    pub(crate) expires: u64,
}

/// A request to be made.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) user: &'a str,
    pub(crate) act: Act,
    pub(crate) session: Option<&'a str>,
    method: &'static str,
    path: String,
    bearer: Option<&'a str>,
    body: Value,
    shown: Option<&'a str>,
    key: Option<u64>,
    expires: Option<u64>,
    patience: Duration,
}

impl<'a> Ask<'a> {
    fn new(user: &'a str, act: Act, method: &'static str, path: impl Into<String>) -> Self {
        Self {
            user,
            act,
            session: None,
            method,
            path: path.into(),
            bearer: None,
            body: Value::Null,
            shown: None,
            key: None,
            expires: None,
            patience: PATIENCE,
        }
    }

    pub(crate) fn login(user: &'a str, password: u32, text: &str) -> Self {
        Self {
            body: json!({"username": user, "password": text}),
            ..Self::new(user, Act::LogIn { password }, "POST", "/v1/login")
        }
    }

    pub(crate) fn refresh(user: &'a str, grant: &'a Grant, key: Option<u64>) -> Self {
        Self {
            session: Some(&grant.session),
            body: json!({"refresh_token": grant.refresh}),
            shown: Some(&grant.refresh),
            key,
            ..Self::new(user, Act::Refresh, "POST", "/v1/refresh")
        }
    }

    /// A request with the access token of a session.
    pub(crate) fn of(user: &'a str, grant: &'a Grant, act: Act) -> Self {
        let (method, path) = match &act {
            Act::LogOut => ("POST", "/v1/logout".to_owned()),
            Act::LogOutEverywhere => ("POST", "/v1/logout/all".to_owned()),
            Act::Revoke { target } => ("DELETE", format!("/v1/me/sessions/{target}")),
            Act::ChangePassword { .. } => ("POST", "/v1/me/password".to_owned()),
            _ => ("GET", "/v1/me".to_owned()),
        };
        Self {
            session: Some(&grant.session),
            bearer: Some(&grant.access),
            expires: Some(grant.expires),
            ..Self::new(user, act, method, path)
        }
    }

    /// A look at the signing keys, which every replica has in memory.
    pub(crate) fn keys(user: &'a str, grant: &'a Grant) -> Self {
        Self {
            path: "/v1/keys".to_owned(),
            ..Self::of(user, grant, Act::Check)
        }
    }

    /// A request of an administrator about somebody.
    pub(crate) fn admin(user: &'a str, act: Act, path: &str) -> Self {
        Self::new(user, act, "POST", path)
    }

    /// With the access token of this session, which may be another's than whom it is about.
    pub(crate) fn by(self, grant: &'a Grant) -> Self {
        Self {
            bearer: Some(&grant.access),
            expires: Some(grant.expires),
            ..self
        }
    }

    pub(crate) fn body(self, body: Value) -> Self {
        Self { body, ..self }
    }

    /// Hangs up after this time, whatever has come.
    pub(crate) fn hang_up(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}

/// An answer, as far as clients use it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) outcome: Outcome,
    pub(crate) body: Value,
    /// When it was there, by the clock of the run.
    pub(crate) end: u64,
}

impl Answer {
    pub(crate) fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }

    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self.outcome, Outcome::Unknown { .. })
    }

    /// Whether an access token was refused for its age alone.
    pub(crate) fn is_expired(&self) -> bool {
        matches!(&self.outcome, Outcome::No { code } if code == "token_expired")
    }

    /// Returns the tokens of the answer.
    pub(crate) fn grant(&self) -> Option<Grant> {
        let text = |name: &str| Some(self.body.get(name)?.as_str()?.to_owned());
        // By the setting: what is answered was reckoned by a clock that may be wrong.
        let life = u64::try_from(ACCESS_TTL.as_micros()).ok()?;
        Some(Grant {
            expires: self.end + life,
            session: text("session_id")?,
            access: text("access_token")?,
            refresh: text("refresh_token")?,
        })
    }
}

impl Client {
    pub(crate) fn new(world: &Arc<World>, recorder: &Arc<Recorder>, who: Who) -> Self {
        Self {
            http: reqwest::Client::new(),
            world: Arc::clone(world),
            recorder: Arc::clone(recorder),
            who,
        }
    }

    /// Returns the time of the run, in microseconds.
    pub(crate) fn now(&self) -> u64 {
        self.recorder.now()
    }

    pub(crate) fn replicas(&self) -> usize {
        self.world.replicas.len()
    }

    /// Asks a replica, waits for the answer and records both.
    pub(crate) async fn ask(&self, ask: Ask<'_>, replica: usize) -> Answer {
        let url = format!("{}{}", self.world.replicas[replica].url, ask.path);
        let mut request = self
            .http
            .request(ask.method.parse().expect("it is a method"), url);
        if let Some(token) = ask.bearer {
            request = request.bearer_auth(token);
        }
        if let Some(key) = ask.key {
            request = request.header("Idempotency-Key", format!("chaos-{key:032x}"));
        }
        if ask.body != Value::Null {
            request = request.json(&ask.body);
        }
        let start = self.recorder.begin();
        let answer = tokio::time::timeout(ask.patience, fetch(request)).await;
        let end = self.recorder.now();
        let (outcome, body) = answer.unwrap_or_else(|_| {
            let hung_up = ask.patience < PATIENCE;
            lost(if hung_up { "hung_up" } else { "no_answer" })
        });
        let answer = Answer { outcome, body, end };
        let grant = answer.grant();
        let made = grant.as_ref().map(|grant| grant.session.clone());
        self.recorder.op(Op {
            who: self.who,
            user: ask.user.to_owned(),
            act: ask.act,
            session: ask.session.map(str::to_owned).or(made),
            shown: ask.shown.map(token),
            key: ask.key,
            expires: ask.expires,
            given: grant.map(|grant| token(&grant.refresh)),
            replica,
            start,
            end,
            outcome: answer.outcome.clone(),
        });
        answer
    }
}

async fn fetch(request: reqwest::RequestBuilder) -> (Outcome, Value) {
    let Ok(response) = request.send().await else {
        return lost("no_answer");
    };
    let status = response.status();
    let says_when = response.headers().contains_key("retry-after");
    let Ok(text) = response.text().await else {
        return lost("half_an_answer");
    };
    let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    let code = body["code"].as_str().unwrap_or("no_code").to_owned();
    let outcome = if status.is_success() {
        Outcome::Ok
    } else if matches!(status.as_u16(), 429 | 503) && !says_when {
        lost("no_retry_after").0
    } else if status.is_server_error() || status.as_u16() == 429 {
        Outcome::Unknown { code }
    } else {
        Outcome::No { code }
    };
    (outcome, body)
}

fn lost(code: &str) -> (Outcome, Value) {
    let code = code.to_owned();
    (Outcome::Unknown { code }, Value::Null)
}

/// Tells a refresh token without giving it away.
fn token(text: &str) -> Token {
    let payload = text.split('.').nth(1).unwrap_or_default();
    let payload = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    let claims: Value = serde_json::from_slice(&payload).unwrap_or(Value::Null);
    Token {
        session: claims["sid"].as_str().unwrap_or_default().to_owned(),
        generation: claims["gen"].as_u64().unwrap_or(u64::MAX),
        digest: digest(text),
    }
}

/// FNV-1a: enough to tell tokens apart, of which none is made to collide.
fn digest(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}
