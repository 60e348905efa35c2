//! The same decisions in the shapes of OAuth: RFC 6749, 7009 and 7662.

use poem::Request;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};
use secrecy::ExposeSecret;

use super::Tag;
use super::answer::{Private, Tokens};
use super::basic::Basic;
use super::caller::{caller, ip};
use super::device::{DeviceToken, Devices};
use super::first_party::WholeScope;
use super::idempotency::IdempotencyKey;
use super::input::OauthForm;
use super::secret::{Password, Token};
use crate::error::AuthError;
use crate::guard::{Jwt, Policy};
use crate::server::App;
use crate::server::error::ApiError;
use crate::server::names::ADMIN;
use crate::server::sessions::Login;
use crate::server::store::Session;
use crate::server::tokens::Introspection;
use crate::token::Claims;

/// The endpoints of OAuth.
pub(super) struct OauthApi(pub(super) App);

/// What a token is wanted for.
#[derive(Debug, Object)]
pub(super) struct TokenForm {
    /// `password` or `refresh_token`.
    #[oai(validator(max_length = 64))]
    grant_type: String,
    /// With `password`: user name.
    #[oai(validator(max_length = 254))]
    username: Option<String>,
    /// With `password`: password.
    password: Option<Password>,
    /// With `refresh_token`: the refresh token.
    refresh_token: Option<Token>,
    /// With `password`: scopes wanted, separated by spaces; without it all that this server grants.
    #[oai(validator(max_length = 1024))]
    scope: Option<String>,
    /// Names the program; it stands in the tokens and is not checked.
    #[oai(validator(max_length = 100))]
    client_id: Option<String>,
    /// With `password`: the `device_token` of an earlier login on this device.
    device_token: Option<DeviceToken>,
}

/// A token that is to work no longer.
#[derive(Debug, Object)]
struct RevokeForm {
    /// A refresh token, which ends its session, or an access token, which ends alone.
    token: Token,
    /// Accepted and not needed: tokens say what they are.
    #[oai(validator(max_length = 64))]
    token_type_hint: Option<String>,
}

/// A token to look into.
#[derive(Debug, Object)]
struct IntrospectForm {
    /// An access token or a refresh token.
    token: Token,
    /// Accepted and not needed: tokens say what they are.
    #[oai(validator(max_length = 64))]
    token_type_hint: Option<String>,
}

#[derive(Debug, ApiResponse)]
enum Revoked {
    /// The token does not work, whether it ever did or not.
    #[oai(status = 200)]
    Revoked,
}

/// What a token says, if it works.
#[derive(Debug, Default, Object)]
#[oai(skip_serializing_if_is_none)]
struct IntrospectAnswer {
    /// Whether the token would be accepted now. If not, nothing else is said.
    active: bool,
    /// `access_token` or `refresh_token`.
    token_type: Option<String>,
    /// Scopes, separated by spaces.
    scope: Option<String>,
    /// The program it was issued to.
    client_id: Option<String>,
    /// Whose it is: the id of the user.
    sub: Option<String>,
    /// Whom it is meant for.
    aud: Option<Vec<String>>,
    /// Who issued it.
    iss: Option<String>,
    /// When it was issued, in unix seconds.
    iat: Option<i64>,
    /// From when it works, in unix seconds.
    nbf: Option<i64>,
    /// Until when it works, in unix seconds.
    exp: Option<i64>,
    /// Names the token.
    jti: Option<String>,
    /// Names its session.
    sid: Option<String>,
    /// Roles it carries.
    roles: Option<Vec<String>>,
}

impl IntrospectAnswer {
    fn new(found: Introspection, issuer: &str) -> Self {
        match found {
            Introspection::Inactive => Self::default(),
            Introspection::Access(claims) => Self::access(&claims),
            Introspection::Refresh(session) => Self::refresh(&session, issuer),
        }
    }

    fn access(claims: &Claims) -> Self {
        Self {
            active: true,
            token_type: Some("access_token".to_owned()),
            scope: claims.scope.clone(),
            client_id: claims.client_id.clone(),
            sub: Some(claims.sub.clone()),
            aud: Some(claims.aud.clone()),
            iss: Some(claims.iss.clone()),
            iat: Some(claims.iat),
            nbf: claims.nbf,
            exp: claims.exp,
            jti: Some(claims.jti.clone()),
            sid: claims.sid.clone(),
            roles: Some(claims.roles.clone()),
        }
    }

