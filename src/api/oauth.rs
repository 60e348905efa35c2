//! The OAuth endpoints for tokens, revocation and introspection (RFC 6749, 7009 and 7662).

use poem::Request;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};
use secrecy::ExposeSecret;
use serde_json::json;

use super::Tag;
use super::client::{DeviceToken, KnownDevices, client_details, client_ip};
use super::cookies::SessionCookies;
use super::first_party::FullScope;
use super::idempotency::IdempotencyKey;
use super::input::OauthForm;
use super::responses::{NoStore, SessionTokensResponse};
use super::secret_field::{PasswordField, TokenField};
use super::spec::{OperationSpec, PASSWORD_CODES, examples};
use crate::App;
use crate::error::ApiError;
use crate::names::{ADMIN, ClientId};
use crate::sessions::{ClientRefresh, LoginAttempt};
use latchet_guard::error::AuthError;
use latchet_guard::token::Claims;
use latchet_guard::{Jwt, TokenPolicy};

mod client_id;
mod introspection;

use client_id::client_id;
use introspection::IntrospectionResult;

/// The OAuth endpoints.
pub(super) struct OauthApi(pub(super) App);

/// Parameters of a token request.
#[derive(Debug, Object)]
pub(super) struct TokenForm {
    /// `password` or `refresh_token`.
    #[oai(validator(max_length = 64))]
    grant_type: String,
    /// With `password`: user name.
    #[oai(validator(max_length = 254))]
    username: Option<String>,
    /// With `password`: password.
    password: Option<PasswordField>,
    /// With `refresh_token`: the refresh token.
    refresh_token: Option<TokenField>,
    /// Requested scopes, separated by spaces. With `password`, the default is all that this server grants.
    /// With `refresh_token`, they limit the access token to some scopes of the session; the default is all
    /// of them.
    #[oai(validator(max_length = 1024))]
    scope: Option<String>,
    /// Name of the program, in visible ASCII. It appears in the tokens and is not verified. With
    /// `refresh_token` it must be the name that the token was issued to.
    #[oai(validator(max_length = 100))]
    client_id: Option<String>,
    /// With `password`: the `device_token` of an earlier login on this device.
    device_token: Option<DeviceToken>,
}

/// The token to revoke.
#[derive(Debug, Object)]
struct RevokeForm {
    /// A refresh token, whose session then ends, or an access token, which is revoked alone.
    token: TokenField,
    /// Accepted and ignored: tokens contain their type.
    #[oai(validator(max_length = 64))]
    token_type_hint: Option<String>,
    /// Name of the program; if present, it must be the one that the token was issued to.
    #[oai(validator(max_length = 100))]
    client_id: Option<String>,
}

/// The token to inspect.
#[derive(Debug, Object)]
struct IntrospectForm {
    /// An access token or a refresh token.
    token: TokenField,
    /// Accepted and ignored: tokens contain their type.
    #[oai(validator(max_length = 64))]
    token_type_hint: Option<String>,
}

#[derive(Debug, ApiResponse)]
enum RevocationResponse {
    /// The token is not valid now, whether or not it ever was.
    #[oai(status = 200)]
    Revoked,
}

/// Policy for introspection: admits administrators and services with the role `introspect`.
struct IntrospectionPolicy;

impl TokenPolicy for IntrospectionPolicy {
    fn check(claims: &Claims) -> Result<(), AuthError> {
        if claims
            .roles
            .iter()
            .any(|role| role == ADMIN || role == "introspect")
        {
            return Ok(());
        }
        Err(AuthError::InsufficientScope)
    }
}

