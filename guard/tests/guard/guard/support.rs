//! The applications under test, with tokens, requests and responses of their clients.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use poem::http::{HeaderName, Method, header};
use poem::{Endpoint, EndpointExt, Request, Response, Route, handler};
use poem_openapi::payload::{Json, PlainText};
use poem_openapi::{Object, OpenApi, OpenApiService};
use serde_json::Value;

use latchet_guard::clock::{Clock, Time};
use latchet_guard::denylist::memory::MemoryDenylist;
use latchet_guard::denylist::{
    Denial, DenialTarget, Denylist, DenylistUnavailable, TokenIds, TokenStatus,
};
use latchet_guard::keys::{Algorithm, KeySet, SigningKey, random_id};
use latchet_guard::token::{Claims, Issuer, TokenKind, Typ, Verifier, VerifierSettings};
use latchet_guard::*;

pub(super) const ISSUER: &str = "https://auth.example.com";
pub(super) const HOUR: Duration = Duration::from_hours(1);

pub(super) struct Admin;
impl RoleName for Admin {
    const NAME: &'static str = "admin";
}

pub(super) struct ReadMail;
impl ScopeName for ReadMail {
    const NAME: &'static str = "mail:read";
}

#[derive(Object)]
pub(super) struct Note {
    text: String,
}

pub(super) struct Api;

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
    async fn admin(&self, jwt: Jwt<HasRole<Admin>>) -> PlainText<String> {
        PlainText(jwt.claims.sub.clone())
    }

    #[oai(path = "/scope", method = "get")]
    async fn scope(&self, jwt: Jwt<HasScope<ReadMail>>) -> PlainText<String> {
        PlainText(jwt.claims.sub.clone())
    }

    #[oai(path = "/all", method = "get")]
    async fn all(
        &self,
        jwt: Jwt<(Fresh, HasRole<Admin>, HasScope<ReadMail>)>,
    ) -> PlainText<String> {
        PlainText(jwt.claims.sub.clone())
    }

    #[oai(path = "/notes", method = "post")]
    async fn add_note(&self, _jwt: JwtRequired, note: Json<Note>) -> PlainText<String> {
        PlainText(note.0.text)
    }
}

pub(super) fn name_or_nobody(claims: Option<&Claims>) -> String {
    claims.map_or_else(|| "nobody".to_owned(), |claims| claims.sub.clone())
}

#[handler]
pub(super) async fn plain(request: &Request) -> poem::Result<String> {
    let claims = authenticate::<Required>(request).await?;
    Ok(claims.sub.clone())
}

#[handler]
async fn plain_optional(request: &Request) -> poem::Result<String> {
    let claims = authenticate::<Optional>(request).await?;
    Ok(name_or_nobody(claims.as_deref()))
}

/// An issuer and a service that trusts it.
pub(super) struct TestService {
    pub(super) access: Issuer,
    pub(super) refresh: Issuer,
    pub(super) verifier: Arc<Verifier>,
    pub(super) denylist: Arc<MemoryDenylist>,
    pub(super) clock: Clock,
}

impl TestService {
    pub(super) fn new() -> Self {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let keys = KeySet::new([key.verifying_key()]);
        let settings = VerifierSettings {
            typ: vec![Typ::Access, Typ::Refresh],
            ..VerifierSettings::new(ISSUER, [ISSUER])
        };
        Self {
            access: Issuer::new(key.clone()),
            refresh: Issuer::with_typ(Typ::Refresh, key),
            verifier: Arc::new(Verifier::new(keys, settings)),
            denylist: Arc::default(),
            clock: Clock::system(),
        }
    }

    pub(super) fn guards(&self) -> Guards {
        Guards::new(
            self.verifier.clone(),
            self.denylist.clone(),
            self.clock.clone(),
        )
    }

    pub(super) fn app(&self) -> impl Endpoint + use<> {
        app(self.guards())
    }

    pub(super) fn claims(&self) -> Claims {
        Claims {
            iss: ISSUER.to_owned(),
            aud: vec![ISSUER.to_owned()],
            sub: "alice".to_owned(),
            sid: Some(random_id()),
            ..Claims::access(self.clock.now(), HOUR)
        }
    }

    pub(super) fn sign(&self, claims: &Claims) -> String {
        match claims.kind {
            TokenKind::Access => self.access.sign(claims).unwrap(),
            TokenKind::Refresh => self.refresh.sign(claims).unwrap(),
        }
    }

    pub(super) fn token(&self) -> String {
        self.sign(&self.claims())
    }

    pub(super) fn deny(&self, denied: DenialTarget) {
        let now = self.clock.now();
        let not_after = now + HOUR;
        self.denylist.insert(&Denial { denied, not_after }, now);
    }
}

pub(super) fn app(guards: Guards) -> impl Endpoint {
    Route::new()
        .at("/plain", poem::get(plain).post(plain))
        .at("/plain-optional", poem::get(plain_optional))
        .nest("/", OpenApiService::new(Api, "test", "1"))
        .data(guards)
}

/// A denylist that cannot be reached.
#[derive(Debug)]
pub(super) struct Unreachable;

#[async_trait]
impl Denylist for Unreachable {
    async fn check(&self, _: TokenIds<'_>, _: Time) -> Result<TokenStatus, DenylistUnavailable> {
        Err(DenylistUnavailable(Some("connection refused".into())))
    }

    async fn deny(&self, _: &[Denial], _: Time) -> Result<(), DenylistUnavailable> {
        Err(DenylistUnavailable(None))
    }
}

/// Response as a client sees it: the status, and the body or the `code` in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TestResponse(pub(super) u16, pub(super) String);

pub(super) fn ok(body: &str) -> TestResponse {
    TestResponse(200, body.to_owned())
}

pub(super) fn refused(status: u16, code: &str) -> TestResponse {
    TestResponse(status, code.to_owned())
}

pub(super) fn request(method: Method, path: &str, headers: &[(HeaderName, &str)]) -> Request {
    let mut request = Request::builder().method(method).uri_str(path);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    request.finish()
}

pub(super) fn bearer(token: &str) -> (HeaderName, String) {
    (header::AUTHORIZATION, format!("Bearer {token}"))
}

pub(super) async fn get(
    app: &impl Endpoint,
    path: &str,
    authorization: Option<&str>,
) -> TestResponse {
    let headers: Vec<_> = authorization
        .into_iter()
        .map(|value| (header::AUTHORIZATION, value))
        .collect();
    read_response(app.get_response(request(Method::GET, path, &headers)).await).await
}

pub(super) async fn read_response(response: Response) -> TestResponse {
    let status = response.status();
    let body = response.into_body().into_string().await.unwrap();
    if status.is_success() {
        return TestResponse(status.as_u16(), body);
    }
    let code = serde_json::from_str::<Value>(&body)
        .ok()
        .and_then(|problem| Some(problem.get("code")?.as_str()?.to_owned()))
        .unwrap_or(body);
    TestResponse(status.as_u16(), code)
}