    fn refresh(session: &Session, issuer: &str) -> Self {
        Self {
            active: true,
            token_type: Some("refresh_token".to_owned()),
            scope: Some(session.scope.join(" ")).filter(|scope| !scope.is_empty()),
            client_id: Some(session.client().to_owned()),
            sub: Some(session.user_id.to_string()),
            iss: Some(issuer.to_owned()),
            iat: Some(session.state.rotated_at.secs()),
            exp: Some(session.state.ends_at().secs()),
            sid: Some(session.id.to_string()),
            ..Self::default()
        }
    }
}

/// Who may look into the tokens of others: administrators, and services with a role for just that.
struct Introspector;

impl Policy for Introspector {
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
    /// The grants `password`, for one's own programs and the Authorize dialog of Swagger UI, and
    /// `refresh_token`. Clients are public: there are no client secrets, and an empty one is fine.
    #[oai(
        path = "/oauth/token",
        method = "post",
        operation_id = "issueToken",
        tag = "Tag::Oauth"
    )]
    async fn token(
        &self,
        request: &Request,
        /// With `refresh_token`: random, new for each refresh and the same for its retries; see
        /// `POST /v1/refresh`.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        form: OauthForm<TokenForm>,
    ) -> Result<Tokens, ApiError> {
        let OauthForm(form) = form;
        let named = client(request)?;
        match form.grant_type.as_str() {
            "password" => {
                let devices = Devices::of(request, form.device_token.as_ref(), &self.0);
                let login = Login {
                    username: form.username.ok_or_else(|| missing("username"))?,
                    password: form.password.ok_or_else(|| missing("password"))?.0,
                    scope: form.scope,
                    client_id: form.client_id.unwrap_or(named),
                    label: String::new(),
                    devices: devices.known(),
                    caller: caller(request, &self.0.config),
                };
                let grant = self.0.login(login).await?;
                let device = devices.token_of(&grant.access.user_id, &self.0);
                Ok(Tokens::in_body(grant).with_device(&device))
            }
            "refresh_token" => {
                let token = form.refresh_token.ok_or_else(|| missing("refresh_token"))?;
                let ip = ip(request, &self.0.config);
                Ok(Tokens::in_body(
                    self.0
                        .refresh(token.0.expose_secret(), key.0.as_ref(), ip)
                        .await?,
                ))
            }
            _ => Err(ApiError::UnsupportedGrantType),
        }
    }

    /// Revoke a token
    ///
    /// Whoever has a token may end it. One that is unknown, or has ended already, is no error.
    #[oai(
        path = "/oauth/revoke",
        method = "post",
        operation_id = "revokeToken",
        tag = "Tag::Oauth"
    )]
    async fn revoke(&self, form: OauthForm<RevokeForm>) -> Result<Private<Revoked>, ApiError> {
        self.0.revoke(form.0.token.0.expose_secret()).await?;
        Ok(Private::new(Revoked::Revoked))
    }

    /// Look into a token
    ///
    /// Tells a service whether a token works now. The caller needs an access token with the role
    /// `admin` or `introspect`.
    #[oai(
        path = "/oauth/introspect",
        method = "post",
        operation_id = "introspectToken",
        tag = "Tag::Oauth"
    )]
    async fn introspect(
        &self,
        _guard: Jwt<(WholeScope, Introspector)>,
        form: OauthForm<IntrospectForm>,
    ) -> Result<Private<Json<IntrospectAnswer>>, ApiError> {
        let found = self.0.introspect(form.0.token.0.expose_secret()).await?;
        Ok(Private::new(Json(IntrospectAnswer::new(
            found,
            &self.0.config.issuer,
        ))))
    }
}

fn missing(field: &'static str) -> ApiError {
    ApiError::invalid_field(field, "is required for this grant")
}

/// Returns the client that `Authorization: Basic` names, if any. Swagger UI always sends it, empty.
fn client(request: &Request) -> Result<String, ApiError> {
    let fault = |detail: &str| Err(ApiError::invalid_field("client_id", detail));
    match Basic::of(request.headers()) {
        Basic::Absent => Ok(String::new()),
        Basic::Unreadable => {
            fault("is not readable: `Basic` is not followed by a name and a colon in base64")
        }
        Basic::Pair(_, secret) if !secret.expose_secret().is_empty() => {
            fault("came with a secret: clients are public here and have none")
        }
        Basic::Pair(name, _) if name.chars().count() <= 100 && !name.contains('\0') => Ok(name),
        Basic::Pair(..) => fault("is longer than 100 characters, or contains NUL"),
    }
}
