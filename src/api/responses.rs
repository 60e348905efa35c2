//! Responses that carry tokens, in the body or as cookies; and the other shared response types.

use poem::http::HeaderValue;
use poem::http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA, SET_COOKIE};
use poem::{IntoResponse, Response};
use poem_openapi::payload::Json;
use poem_openapi::registry::{MetaResponses, Registry};
use poem_openapi::types::ToJSON;
use poem_openapi::{ApiResponse, Object};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::cookies::SessionCookies;
use crate::App;
use crate::token_issuer::{IssuedAccessToken, IssuedServiceToken, IssuedTokens};

/// The tokens of a session.
#[derive(Debug, Object, Serialize)]
#[oai(skip_serializing_if_is_none)]
#[oai(rename = "TokenAnswer")]
pub(super) struct TokenBody {
    /// Access token, sent as `Authorization: Bearer …` with each request.
    access_token: String,
    /// Always `Bearer`.
    token_type: String,
    /// Lifetime of the access token in seconds.
    expires_in: u64,
    /// Refresh token, exchanged for the next tokens; absent when it is set as a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// Seconds until the session ends if it is not refreshed.
    refresh_expires_in: u64,
    /// Id of the session: the `sid` of its tokens.
    session_id: String,
    /// Scopes of the access token, separated by spaces; absent when it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// Only with cookies: CSRF value, sent as `X-CSRF-Token` with `POST /v1/refresh` and `POST /v1/logout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    csrf_token: Option<String>,
    /// Only after a login without cookies: proves at the next login that the account knows this device, so
    /// that failed attempts from elsewhere do not block that login. Keep it with the refresh token, and
    /// after the session has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    device_token: Option<String>,
}

/// The response of the token endpoint (RFC 6749, 5.1).
#[derive(Debug, Object, Serialize)]
#[oai(skip_serializing_if_is_none)]
#[oai(rename = "OAuthTokenAnswer")]
pub(super) struct OauthTokenBody {
    /// Access token, sent as `Authorization: Bearer …` with each request.
    access_token: String,
    /// Always `Bearer`.
    token_type: String,
    /// Lifetime of the access token in seconds.
    expires_in: u64,
    /// Scopes of the access token, separated by spaces; absent when it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// Refresh token, exchanged for the next tokens; absent with `client_credentials`, as the following members.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// Seconds until the session ends if it is not refreshed.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_expires_in: Option<u64>,
    /// Id of the session: the `sid` of its tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    /// Only with `password`: proves at the next login that the account knows this device, so that failed attempts
    /// from elsewhere do not block that login. Keep it with the refresh token, and after the session has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    device_token: Option<String>,
}

/// A new access token of a session that keeps its refresh token.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
#[oai(rename = "AccessTokenAnswer")]
pub(super) struct AccessTokenResponse {
    /// Access token, sent as `Authorization: Bearer …` with each request.
    access_token: String,
    /// Always `Bearer`.
    token_type: String,
    /// Lifetime of the access token in seconds.
    expires_in: u64,
    /// Id of the session: the `sid` of its tokens.
    session_id: String,
    /// Scopes of the access token, separated by spaces; absent when it has none.
    scope: Option<String>,
}

impl From<IssuedAccessToken> for AccessTokenResponse {
    fn from(grant: IssuedAccessToken) -> Self {
        Self {
            access_token: grant.access_token,
            token_type: "Bearer".to_owned(),
            expires_in: grant.expires_in,
            session_id: grant.session_id.to_string(),
            scope: Some(grant.scope).filter(|scope| !scope.is_empty()),
        }
    }
}

/// A response that no cache may store, with optional cookies.
#[derive(Debug)]
pub(super) struct NoStore<T> {
    body: T,
    cookies: Vec<HeaderValue>,
}

/// The tokens of a session: all in the body, or the refresh token as a cookie.
pub(super) type SessionTokensResponse = NoStore<TokenJson<TokenBody>>;

/// The tokens of a session or of a service in the body, for OAuth clients.
pub(super) type OauthTokensResponse = NoStore<TokenJson<OauthTokenBody>>;

/// The same JSON as [`Json`], serialized directly into a buffer of the right size, without a value tree.
/// Every refresh is answered with it, so its speed matters.
#[derive(Debug)]
pub(super) struct TokenJson<B>(B);

impl<B> TokenJson<B> {
    /// Capacity that a usual body fits into.
    const BODY_CAPACITY: usize = 2048;

    /// Capacity for headers, including those that every response gets.
    const HEADER_CAPACITY: usize = 12;
}

impl<B: Serialize + Send> IntoResponse for TokenJson<B> {
    fn into_response(self) -> Response {
        let mut json = Vec::with_capacity(Self::BODY_CAPACITY);
        #[expect(
            clippy::expect_used,
            reason = "text and numbers always have a JSON form, and memory takes it"
        )]
        serde_json::to_writer(&mut json, &self.0).expect("it is text and numbers");
        let mut response = Response::from(json);
        let headers = response.headers_mut();
        headers.reserve(Self::HEADER_CAPACITY);
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        headers.insert(CONTENT_TYPE, json);
        response
    }
}

