//! The sender of a request: its address, its user agent, the user that its token names, and the accounts that
//! know its device. A device token proves that: a cookie in browsers, a body member elsewhere.

use std::net::IpAddr;

use poem::Request;
use poem::http::HeaderValue;
use poem::http::header::{ACCEPT_LANGUAGE, USER_AGENT};
use secrecy::SecretString;

use super::cookies::SessionCookies;
use super::secret_field::SecretField;
use crate::App;
use crate::addresses::MailOrigin;
use crate::client_address::{ClientAddress, ClientAddressResolver};
use crate::config::Config;
use crate::ids::{SessionId, UserId};
use crate::locale::Locale;
use crate::security_events::Actor;
use crate::sessions::ClientInfo;
use crate::throttle::{KnownDevice, MAX_TOKEN_LENGTH};
use latchet_guard::token::Claims;

/// Longest part of a user agent that a session stores.
const MAX_USER_AGENT_LENGTH: usize = 256;

/// Returns the address and user agent of a request.
pub(super) fn client_details(request: &Request, config: &Config) -> ClientInfo {
    let user_agent = request.headers().get(USER_AGENT);
    let user_agent = user_agent.map(|value| String::from_utf8_lossy(value.as_bytes()));
    let user_agent = user_agent.unwrap_or_default();
    ClientInfo {
        ip: client_ip(request, config),
        user_agent: user_agent.chars().take(MAX_USER_AGENT_LENGTH).collect(),
    }
}

/// Returns the IP address of the client.
pub(super) fn client_ip(request: &Request, config: &Config) -> IpAddr {
    let known = request.data::<ClientAddress>().copied();
    // The request layer has set it, except where a test calls the routes without that layer.
    let found = known
        .unwrap_or_else(|| ClientAddressResolver::new(&config.trusted_proxies).resolve(request));
    found.0
}

/// Returns the language and the address of a client that causes a mail.
pub(super) fn mail_origin(request: &Request, config: &Config) -> MailOrigin {
    let languages = request.headers().get(ACCEPT_LANGUAGE);
    let languages = languages.and_then(|value| value.to_str().ok());
    MailOrigin {
        locale: Locale::from_accept_language(languages.unwrap_or_default()),
        ip: client_ip(request, config),
    }
}

/// Returns the actor of a recorded event: the user of the access token.
pub(super) fn user_actor(claims: &Claims, request: &Request, config: &Config) -> Actor {
    Actor::User {
        id: UserId::from(claims.sub.as_str()),
        session: claims.sid.as_deref().map(SessionId::from),
        jti: claims.jti.clone(),
        authority_version: claims.authority_version,
        ip: client_ip(request, config),
    }
}

/// Returns the actor of a recorded event for a request without an access token.
pub(super) fn anonymous_actor(request: &Request, config: &Config) -> Actor {
    Actor::Anonymous {
        ip: client_ip(request, config),
    }
}

/// A device token in a body.
pub(super) type DeviceToken = SecretField<MAX_TOKEN_LENGTH>;

/// The accounts that know the device of a request. Invalid device tokens are ignored: they are no reason to
/// refuse a login.
#[derive(Clone, Debug)]
pub(super) struct KnownDevices(Vec<KnownDevice>);

impl KnownDevices {
    /// Reads the device tokens of a request from its cookie and its body.
    pub(super) fn from_request(
        request: &Request,
        cookies: Option<&SessionCookies>,
        body: Option<&DeviceToken>,
        app: &App,
    ) -> Self {
        let cookies = cookies.map(|cookies| cookies.device_tokens(request));
        let body = body.map(|token| token.0.clone());
        let tokens = body.into_iter().chain(cookies.unwrap_or_default());
        Self(
            tokens
                .filter_map(|token| KnownDevice::from_token(&token, &app.derived))
                .collect(),
        )
    }

    /// Returns the devices, for a login.
    pub(super) fn to_vec(&self) -> Vec<KnownDevice> {
        self.0.clone()
    }

    /// Returns the device token for the user of a new login.
    pub(super) fn device_token_for(&self, user: &UserId, app: &App) -> SecretString {
        self.device_for(user).token(&app.derived)
    }

    /// Returns the cookie with the device token for the user of a new login, and those of other accounts.
    pub(super) fn device_cookie_for(
        &self,
        user: &UserId,
        cookies: &SessionCookies,
        app: &App,
    ) -> HeaderValue {
        let others = self
            .0
            .iter()
            .filter(|device| !device.belongs_to(user))
            .cloned();
        let devices = std::iter::once(self.device_for(user)).chain(others);
        let tokens: Vec<SecretString> = devices.map(|device| device.token(&app.derived)).collect();
        cookies.device_cookie(&tokens)
    }

    /// Returns the known device of a user, or a new one. A known device keeps its identity, so that it has
    /// one throttle budget, however often its user logs in.
    fn device_for(&self, user: &UserId) -> KnownDevice {
        let known = self.0.iter().find(|device| device.belongs_to(user));
        known
            .cloned()
            .unwrap_or_else(|| KnownDevice::new(user.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_agent_of_any_bytes_is_stored_up_to_its_limit() {
        let config = Config::load(
            ["latchet"],
            [("", ""); 0].map(|(a, b)| (a.to_owned(), b.to_owned())),
        );
        let config = config.unwrap();
        for (sent, kept) in [
            (b"Firefox".to_vec(), "Firefox".to_owned()),
            ("Bücher/1".as_bytes().to_vec(), "Bücher/1".to_owned()),
            (b"B\xfccher/1".to_vec(), "B\u{fffd}cher/1".to_owned()),
            (vec![b'x'; 5000], "x".repeat(MAX_USER_AGENT_LENGTH)),
        ] {
            let mut request = Request::builder().finish();
            let value = HeaderValue::from_bytes(&sent).unwrap();
            request.headers_mut().insert(USER_AGENT, value);

            assert_eq!(client_details(&request, &config).user_agent, kept);
        }
    }
}
