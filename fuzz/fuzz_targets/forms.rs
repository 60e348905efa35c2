//! Forms, `Basic` and scopes at the OAuth endpoints of a whole server: every response has its form, only
//! the right password or token is answered with tokens, and no response repeats a password.
#![no_main]

use std::sync::{LazyLock, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use latchet_guard::clock::Clock;
use latchet::accounts::NewAccount;
use latchet::config::Config;
use latchet::security_events::Actor;
use latchet::names::{ADMIN, UserRole, Username};
use latchet::serve::Lifecycle;
use latchet::{App, routes};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use poem::endpoint::BoxEndpoint;
use poem::http::header::{AUTHORIZATION, CONTENT_TYPE};
use poem::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use poem::{Endpoint, EndpointExt, Request, Response};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const PASSWORD: &str = "a long password of alice";
const SCOPES: [&str; 2] = ["read", "write"];

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Path {
    Token,
    Revoke,
    Introspect,
}

/// A name or a value of a parameter: what makes sense in its place, or anything.
#[derive(Arbitrary, Debug)]
enum Word<'a> {
    GrantType,
    Username,
    Password,
    RefreshToken,
    Scope,
    ClientId,
    Token,
    Alice,
    HerPassword,
    HerRefreshToken,
    HerAccessToken,
    Scopes,
    Text(&'a str),
}

#[derive(Arbitrary, Debug)]
enum Form<'a> {
    Pairs(Vec<(Word<'a>, Word<'a>)>),
    Bytes(&'a [u8]),
}

#[derive(Arbitrary, Debug)]
enum Authorization<'a> {
    Absent,
    Bearer,
    Basic(&'a [u8]),
    Bytes(&'a [u8]),
}

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    path: Path,
    form: Form<'a>,
    authorization: Authorization<'a>,
    key: Option<&'a [u8]>,
    content_type: Option<&'a [u8]>,
}

/// Alice's tokens, from the latest response that carried one.
#[derive(Clone, Default)]
struct Tokens {
    access: String,
    refresh: String,
}

impl Tokens {
    fn of(answer: &Value) -> Self {
        let token = |name: &str| answer[name].as_str().expect("it is there").to_owned();
        Self {
            access: token("access_token"),
            refresh: token("refresh_token"),
        }
    }
}

struct Server {
    runtime: Runtime,
    app: BoxEndpoint<'static, Response>,
    tokens: Mutex<Tokens>,
    _upkeep: tokio::task::JoinSet<()>,
    _data: TempDir,
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let data = TempDir::new().unwrap();
    let env = [
        ("LATCHET_DATA_DIR", data.path().to_str().unwrap()),
        ("LATCHET_SCOPES", "read,write"),
        ("LATCHET_PASSWORD_THREADS", "1"),
        ("LATCHET_ARGON2_MEMORY_KIB", "7168"),
        ("LATCHET_ARGON2_PASSES", "5"),
        // A client that guesses this long would be throttled, and nothing more would be seen.
        ("LATCHET_THROTTLE_ACCOUNT", "1000000000/1s"),
        ("LATCHET_THROTTLE_IP", "1000000000/1s"),
        ("LATCHET_ACCESS_TTL", "1d"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::load(["latchet"], env).unwrap();
    let runtime = Runtime::new().unwrap();
    let (app, upkeep) = runtime.block_on(async {
        let app = App::open(config, Clock::system()).await.unwrap();
        let alice = NewAccount {
            username: Username::parse("alice").unwrap(),
            password: PASSWORD.into(),
            roles: vec![UserRole::parse(ADMIN).unwrap()],
        };
        app.accounts.create_user(alice, &Actor::Operator).await.unwrap();
        let upkeep = app.spawn_background_tasks();
        (
            routes(&app, Lifecycle::default()).map_to_response().boxed(),
            upkeep,
        )
    });
    let tokens = runtime.block_on(first_login(&app));
    Server {
        runtime,
        app,
        tokens: Mutex::new(tokens),
        _upkeep: upkeep,
        _data: data,
    }
});

/// Alice has tokens from the start: what is done with a good one must not wait until a form happens
/// to log her in.
async fn first_login(app: &BoxEndpoint<'static, Response>) -> Tokens {
    let input = Input {
        path: Path::Token,
        form: Form::Pairs(vec![
            (Word::GrantType, Word::Password),
            (Word::Username, Word::Alice),
            (Word::Password, Word::HerPassword),
        ]),
        authorization: Authorization::Absent,
        key: None,
        content_type: None,
    };
    let none = Tokens::default();
    let request = request(&input, &body(&input.form, &none), &none);
    let answer = app.get_response(request).await;
    let text = answer.into_body().into_string().await.expect("it is text");
    Tokens::of(&serde_json::from_str(&text).expect("tokens come in JSON"))
}

impl Path {
    const fn name(self) -> &'static str {
        match self {
            Self::Token => "/oauth/token",
            Self::Revoke => "/oauth/revoke",
            Self::Introspect => "/oauth/introspect",
        }
    }
}

impl Word<'_> {
    fn text<'a>(&'a self, tokens: &'a Tokens) -> &'a str {
        match self {
            Self::GrantType => "grant_type",
            Self::Username => "username",
            Self::Password => "password",
            Self::RefreshToken => "refresh_token",
            Self::Scope => "scope",
            Self::ClientId => "client_id",
            Self::Token => "token",
            Self::Alice => "alice",
            Self::HerPassword => PASSWORD,
            Self::HerRefreshToken => &tokens.refresh,
            Self::HerAccessToken => &tokens.access,
            Self::Scopes => "read write",
            Self::Text(text) => text,
        }
    }
}