#[OpenApi]
impl OauthApi {
    /// Issue tokens
    ///
    /// Supports the grants `password`, for first-party programs and the Authorize dialog of Swagger UI, and
    /// `refresh_token`. Clients are public: they have a name and no secret. An empty secret is accepted, any
    /// other is refused.
    #[oai(
        path = "/oauth/token",
        method = "post",
        operation_id = "issueToken",
        tag = "Tag::Oauth"
    )]
    async fn token(
        &self,
        request: &Request,
        /// With `refresh_token`: a random key, new for each refresh and the same for its retries; see
        /// `POST /v1/refresh`.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        form: OauthForm<TokenForm>,
    ) -> Result<SessionTokensResponse, ApiError> {
        let OauthForm(form) = form;
        let client = client_id(request, form.client_id)?;
        match form.grant_type.as_str() {
            "password" => {
                let cookies = SessionCookies::for_request(request, &self.0);
                let device = form.device_token.as_ref();
                let devices =
                    KnownDevices::from_request(request, cookies.as_ref(), device, &self.0);
                let login = LoginAttempt {
                    username: form.username.ok_or_else(|| missing_parameter("username"))?,
                    password: form
                        .password
                        .ok_or_else(|| missing_parameter("password"))?
                        .0,
                    scope: form.scope,
                    client_id: client.map_or_else(String::new, ClientId::into_string),
                    label: String::new(),
                    devices: devices.to_vec(),
                    client: client_details(request, &self.0.config),
                };
                let grant = self.0.sessions.login(login).await?;
                let device = devices.device_token_for(&grant.access.user_id, &self.0);
                Ok(SessionTokensResponse::in_body(grant).with_device_token(&device))
            }
            "refresh_token" => {
                let token = form
                    .refresh_token
                    .ok_or_else(|| missing_parameter("refresh_token"))?;
                let refresh = ClientRefresh {
                    token: self.0.refresh_tokens.verify(token.0.expose_secret())?,
                    key: key.0.as_ref(),
                    client: client.as_ref(),
                    scope: form.scope.as_deref(),
                    ip: client_ip(request, &self.0.config),
                };
                Ok(SessionTokensResponse::in_body(
                    self.0.sessions.refresh_for_client(refresh).await?,
                ))
            }
            _ => Err(ApiError::UnsupportedGrantType),
        }
    }

    /// Revoke a token
    ///
    /// Every client that has a token may revoke it. An unknown or already revoked token is no error.
    #[oai(
        path = "/oauth/revoke",
        method = "post",
        operation_id = "revokeToken",
        tag = "Tag::Oauth"
    )]
    async fn revoke(
        &self,
        request: &Request,
        form: OauthForm<RevokeForm>,
    ) -> Result<NoStore<RevocationResponse>, ApiError> {
        let OauthForm(form) = form;
        let client = client_id(request, form.client_id)?;
        let token = form.token.0.expose_secret();
        self.0.introspection.revoke(token, client.as_ref()).await?;
        Ok(NoStore::new(RevocationResponse::Revoked))
    }

    /// Introspect a token
    ///
    /// Returns whether a token is valid now, and its content. The caller needs an access token with the role
    /// `admin` or `introspect`.
    #[oai(
        path = "/oauth/introspect",
        method = "post",
        operation_id = "introspectToken",
        tag = "Tag::Oauth"
    )]
    async fn introspect(
        &self,
        _guard: Jwt<(FullScope, IntrospectionPolicy)>,
        form: OauthForm<IntrospectForm>,
    ) -> Result<NoStore<Json<IntrospectionResult>>, ApiError> {
        let found = self
            .0
            .introspection
            .introspect(form.0.token.0.expose_secret())
            .await?;
        Ok(NoStore::new(Json(IntrospectionResult::new(
            found,
            &self.0.config.issuer,
        ))))
    }
}

/// Returns the additions to the document.
pub(super) fn operation_specs() -> Vec<OperationSpec> {
    vec![
        OperationSpec::new("issueToken")
            .oauth_errors("/oauth/token")
            .errors(PASSWORD_CODES)
            .errors(&["client_authentication", "unsupported_grant_type"])
            .errors(&["invalid_scope", "malformed_token", "invalid_token"])
            .errors(&["wrong_token_type", "refresh_reused"])
            .errors(&["session_expired", "session_revoked"])
            .requests(&[
                (
                    "password",
                    "Log in",
                    json!({
                        "grant_type": "password", "username": "ada", "password": examples::PASSWORD,
                    }),
                ),
                (
                    "refresh_token",
                    "Refresh",
                    json!({ "grant_type": "refresh_token", "refresh_token": examples::REFRESH }),
                ),
            ])
            .response("200", examples::tokens()),
        OperationSpec::new("revokeToken")
            .oauth_errors("/oauth/revoke")
            .errors(&["client_authentication", "another_client"])
            .request(json!({ "token": examples::REFRESH, "token_type_hint": "refresh_token" })),
        OperationSpec::new("introspectToken")
            .oauth_errors("/oauth/introspect")
            .errors(&["client_authentication"])
            .request(json!({ "token": examples::ACCESS }))
            .responses(&[
                ("active", "A valid token", introspection::example()),
                ("inactive", "An invalid token", json!({ "active": false })),
            ]),
    ]
}

fn missing_parameter(field: &'static str) -> ApiError {
    ApiError::invalid_field(field, "is required for this grant")
}