impl<B: ToJSON> ApiResponse for TokenJson<B> {
    fn meta() -> MetaResponses {
        Json::<B>::meta()
    }

    fn register(registry: &mut Registry) {
        Json::<B>::register(registry);
    }
}

impl<T> NoStore<T> {
    /// Returns a response without cookies.
    pub(super) fn new(body: T) -> Self {
        Self {
            body,
            cookies: Vec::new(),
        }
    }

    /// Replaces the `Set-Cookie` values of the response.
    pub(super) fn with_cookies(mut self, cookies: Vec<HeaderValue>) -> Self {
        self.cookies = cookies;
        self
    }

    /// Adds a `Set-Cookie` value to the response.
    pub(super) fn with_cookie(mut self, cookie: HeaderValue) -> Self {
        self.cookies.push(cookie);
        self
    }
}

impl SessionTokensResponse {
    /// Puts all tokens into the body.
    pub(super) fn in_body(grant: IssuedTokens) -> Self {
        let refresh_token = grant.refresh_token.expose_secret().to_owned();
        let mut body = token_body(grant);
        body.refresh_token = Some(refresh_token);
        Self::new(TokenJson(body))
    }

    /// Puts all tokens into the body, and sets the cookies too: the client has sent the same refresh token
    /// in both, and its cookie would otherwise keep the superseded token.
    pub(super) fn in_body_and_cookies(
        grant: IssuedTokens,
        cookies: &SessionCookies,
        app: &App,
    ) -> Self {
        let csrf = SessionCookies::csrf_value_of(app, &grant);
        let set_cookies =
            cookies.session_cookies(&grant.refresh_token, &csrf, grant.refresh_expires_in);
        Self::in_body(grant).with_cookies(set_cookies)
    }

    /// Puts the refresh token where no script can read it.
    pub(super) fn in_cookies(grant: IssuedTokens, cookies: &SessionCookies, csrf: String) -> Self {
        let set_cookies =
            cookies.session_cookies(&grant.refresh_token, &csrf, grant.refresh_expires_in);
        let mut body = token_body(grant);
        body.csrf_token = Some(csrf);
        Self::new(TokenJson(body)).with_cookies(set_cookies)
    }

    /// Adds the device token to the body.
    pub(super) fn with_device_token(mut self, token: &SecretString) -> Self {
        self.body.0.device_token = Some(token.expose_secret().to_owned());
        self
    }
}

impl OauthTokensResponse {
    /// Returns the tokens of a session.
    pub(super) fn of_session(grant: IssuedTokens) -> Self {
        Self::new(TokenJson(OauthTokenBody {
            refresh_token: Some(grant.refresh_token.expose_secret().to_owned()),
            refresh_expires_in: Some(grant.refresh_expires_in),
            session_id: Some(grant.access.session_id.to_string()),
            ..OauthTokenBody::new(
                grant.access.access_token,
                grant.access.expires_in,
                grant.access.scope,
            )
        }))
    }

    /// Returns the token of a service, which has no session and no refresh token (RFC 6749, 4.4.3).
    pub(super) fn of_service(issued: IssuedServiceToken) -> Self {
        Self::new(TokenJson(OauthTokenBody::new(
            issued.access_token,
            issued.expires_in,
            issued.scope,
        )))
    }

    /// Adds the device token to the body.
    pub(super) fn with_device_token(mut self, token: &SecretString) -> Self {
        self.body.0.device_token = Some(token.expose_secret().to_owned());
        self
    }
}

impl OauthTokenBody {
    fn new(access_token: String, expires_in: u64, scope: String) -> Self {
        Self {
            access_token,
            token_type: "Bearer".to_owned(),
            expires_in,
            scope: Some(scope).filter(|scope| !scope.is_empty()),
            refresh_token: None,
            refresh_expires_in: None,
            session_id: None,
            device_token: None,
        }
    }
}

fn token_body(grant: IssuedTokens) -> TokenBody {
    TokenBody {
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

impl<T: IntoResponse> IntoResponse for NoStore<T> {
    fn into_response(self) -> Response {
        let mut response = self.body.into_response();
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Required by RFC 6749, section 5.1.
        headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
        for cookie in self.cookies {
            headers.append(SET_COOKIE, cookie);
        }
        response
    }
}

impl<T: ApiResponse> ApiResponse for NoStore<T> {
    fn meta() -> MetaResponses {
        T::meta()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// Success without a body.
#[derive(Debug, ApiResponse)]
pub(super) enum NoContent {
    /// Done.
    #[oai(status = 204)]
    Success,
}

/// A resource was created.
#[derive(Debug, ApiResponse)]
pub(super) enum CreatedResponse<T: ToJSON> {
    /// Created.
    #[oai(status = 201)]
    Created(Json<T>, #[oai(header = "Location")] String),
}
