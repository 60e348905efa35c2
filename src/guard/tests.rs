//! Small poem and poem-openapi applications, called without a network.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use poem::http::{HeaderName, Method, StatusCode, header};
use poem::{Body, Endpoint, EndpointExt, Request, Response, Route, handler};
use poem_openapi::payload::{Json, PlainText};
use poem_openapi::{Object, OpenApi, OpenApiService};
use serde_json::Value;

use super::*;
use crate::denylist::memory::MemoryDenylist;
use crate::denylist::{Denial, Denied};
use crate::keys::{Algorithm, KeySet, SigningKey, random_id};
use crate::token::{self, Issuer, Kind, Typ, VerifierSettings};

mod browser;
mod header_variants;
mod matrix;
mod openapi;

const ISSUER: &str = "https://auth.example.com";
const HOUR: Duration = Duration::from_hours(1);

struct Admin;
impl RoleName for Admin {
    const NAME: &'static str = "admin";
}

struct ReadMail;
impl ScopeName for ReadMail {
    const NAME: &'static str = "mail:read";
}

#[derive(Object)]
struct Note {
    text: String,
}

struct Api;

#[expect(clippy::unused_async, reason = "poem-openapi wants async functions")]
#[OpenApi]
impl Api {
    #[oai(path = "/required", method = "get", method = "post")]
    async fn required(&self, jwt: JwtRequired) -> PlainText<String> {
        PlainText(jwt.claims.sub.clone())
    }

    #[oai(path = "/fresh", method = "get")]
    async fn fresh(&self, jwt: JwtFresh) -> PlainText<String> {
        PlainText(jwt.claims.sub.clone())
    }

    #[oai(path = "/refresh", method = "get", method = "post")]
    async fn refresh(&self, jwt: JwtRefresh) -> PlainText<String> {
        PlainText(jwt.claims.sub.clone())
    }

    #[oai(path = "/either", method = "get")]
    async fn either(&self, jwt: Jwt<EitherKind>) -> PlainText<String> {
        PlainText(jwt.claims.sub.clone())
    }

    #[oai(path = "/optional", method = "get", method = "post")]
    async fn optional(&self, jwt: JwtOptional) -> PlainText<String> {
        PlainText(name_or_nobody(jwt.claims.as_deref()))
    }

    #[oai(path = "/optional-fresh", method = "get")]
    async fn optional_fresh(&self, jwt: Jwt<Optional<Fresh>>) -> PlainText<String> {
        PlainText(name_or_nobody(jwt.claims.as_deref()))
    }

    #[oai(path = "/admin", method = "get")]
    async fn admin(&self, jwt: Jwt<Role<Admin>>) -> PlainText<String> {
        PlainText(jwt.claims.sub.clone())
    }

    #[oai(path = "/scope", method = "get")]
    async fn scope(&self, jwt: Jwt<Scope<ReadMail>>) -> PlainText<String> {
        PlainText(jwt.claims.sub.clone())
    }

    #[oai(path = "/all", method = "get")]
    async fn all(&self, jwt: Jwt<(Fresh, Role<Admin>, Scope<ReadMail>)>) -> PlainText<String> {
        PlainText(jwt.claims.sub.clone())
    }

    #[oai(path = "/notes", method = "post")]
    async fn add_note(&self, _jwt: JwtRequired, note: Json<Note>) -> PlainText<String> {
        PlainText(note.0.text)
    }
}

fn name_or_nobody(claims: Option<&Claims>) -> String {
    claims.map_or_else(|| "nobody".to_owned(), |claims| claims.sub.clone())
}

#[handler]
async fn plain(request: &Request) -> poem::Result<String> {
    let claims = authenticate::<Required>(request).await?;
    Ok(claims.sub.clone())
}

#[handler]
async fn plain_optional(request: &Request) -> poem::Result<String> {
    let claims = authenticate::<Optional>(request).await?;
    Ok(name_or_nobody(claims.as_deref()))
}

/// An issuer and a service that trusts it.
struct Desk {
    access: Issuer,
    refresh: Issuer,
    verifier: Arc<Verifier>,
    denylist: Arc<MemoryDenylist>,
    clock: Clock,
}

impl Desk {
    fn new() -> Self {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let keys = KeySet::new([key.verifying()]);
        let settings = VerifierSettings {
            typ: vec![Typ::Access, Typ::Refresh],
            ..VerifierSettings::new(ISSUER, [ISSUER])
        };
        Self {
            access: Issuer::new(key.clone()),
            refresh: Issuer::of(Typ::Refresh, key),
            verifier: Arc::new(Verifier::new(keys, settings)),
            denylist: Arc::default(),
            clock: Clock::system(),
        }
    }

    fn guards(&self) -> Guards {
        Guards::new(
            self.verifier.clone(),
            self.denylist.clone(),
            self.clock.clone(),
        )
    }

    fn app(&self) -> impl Endpoint + use<> {
        app(self.guards())
    }

    fn claims(&self) -> Claims {
        Claims {
            iss: ISSUER.to_owned(),
            aud: vec![ISSUER.to_owned()],
            sub: "alice".to_owned(),
            sid: Some(random_id()),
            ..Claims::access(self.clock.now(), HOUR)
        }
    }

    fn sign(&self, claims: &Claims) -> String {
        match claims.kind {
            Kind::Access => self.access.sign(claims).unwrap(),
            Kind::Refresh => self.refresh.sign(claims).unwrap(),
        }
    }

    fn token(&self) -> String {
        self.sign(&self.claims())
    }

    fn deny(&self, denied: Denied) {
        let now = self.clock.now();
        let not_after = now + HOUR;
        self.denylist.insert(&Denial { denied, not_after }, now);
    }
}

