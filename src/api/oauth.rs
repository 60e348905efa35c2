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
use super::responses::{NoStore, OauthTokensResponse};
use super::secret_field::{PasswordField, SecretField, TokenField};
use super::spec::{GUARD_CODES, OperationSpec, PASSWORD_CODES, examples};
use super::user_or_service::UserOrService;
use crate::App;
use crate::error::ApiError;
use crate::names::{ADMIN, ClientId};
use crate::sessions::{ClientRefresh, LoginAttempt};
use latchet_guard::error::AuthError;
use latchet_guard::token::Claims;
use latchet_guard::{SECURITY_SCHEME, TokenPolicy};

mod client;
mod introspection;

use client::{ClientFields, OauthClient};
use introspection::IntrospectionResult;

/// The OAuth endpoints.
pub(super) struct OauthApi(pub(super) App);

/// The secret of a service.
type ClientSecretField = SecretField<1024>;

/// Parameters of a token request.
#[derive(Debug, Object)]
pub(super) struct TokenForm {
    /// `password`, `refresh_token` or `client_credentials`.
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
    /// of them. With `client_credentials`, the default is all scopes of the service.
    #[oai(validator(max_length = 1024))]
    scope: Option<String>,
    /// Name of the program, in visible ASCII. It appears in the tokens and is not verified, unless it is the name
    /// of a service. With `refresh_token` it must be the name that the token was issued to.
    #[oai(validator(max_length = 100))]
    client_id: Option<String>,
    /// Secret of a service, if it is not in `Authorization: Basic`.
    client_secret: Option<ClientSecretField>,
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
    /// Secret of a service, if it is not in `Authorization: Basic`.
    client_secret: Option<ClientSecretField>,
}

/// The token to inspect.
#[derive(Debug, Object)]
pub(super) struct IntrospectForm {
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

/// Policy for introspection by a user's token: admits administrators and users with the role `introspect`.
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
    /// Supports the grants `password`, for first-party programs and the Authorize dialog of Swagger UI,
    /// `refresh_token`, and `client_credentials`, by which a service of the settings (`[token_services.NAME]`)
    /// gets an access token for itself, without a refresh token. Services authenticate with their name and
    /// secret; other clients have a name and no secret.
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
    ) -> Result<OauthTokensResponse, ApiError> {
        let OauthForm(mut form) = form;
        let fields = ClientFields {
            id: form.client_id.take(),
            secret: form.client_secret.take().map(|secret| secret.0),
        };
        let client = OauthClient::authenticate(request, fields, &self.0).await?;
        let has_services = !self.0.services.registry.is_empty();
        if has_services && form.grant_type == "client_credentials" {
            let OauthClient::Service(service) = client else {
                return Err(ApiError::InvalidClient);
            };
            let scope = form.scope.as_deref();
            let issued = self.0.services.issue_token(&service, scope).await?;
            return Ok(OauthTokensResponse::of_service(issued));
        }
        let client = match client {
            OauthClient::Unnamed => None,
            OauthClient::Public(name) => Some(name),
            OauthClient::Service(_) => return Err(ApiError::UnauthorizedClient),
        };
        match form.grant_type.as_str() {
            "password" => self.log_in(request, form, client).await,
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
                Ok(OauthTokensResponse::of_session(
                    self.0.sessions.refresh_for_client(refresh).await?,
                ))
            }
            _ => Err(ApiError::UnsupportedGrantType),
        }
    }

    /// Revoke a token
    ///
    /// Every client that has a token may revoke it; a service authenticates if it names itself. An unknown or
    /// already revoked token is no error.
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
        let fields = ClientFields {
            id: form.client_id,
            secret: form.client_secret.map(|secret| secret.0),
        };
        let client = OauthClient::authenticate(request, fields, &self.0).await?;
        let client = client.into_name()?;
        let token = form.token.0.expose_secret();
        self.0.introspection.revoke(token, client.as_ref()).await?;
        Ok(NoStore::new(RevocationResponse::Revoked))
    }

    /// Introspect a token
    ///
    /// Returns whether a token is valid now, and its content. The caller is a service with the setting
    /// `introspection`, by its name and secret in `Authorization: Basic`, or has an access token with the role
    /// `admin` or `introspect`.
    #[oai(
        path = "/oauth/introspect",
        method = "post",
        operation_id = "introspectToken",
        tag = "Tag::Oauth"
    )]
    async fn introspect(
        &self,
        guard: UserOrService<(FullScope, IntrospectionPolicy)>,
        request: &Request,
        form: OauthForm<IntrospectForm>,
    ) -> Result<NoStore<Json<IntrospectionResult>>, ApiError> {
        // The guard has verified the token of a user.
        if let UserOrService::Service(credentials) = guard {
            let ip = client_ip(request, &self.0.config);
            let service = self.0.services.authenticate(&credentials, ip).await?;
            self.0.services.require_introspection(&service)?;
        }
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

impl OauthApi {
    /// Starts a session by the grant `password`.
    async fn log_in(
        &self,
        request: &Request,
        form: TokenForm,
        client: Option<ClientId>,
    ) -> Result<OauthTokensResponse, ApiError> {
        let cookies = SessionCookies::for_request(request, &self.0);
        let device = form.device_token.as_ref();
        let devices = KnownDevices::from_request(request, cookies.as_ref(), device, &self.0);
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
        Ok(OauthTokensResponse::of_session(grant).with_device_token(&device))
    }
}

/// Returns the additions to the document.
pub(super) fn operation_specs() -> Vec<OperationSpec> {
    vec![
        OperationSpec::new("issueToken")
            .oauth_errors("/oauth/token")
            .errors(PASSWORD_CODES)
            .errors(&[
                "client_authentication",
                "invalid_client",
                "unauthorized_client",
                "unsupported_grant_type",
            ])
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
                (
                    "client_credentials",
                    "Token of a service",
                    json!({ "grant_type": "client_credentials", "scope": "orders:read" }),
                ),
            ])
            .response("200", examples::tokens()),
        OperationSpec::new("revokeToken")
            .oauth_errors("/oauth/revoke")
            .errors(&["client_authentication", "invalid_client", "another_client"])
            .errors(&["too_many_requests"])
            .request(json!({ "token": examples::REFRESH, "token_type_hint": "refresh_token" })),
        OperationSpec::new("introspectToken")
            .oauth_errors("/oauth/introspect")
            // The guard describes no scheme, since it accepts one of two.
            .errors(GUARD_CODES)
            .errors(&[
                "client_authentication",
                "invalid_client",
                "too_many_requests",
                "forbidden",
            ])
            .security(json!([{ (SECURITY_SCHEME): [] }, { "serviceSecret": [] }]))
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