fn body(form: &Form<'_>, tokens: &Tokens) -> Vec<u8> {
    match form {
        Form::Bytes(bytes) => bytes.to_vec(),
        Form::Pairs(pairs) => {
            let mut form = form_urlencoded::Serializer::new(String::new());
            let texts = pairs
                .iter()
                .map(|(name, value)| (name.text(tokens), value.text(tokens)));
            form.extend_pairs(texts).finish().into_bytes()
        }
    }
}

fn request(input: &Input<'_>, body: &[u8], tokens: &Tokens) -> Request {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(Uri::from_static(input.path.name()))
        .body(body.to_vec());
    let authorization = match &input.authorization {
        Authorization::Absent => None,
        Authorization::Bearer => Some(format!("Bearer {}", tokens.access).into_bytes()),
        Authorization::Basic(pair) => Some(format!("Basic {}", STANDARD.encode(pair)).into_bytes()),
        Authorization::Bytes(bytes) => Some(bytes.to_vec()),
    };
    let form = &b"application/x-www-form-urlencoded"[..];
    let lines = [
        (AUTHORIZATION, authorization.as_deref()),
        (HeaderName::from_static("idempotency-key"), input.key),
        (CONTENT_TYPE, Some(input.content_type.unwrap_or(form))),
    ];
    for (name, value) in lines {
        if let Some(Ok(value)) = value.map(HeaderValue::from_bytes) {
            request.headers_mut().insert(name, value);
        }
    }
    request
}

/// Returns the one value that a parameter has; RFC 6749 lets none come twice, and an empty one counts
/// as absent.
fn only<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut values = pairs
        .iter()
        .filter(|(own, value)| own == name && !value.is_empty());
    let value = values.next()?;
    assert!(
        values.next().is_none(),
        "`{name}` was taken though it came twice"
    );
    Some(&value.1)
}

/// A client that receives tokens has presented the password or a token, and gets no scope that is not
/// granted here.
fn check_grant(body: &[u8], answer: &Value) {
    let pairs: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
    match only(&pairs, "grant_type") {
        Some("password") => {
            let name = only(&pairs, "username").expect("somebody was named");
            assert_eq!(Username::parse(name), Username::parse("alice"));
            assert_eq!(only(&pairs, "password"), Some(PASSWORD));
        }
        Some("refresh_token") => assert!(only(&pairs, "refresh_token").is_some()),
        other => panic!("{other:?} is no grant"),
    }
    let granted = answer["scope"].as_str().unwrap_or_default();
    assert!(
        granted
            .split_whitespace()
            .all(|scope| SCOPES.contains(&scope)),
        "{granted}"
    );
}

fuzz_target!(|input: Input<'_>| {
    let server = &*SERVER;
    let tokens = server.tokens.lock().unwrap().clone();
    let body = body(&input.form, &tokens);
    let request = request(&input, &body, &tokens);
    let (status, text) = server.runtime.block_on(async {
        let answer = server.app.get_response(request).await;
        (
            answer.status(),
            answer.into_body().into_string().await.expect("it is text"),
        )
    });

    assert!(!status.is_server_error(), "{status} {text}");
    assert!(!text.contains(PASSWORD), "{text}");
    if status != StatusCode::OK {
        let answer: Value = serde_json::from_str(&text).expect("a refusal is JSON");
        assert!(answer["error"].is_string(), "{status} {text}");
        return;
    }
    if let Path::Token = input.path {
        let answer: Value = serde_json::from_str(&text).expect("tokens come in JSON");
        check_grant(&body, &answer);
        *server.tokens.lock().unwrap() = Tokens::of(&answer);
    }
});
