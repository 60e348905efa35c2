//! The answer that carries tokens: the same fields everywhere, and cookies where they were asked for.

use poem::http::HeaderValue;
use poem::http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA, SET_COOKIE};
use poem::{IntoResponse, Response};
use poem_openapi::payload::Json;
use poem_openapi::registry::{MetaResponses, Registry};
use poem_openapi::types::ToJSON;
use poem_openapi::{ApiResponse, Object};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::cookies::Cookies;
use crate::server::App;
use crate::server::sessions::{AccessGrant, Grant};

/// The tokens of a session.
#[derive(Debug, Object, Serialize)]
#[oai(skip_serializing_if_is_none)]
pub(super) struct TokenAnswer {
    /// Goes into `Authorization: Bearer …` of each request.
    access_token: String,
    /// Always `Bearer`.
    token_type: String,
    /// Seconds the access token lives.
    expires_in: u64,
    /// Exchanged for the next tokens; absent when it travels as a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// Seconds until the session ends if it is not refreshed.
    refresh_expires_in: u64,
    /// Names the session: the `sid` of its tokens.
    session_id: String,
    /// Scopes of the access token, separated by spaces; absent when it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// Only with cookies: goes into `X-CSRF-Token` of `POST /v1/refresh` and `POST /v1/logout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    csrf_token: Option<String>,
    /// Only after a login without cookies: proves at the next login that the account knows this device,
    /// so that the wrong guesses of others do not get in the way. Keep it with the refresh token, and
    /// beyond the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    device_token: Option<String>,
}

/// A new access token of a session that keeps its refresh token.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(super) struct AccessTokenAnswer {
    /// Goes into `Authorization: Bearer …` of each request.
    access_token: String,
    /// Always `Bearer`.
    token_type: String,
    /// Seconds the access token lives.
    expires_in: u64,
    /// Names the session: the `sid` of its tokens.
    session_id: String,
    /// Scopes of the access token, separated by spaces; absent when it has none.
    scope: Option<String>,
}

impl From<AccessGrant> for AccessTokenAnswer {
    fn from(grant: AccessGrant) -> Self {
        Self {
            access_token: grant.access_token,
            token_type: "Bearer".to_owned(),
            expires_in: grant.expires_in,
            session_id: grant.session_id.to_string(),
            scope: Some(grant.scope).filter(|scope| !scope.is_empty()),
        }
    }
}

/// An answer that no cache may keep, with cookies.
#[derive(Debug)]
pub(super) struct Private<T> {
    body: T,
    cookies: Vec<HeaderValue>,
}

/// The tokens of a session, in the body or half of them as cookies.
pub(super) type Tokens = Private<Written>;

/// JSON as [`Json`] has it, but written at once, without a tree of values made first and with room for
/// all of it: what all refreshes are answered with.
#[derive(Debug)]
pub(super) struct Written(TokenAnswer);

impl Written {
    /// Bytes that need no further room.
    const USUAL: usize = 2048;

    /// Headers that need no further room, those that every answer gets included.
    const HEADERS: usize = 12;
}

impl IntoResponse for Written {
    fn into_response(self) -> Response {
        let mut json = Vec::with_capacity(Self::USUAL);
        #[expect(
            clippy::expect_used,
            reason = "text and numbers always have a JSON form, and memory takes it"
        )]
        serde_json::to_writer(&mut json, &self.0).expect("it is text and numbers");
        let mut response = Response::from(json);
        let headers = response.headers_mut();
        headers.reserve(Self::HEADERS);
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        headers.insert(CONTENT_TYPE, json);
        response
    }
}

impl ApiResponse for Written {
    fn meta() -> MetaResponses {
        Json::<TokenAnswer>::meta()
    }

    fn register(registry: &mut Registry) {
        Json::<TokenAnswer>::register(registry);
    }
}

impl<T> Private<T> {
    /// Returns an answer without cookies.
    pub(super) fn new(body: T) -> Self {
        Self {
            body,
            cookies: Vec::new(),
        }
    }

    /// Returns the answer with these `Set-Cookie` values.
    pub(super) fn with_cookies(mut self, cookies: Vec<HeaderValue>) -> Self {
        self.cookies = cookies;
        self
    }

    /// Returns the answer with one more `Set-Cookie` value.
    pub(super) fn with_cookie(mut self, cookie: HeaderValue) -> Self {
        self.cookies.push(cookie);
        self
    }
}

impl Tokens {
    /// Puts all tokens into the body.
    pub(super) fn in_body(grant: Grant) -> Self {
        let refresh_token = grant.refresh_token.expose_secret().to_owned();
        let mut answer = answer(grant);
        answer.refresh_token = Some(refresh_token);
        Self::new(Written(answer))
    }

    /// Puts all tokens into the body, and sets the cookies too: the client has sent the same refresh
    /// token in both, and the cookie of before would be an old one.
    pub(super) fn in_both(grant: Grant, cookies: &Cookies, app: &App) -> Self {
        let csrf = Cookies::new_csrf(app, &grant);
        let lines = cookies.keep(&grant.refresh_token, &csrf, grant.refresh_expires_in);
        Self::in_body(grant).with_cookies(lines)
    }

    /// Puts the refresh token where no script can read it.
    pub(super) fn in_cookies(grant: Grant, cookies: &Cookies, csrf: String) -> Self {
        let lines = cookies.keep(&grant.refresh_token, &csrf, grant.refresh_expires_in);
        let mut answer = answer(grant);
        answer.csrf_token = Some(csrf);
        Self::new(Written(answer)).with_cookies(lines)
    }

    /// Puts the proof of the known device into the body.
    pub(super) fn with_device(mut self, token: &SecretString) -> Self {
        self.body.0.device_token = Some(token.expose_secret().to_owned());
        self
    }
}

fn answer(grant: Grant) -> TokenAnswer {
    TokenAnswer {
        access_token: grant.access.access_token,
        token_type: "Bearer".to_owned(),
        expires_in: grant.access.expires_in,
        refresh_token: None,
        refresh_expires_in: grant.refresh_expires_in,
        session_id: grant.access.session_id.to_string(),
        scope: Some(grant.access.scope).filter(|scope| !scope.is_empty()),
        csrf_token: None,
        device_token: None,
    }
}

impl<T: IntoResponse> IntoResponse for Private<T> {
    fn into_response(self) -> Response {
        let mut response = self.body.into_response();
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // RFC 6749, 5.1 asks for it beside the former.
        headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
        for line in self.cookies {
            headers.append(SET_COOKIE, line);
        }
        response
    }
}

impl<T: ApiResponse> ApiResponse for Private<T> {
    fn meta() -> MetaResponses {
        T::meta()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// Done; there is nothing to say.
#[derive(Debug, ApiResponse)]
pub(super) enum Done {
    /// Done.
    #[oai(status = 204)]
    Done,
}

/// Something was made.
#[derive(Debug, ApiResponse)]
pub(super) enum Created<T: ToJSON> {
    /// Made.
    #[oai(status = 201)]
    Created(Json<T>, #[oai(header = "Location")] String),
}