fn app(guards: Guards) -> impl Endpoint {
    Route::new()
        .at("/plain", poem::get(plain).post(plain))
        .at("/plain-optional", poem::get(plain_optional))
        .nest("/", OpenApiService::new(Api, "test", "1"))
        .data(guards)
}

/// A denylist that cannot be reached.
#[derive(Debug)]
struct Unreachable;

#[async_trait]
impl Denylist for Unreachable {
    async fn is_denied(&self, _: Option<&str>, _: &str, _: Time) -> Result<bool, Unavailable> {
        Err(Unavailable(Some("connection refused".into())))
    }

    async fn deny(&self, _: &[Denial], _: Time) -> Result<(), Unavailable> {
        Err(Unavailable(None))
    }
}

/// What a client sees: the status, and the body or the `code` in it.
#[derive(Debug, PartialEq, Eq)]
struct Seen(u16, String);

fn ok(body: &str) -> Seen {
    Seen(200, body.to_owned())
}

fn refused(status: u16, code: &str) -> Seen {
    Seen(status, code.to_owned())
}

fn request(method: Method, path: &str, headers: &[(HeaderName, &str)]) -> Request {
    let mut request = Request::builder().method(method).uri_str(path);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    request.finish()
}

fn bearer(token: &str) -> (HeaderName, String) {
    (header::AUTHORIZATION, format!("Bearer {token}"))
}

async fn get(app: &impl Endpoint, path: &str, authorization: Option<&str>) -> Seen {
    let headers: Vec<_> = authorization
        .into_iter()
        .map(|value| (header::AUTHORIZATION, value))
        .collect();
    see(app.get_response(request(Method::GET, path, &headers)).await).await
}

async fn see(response: Response) -> Seen {
    let status = response.status();
    let body = response.into_body().into_string().await.unwrap();
    if status.is_success() {
        return Seen(status.as_u16(), body);
    }
    let code = serde_json::from_str::<Value>(&body)
        .ok()
        .and_then(|problem| Some(problem.get("code")?.as_str()?.to_owned()))
        .unwrap_or(body);
    Seen(status.as_u16(), code)
}

#[tokio::test]
async fn a_stranger_with_a_broken_body_is_told_401() {
    let desk = Desk::new();
    let post = |headers: &[(HeaderName, &str)]| {
        let mut request = request(Method::POST, "/notes", headers);
        request.set_body(Body::from_string("{ not json".to_owned()));
        request
    };
    let (name, value) = bearer(&desk.token());

    let stranger = desk.app().get_response(post(&[])).await;
    let alice = desk.app().get_response(post(&[(name, &value)])).await;

    assert_eq!(see(stranger).await, refused(401, "missing_token"));
    assert_ne!(alice.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_denylist_out_of_order_is_503_for_good_tokens_alone() {
    let desk = Desk::new();
    let guards = Guards::new(
        desk.verifier.clone(),
        Arc::new(Unreachable),
        desk.clock.clone(),
    );
    let app = app(guards);
    let (name, value) = bearer(&desk.token());

    let response = app
        .get_response(request(Method::GET, "/required", &[(name, &value)]))
        .await;

    assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    assert!(!response.headers().contains_key(header::WWW_AUTHENTICATE));
    assert_eq!(see(response).await, refused(503, "unavailable"));
    assert_eq!(
        get(&app, "/optional", Some(&value)).await,
        refused(503, "unavailable")
    );
    assert_eq!(
        get(&app, "/fresh", Some(&value)).await,
        refused(401, "fresh_token_required")
    );
    assert_eq!(
        get(&app, "/required", Some("Bearer junk")).await,
        refused(401, "malformed_token")
    );
    assert_eq!(get(&app, "/optional", None).await, ok("nobody"));
}

#[tokio::test]
async fn a_route_without_guards_admits_nobody() {
    let app = Route::new().nest("/", OpenApiService::new(Api, "test", "1"));

    assert_eq!(
        get(&app, "/required", None).await,
        refused(503, "unavailable")
    );
    assert_eq!(
        get(&app, "/optional", None).await,
        refused(503, "unavailable")
    );
}

#[tokio::test]
async fn a_token_is_refused_by_the_request_after_its_session_was_denied() {
    let desk = Desk::new();
    let claims = desk.claims();
    let authorization = format!("Bearer {}", desk.sign(&claims));
    let app = desk.app();

    let before = get(&app, "/required", Some(&authorization)).await;
    desk.deny(Denied::Session(claims.sid.unwrap()));
    let after = get(&app, "/required", Some(&authorization)).await;

    assert_eq!(before, ok("alice"));
    assert_eq!(after, refused(401, "token_revoked"));
}

#[tokio::test]
async fn a_token_without_a_session_is_denied_by_its_own_id() {
    let desk = Desk::new();
    let claims = Claims {
        sid: None,
        ..desk.claims()
    };
    let authorization = format!("Bearer {}", desk.sign(&claims));

    desk.deny(Denied::Token(claims.jti));

    assert_eq!(
        get(&desk.app(), "/required", Some(&authorization)).await,
        refused(401, "token_revoked")
    );
}

#[tokio::test]
async fn the_challenge_blames_a_token_only_when_one_was_shown() {
    let desk = Desk::new();
    let challenge = async |authorization: &str| {
        let headers = [(header::AUTHORIZATION, authorization)];
        let response = desk
            .app()
            .get_response(request(Method::GET, "/required", &headers))
            .await;
        response.headers()[header::WWW_AUTHENTICATE]
            .to_str()
            .unwrap()
            .to_owned()
    };

    assert!(!challenge("Basic dTpw").await.contains("error"));
    assert!(
        challenge("Bearer junk")
            .await
            .contains(r#"error="invalid_token""#)
    );
}
