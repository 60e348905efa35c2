//! Login, re-authentication, registration and setup.

use poem::Request;
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};

use super::Tag;
use super::answer::{AccessTokenAnswer, Created, Private, Tokens};
use super::caller::{caller, ip, stranger};
use super::cookies::Cookies;
use super::device::{DeviceToken, Devices};
use super::first_party::AccountHolder;
use super::input::Body;
use super::origin;
use super::secret::{Password, Secret};
use super::users::{UserAnswer, username};
use crate::server::App;
use crate::server::accounts::NewAccount;
use crate::server::config::Registration;
use crate::server::error::ApiError;
use crate::server::sessions::Login;

/// Longest host that an error repeats.
const LONGEST_HOST: usize = 128;

/// Operations that take a password.
pub(super) struct LoginApi(pub(super) App);

/// Transport of the refresh token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
enum Transport {
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
    password: Password,
    /// Transport of the refresh token. The default is `body`.
    #[oai(default)]
    transport: Transport,
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
    password: Password,
}

/// A new account.
#[derive(Debug, Object)]
struct RegisterRequest {
    /// User name: letters, digits and ASCII symbols (RFC 8265); unique regardless of case.
    #[oai(validator(min_length = 1, max_length = 254))]
    username: String,
    /// Password: long, and not a common one.
    password: Password,
}

/// The first administrator, and the secret of the link that the server printed.
#[derive(Debug, Object)]
struct SetupRequest {
    /// The part of the link after `#`.
    link: Secret<128>,
    /// User name: letters, digits and ASCII symbols (RFC 8265); unique regardless of case.
    #[oai(validator(min_length = 1, max_length = 254))]
    username: String,
    /// Password: long, and not a common one.
    password: Password,
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
    async fn login(&self, request: &Request, body: Body<LoginRequest>) -> Result<Tokens, ApiError> {
        let Body(asked) = body;
        let cookies = match asked.transport {
            Transport::Body => None,
            Transport::Cookie => Some(self.cookies(request)?),
        };
        let label = label(asked.label)?;
        let devices = Devices::of(request, asked.device_token.as_ref(), &self.0);
        let grant = self
            .0
            .login(Login {
                username: asked.username,
                password: asked.password.0,
                scope: asked.scope,
                client_id: String::new(),
                label,
                devices: devices.known(),
                caller: caller(request, &self.0.config),
            })
            .await?;
        let user = grant.access.user_id.clone();
        let Some(cookies) = cookies else {
            return Ok(Tokens::in_body(grant).with_device(&devices.token_of(&user, &self.0)));
        };
        if let Some(replaced) = cookies.proven_session(request, &self.0) {
            self.0.log_out_replaced(&replaced).await;
        }
        let csrf = Cookies::new_csrf(&self.0, &grant);
        let device = devices.cookie_of(&user, &cookies, &self.0);
        Ok(Tokens::in_cookies(grant, &cookies, csrf).with_cookie(device))
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
        guard: AccountHolder,
        request: &Request,
        body: Body<ReauthenticateRequest>,
    ) -> Result<Private<Json<AccessTokenAnswer>>, ApiError> {
        let ip = ip(request, &self.0.config);
        let grant = self
            .0
            .reauthenticate(&guard.claims, body.0.password.0, ip)
            .await?;
        Ok(Private::new(Json(grant.into())))
    }

    /// Create an account
    ///
    /// Only if the server runs with `LATCHET_REGISTRATION=open`; otherwise the response is 404, and
    /// administrators create accounts. A name that is taken gets 409, so open registration reveals which
    /// names exist; the number of attempts from one address is limited.
    #[oai(
        path = "/v1/register",
        method = "post",
        operation_id = "register",
        tag = "Tag::Account"
    )]
    async fn register(
        &self,
        request: &Request,
        body: Body<RegisterRequest>,
    ) -> Result<Created<UserAnswer>, ApiError> {
        if self.0.config.registration == Registration::Closed {
            return Err(ApiError::NotFound(
                "there is no registration here: ask an administrator for an account",
            ));
        }
        let Body(asked) = body;
        let account = NewAccount {
            username: username(&asked.username)?,
            password: asked.password.0,
            roles: Vec::new(),
        };
        let ip = ip(request, &self.0.config);
        let user = self.0.register(account, ip).await?;
        Ok(Created::Created(Json(user.into()), "/v1/me".to_owned()))
    }

    /// Create the first administrator
    ///
    /// Requires the one-time link that the server prints at start while it has no administrator.
    #[oai(
        path = "/v1/setup",
        method = "post",
        operation_id = "setUp",
        tag = "Tag::Account"
    )]
    async fn set_up(
        &self,
        request: &Request,
        body: Body<SetupRequest>,
    ) -> Result<Created<UserAnswer>, ApiError> {
        use secrecy::ExposeSecret;

        let Body(asked) = body;
        let account = NewAccount {
            username: username(&asked.username)?,
            password: asked.password.0,
            roles: Vec::new(),
        };
        let by = stranger(request, &self.0.config);
        let link = asked.link.0.expose_secret();
        let user = self.0.set_up(link, account, &by).await?;
        let location = format!("/v1/users/{}", user.id);
        Ok(Created::Created(Json(user.into()), location))
    }
}

impl LoginApi {
    /// Returns the cookies for a login. A page that could not refresh with them is refused here, before it
    /// appears to be signed in.
    fn cookies(&self, request: &Request) -> Result<Cookies, ApiError> {
        let cookies = Cookies::of(request, &self.0).ok_or_else(|| no_cookies(request))?;
        origin::check(request, &self.0.config)?;
        Ok(cookies)
    }
}

fn no_cookies(request: &Request) -> ApiError {
    let host = origin::host(request).unwrap_or("no host");
    let host: String = host.chars().take(LONGEST_HOST).collect();
    ApiError::invalid_field(
        "transport",
        format!(
            "cannot be `cookie` on plain http except for localhost, and this request was sent to `{host}`: serve https and set LATCHET_PUBLIC_URL"
        ),
    )
}

/// Refuses a label that would change what is printed around it in a list.
fn label(asked: Option<String>) -> Result<String, ApiError> {
    let label = asked.unwrap_or_default();
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
