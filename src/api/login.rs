//! Login, re-authentication, registration and setup.

use poem::Request;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};
use serde_json::json;

use super::Tag;
use super::client::{
    DeviceToken, KnownDevices, anonymous_actor, client_details, client_ip, mail_origin,
};
use super::cookies::SessionCookies;
use super::email_addresses::{MailChallengeResponse, mail_challenge_example, parse_address};
use super::first_party::OwnAccountGuard;
use super::input::JsonBody;
use super::origin;
use super::responses::{AccessTokenResponse, CreatedResponse, NoStore, SessionTokensResponse};
use super::secret_field::{PasswordField, SecretField};
use super::spec::{OperationSpec, PASSWORD_CODES, examples};
use super::users::{UserResponse, parse_username};
use crate::App;
use crate::accounts::NewAccount;
use crate::config::RegistrationPolicy;
use crate::error::ApiError;
use crate::registration::Registered;
use crate::sessions::LoginAttempt;
use latchet_guard::cookies::request_host;

/// Longest host that an error repeats.
const MAX_HOST_LENGTH: usize = 128;

/// Operations that take a password.
pub(super) struct LoginApi(pub(super) App);

/// Transport of the refresh token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
#[oai(rename = "Transport")]
enum TokenTransport {
    /// In JSON bodies, for programs and native apps.
    #[default]
    Body,
    /// As a cookie that no script can read, for pages in browsers.
    Cookie,
}

/// User name, password, and options of the session.
#[derive(Debug, Object)]
struct LoginRequest {
    /// User name; upper and lower case are the same.
    #[oai(validator(min_length = 1, max_length = 254))]
    username: String,
    /// Password.
    password: PasswordField,
    /// Transport of the refresh token. The default is `body`.
    #[oai(default)]
    transport: TokenTransport,
    /// Requested scopes, separated by spaces. The default is all that this server grants. A session with
    /// fewer scopes has no access to the account and to administration.
    #[oai(validator(max_length = 1024))]
    scope: Option<String>,
    /// Name for this device, shown in the list of sessions.
    #[oai(validator(max_length = 100))]
    label: Option<String>,
    /// With `body`: the `device_token` of an earlier login on this device. Optional: with it, failed attempts
    /// from elsewhere do not block this login.
    device_token: Option<DeviceToken>,
}

/// The password of the session's user.
#[derive(Debug, Object)]
struct ReauthenticateRequest {
    /// Password.
    password: PasswordField,
}

/// A new account.
#[derive(Debug, Object)]
struct RegisterRequest {
    /// User name: letters, digits and ASCII symbols (RFC 8265); unique regardless of case.
    #[oai(validator(min_length = 1, max_length = 254))]
    username: String,
    /// E-mail address, which receives a link and a code that verify it.
    #[oai(validator(min_length = 3, max_length = 254))]
    email: Option<String>,
    /// Password: long, and not a common one.
    password: PasswordField,
}

/// The first administrator, and the secret of the link that the server or `latchet setup-link` printed.
#[derive(Debug, Object)]
struct SetupRequest {
    /// The part of the link after `#`.
    link: SecretField<128>,
    /// User name: letters, digits and ASCII symbols (RFC 8265); unique regardless of case.
    #[oai(validator(min_length = 1, max_length = 254))]
    username: String,
    /// Password: long, and not a common one.
    password: PasswordField,
}

/// Result of a registration.
#[derive(ApiResponse)]
enum RegisterResponse {
    /// Created, without an e-mail address.
    #[oai(status = 201)]
    Created(Json<UserResponse>, #[oai(header = "Location")] String),
    /// Accepted, with an e-mail address, to which a mail is on its way.
    #[oai(status = 202)]
    Accepted(Json<MailChallengeResponse>),
}

#[OpenApi]
impl LoginApi {
    /// Log in
    ///
    /// Starts a session. With `"transport": "cookie"` the refresh token is set as a cookie and is never in a
    /// body; the response then contains the `csrf_token` that refresh and logout require. If the browser
    /// also sends the cookies of an earlier session, with the proof that a logout by cookie requires, that
    /// session ends and this one replaces it.
    #[oai(
        path = "/v1/login",
        method = "post",
        operation_id = "login",
        tag = "Tag::Sessions"
    )]
    async fn login(
        &self,
        request: &Request,
        body: JsonBody<LoginRequest>,
    ) -> Result<SessionTokensResponse, ApiError> {
        let JsonBody(input) = body;
        let cookies = SessionCookies::for_request(request, &self.0);
        let device = input.device_token.as_ref();
        let devices = KnownDevices::from_request(request, cookies.as_ref(), device, &self.0);
        let cookies = match input.transport {
            TokenTransport::Body => None,
            TokenTransport::Cookie => Some(self.require_cookies(request, cookies)?),
        };
        let label = label(input.label)?;
        let grant = self
            .0
            .sessions
            .login(LoginAttempt {
                username: input.username,
                password: input.password.0,
                scope: input.scope,
                client_id: String::new(),
                label,
                devices: devices.to_vec(),
                client: client_details(request, &self.0.config),
            })
            .await?;
        let user = grant.access.user_id.clone();
        let Some(cookies) = cookies else {
            return Ok(SessionTokensResponse::in_body(grant)
                .with_device_token(&devices.device_token_for(&user, &self.0)));
        };
        if let Some(replaced) = cookies.csrf_verified_session(request, &self.0) {
            self.0.revocations.end_replaced_session(&replaced).await;
        }
        let csrf = SessionCookies::csrf_value_of(&self.0, &grant);
        let device = devices.device_cookie_for(&user, &cookies, &self.0);
        Ok(SessionTokensResponse::in_cookies(grant, &cookies, csrf).with_cookie(device))
    }

    /// Confirm the password
    ///
    /// Returns a fresh access token of the same session, for operations that require one. The refresh token
    /// does not change.
    #[oai(
        path = "/v1/reauthenticate",
        method = "post",
        operation_id = "reauthenticate",
        tag = "Tag::Sessions"
    )]
    async fn reauthenticate(
        &self,
        guard: OwnAccountGuard,
        request: &Request,
        body: JsonBody<ReauthenticateRequest>,
    ) -> Result<NoStore<Json<AccessTokenResponse>>, ApiError> {
        let ip = client_ip(request, &self.0.config);
        let grant = self
            .0
            .sessions
            .reauthenticate(&guard.claims, body.0.password.0, ip)
            .await?;
        Ok(NoStore::new(Json(grant.into())))
    }

    /// Create an account
    ///
    /// Only if the server runs with `LATCHET_REGISTRATION=open`; otherwise the response is 404, and
    /// administrators create accounts. A name that is taken gets 409, so open registration reveals which
    /// names exist; the number of attempts from one address is limited.
    ///
    /// With an e-mail address, the response is 202 and the same whether another account has the address: then
    /// its owner receives a mail about the attempt. The account can log in by its name at once, and by the
    /// address when it is verified.
    #[oai(
        path = "/v1/register",
        method = "post",
        operation_id = "register",
        tag = "Tag::Account"
    )]
    async fn register(
        &self,
        request: &Request,
        body: JsonBody<RegisterRequest>,
    ) -> Result<NoStore<RegisterResponse>, ApiError> {
        if self.0.config.registration == RegistrationPolicy::Closed {
            return Err(ApiError::NotFound(
                "registration is closed: ask an administrator for an account",
            ));
        }
        let JsonBody(input) = body;
        let origin = mail_origin(request, &self.0.config);
        let account = NewAccount {
            username: parse_username(&input.username)?,
            password: input.password.0,
            roles: Vec::new(),
            locale: Some(origin.locale),
        };
        let email = input.email.as_deref().map(parse_address).transpose()?;
        let registered = self.0.registration.register(account, email, origin);
        Ok(NoStore::new(match registered.await? {
            Registered::Created(user) => {
                RegisterResponse::Created(Json(user.into()), "/v1/me".to_owned())
            }
            Registered::MailSent(challenge) => RegisterResponse::Accepted(Json(challenge.into())),
        }))
    }

    /// Create the first administrator
    ///
    /// Requires the one-time link that the server prints at start while it has no administrator, or that
    /// `latchet setup-link` prints.
    #[oai(
        path = "/v1/setup",
        method = "post",
        operation_id = "setUp",
        tag = "Tag::Account"
    )]
    async fn set_up(
        &self,
        request: &Request,
        body: JsonBody<SetupRequest>,
    ) -> Result<CreatedResponse<UserResponse>, ApiError> {
        use secrecy::ExposeSecret;

        let JsonBody(input) = body;
        let account = NewAccount {
            username: parse_username(&input.username)?,
            password: input.password.0,
            roles: Vec::new(),
            locale: Some(mail_origin(request, &self.0.config).locale),
        };
        let by = anonymous_actor(request, &self.0.config);
        let link = input.link.0.expose_secret();
        let user = self
            .0
            .accounts
            .create_administrator_by_link(link, account, &by)
            .await?;
        let location = format!("/v1/users/{}", user.id);
        Ok(CreatedResponse::Created(Json(user.into()), location))
    }
}

/// Returns the additions to the document.
pub(super) fn operation_specs() -> Vec<OperationSpec> {
    let account = json!({ "username": "ada", "password": examples::PASSWORD });
    vec![
        OperationSpec::new("login")
            .errors(PASSWORD_CODES)
            .errors(&["csrf_failed"])
            .requests(&[
                ("program", "Tokens in the body", account.clone()),
                (
                    "page",
                    "The refresh token as a cookie",
                    json!({
                        "username": "ada", "password": examples::PASSWORD,
                        "transport": "cookie", "label": "Ada's laptop",
                    }),
                ),
            ])
            .responses(&examples::session_tokens()),
        OperationSpec::new("reauthenticate")
            .errors(PASSWORD_CODES)
            .errors(&["session_revoked"])
            .request(json!({ "password": examples::PASSWORD }))
            .response(
                "200",
                json!({
                    "access_token": examples::ACCESS, "token_type": "Bearer", "expires_in": 900,
                    "session_id": examples::SESSION,
                }),
            ),
        OperationSpec::new("register")
            .errors(&[
                "weak_password",
                "not_found",
                "conflict",
                "too_many_requests",
            ])
            .requests(&[
                ("name", "With a user name alone", account.clone()),
                (
                    "address",
                    "With an e-mail address",
                    json!({
                        "username": "ada", "email": "ada@example.org",
                        "password": examples::PASSWORD,
                    }),
                ),
            ])
            .response("201", examples::user())
            .response("202", mail_challenge_example()),
        OperationSpec::new("setUp")
            .errors(&["weak_password", "not_found", "conflict"])
            .request(json!({
                "link": examples::LINK, "username": "ada", "password": examples::PASSWORD,
            }))
            .response("201", examples::user()),
    ]
}

impl LoginApi {
    /// Returns the cookies for a login. A page that could not refresh with them is refused here, before it
    /// appears to be signed in.
    fn require_cookies(
        &self,
        request: &Request,
        cookies: Option<SessionCookies>,
    ) -> Result<SessionCookies, ApiError> {
        let cookies = cookies.ok_or_else(|| no_cookies(request))?;
        origin::check_origin(request, &self.0.config)?;
        Ok(cookies)
    }
}

fn no_cookies(request: &Request) -> ApiError {
    let host = request_host(request).unwrap_or("no host");
    let host: String = host.chars().take(MAX_HOST_LENGTH).collect();
    ApiError::invalid_field(
        "transport",
        format!(
            "cannot be `cookie` on plain http except for localhost, and this request was sent to `{host}`: serve https and set LATCHET_PUBLIC_URL"
        ),
    )
}

/// Refuses a label that would change what is printed around it in a list.
fn label(input: Option<String>) -> Result<String, ApiError> {
    let label = input.unwrap_or_default();
    let is_disruptive = |c: char| {
        // Breaks of lines, and embeddings, overrides and isolates of directions.
        let is_layout = matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        c.is_control() || is_layout
    };
    if label.contains(is_disruptive) {
        return Err(ApiError::invalid_field(
            "label",
            "must not contain control characters or change the direction of text",
        ));
    }
    Ok(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_changes_nothing_around_it() {
        for good in [
            "",
            "Ada's phone",
            "téléphone",
            "טלפון",
            "👩\u{200d}💻",
            "<b>",
        ] {
            assert_eq!(label(Some(good.to_owned())).unwrap(), good);
        }
        for bad in [
            "a\nb",
            "a\tb",
            "\u{1b}[31m",
            "\u{7f}",
            "\u{85}",
            "a\u{2028}b",
            "a\u{202e}b",
            "a\u{2066}b",
        ] {
            assert!(label(Some(bad.to_owned())).is_err(), "{bad:?}");
        }
    }
}
