//! The cookies of a browser session: their names, and their attributes.
//!
//! Cookies are not bound to a port, and other programs on the same host set some too. So a request may carry
//! several cookies of one name, and cookies of another Latchet server. Only tokens that this server has
//! signed count ([`values`]). The proof that a cookie-authenticated request must give is in [`proof`].

use poem::Request;
use poem::http::header::{COOKIE, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::origin;
use crate::server::App;
use crate::server::sessions::Grant;
use crate::server::store::{Presented, SessionId};
use crate::server::throttle::KnownDevice;

mod proof;
mod values;

pub(super) use proof::ProvenSession;
use values::values;

/// Lifetime of the device cookie: 400 days, the longest that browsers allow. Each login starts it again.
const DEVICE_SECONDS: u64 = 400 * 24 * 60 * 60;
/// Most accounts that one browser can be known to.
const DEVICE_ACCOUNTS: usize = 4;
/// Separates device tokens in the cookie. No token contains it.
const DEVICE_SEPARATOR: &str = "~";

/// Names and attributes of the cookies of one browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cookies {
    transport: Transport,
    /// Start of every name, after `__Host-`.
    prefix: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    /// Names with `__Host-`: browsers accept such cookies over https only, and for this exact host.
    Https,
    /// For plain http: on localhost, where Safari rejects `Secure`, and where the settings allow it.
    Plain,
}

/// The server that has set the cookies of a request under one set of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// There are no such cookies.
    Nobody,
    /// This server has set at least one of them.
    ThisServer,
    /// Another server on the same host has set them, or this one with another root secret.
    Foreign,
}

impl Cookies {
    /// Returns the cookies that a request may use: none on plain http from another machine, unless the
    /// settings allow that.
    ///
    /// If another server on this host uses the usual names, the names of this server contain its port, so
    /// that neither server logs out the users of the other.
    pub(super) fn of(request: &Request, app: &App) -> Option<Self> {
        let config = &app.config;
        let transport = if config.is_https() {
            Transport::Https
        } else if config.allow_plain_http || origin::host(request).is_some_and(origin::is_loopback)
        {
            Transport::Plain
        } else {
            return None;
        };
        let usual = Self {
            transport,
            prefix: config.cookie_prefix.as_str().to_owned(),
        };
        if !request.headers().contains_key(COOKIE) {
            return Some(usual);
        }
        let of_port = Self {
            transport,
            prefix: format!("{}_{}", usual.prefix, config.public_url.port()),
        };
        let owners = (of_port.owner(request, app), usual.owner(request, app));
        Some(match owners {
            (Owner::ThisServer, _) | (_, Owner::Foreign) => of_port,
            _ => usual,
        })
    }

    fn owner(&self, request: &Request, app: &App) -> Owner {
        let (refresh, device) = (self.refresh(), self.device());
        let is_ours = self.sessions(request, app).next().is_some()
            || self
                .device_tokens(request)
                .iter()
                .any(|token| KnownDevice::from_token(token, &app.derived).is_some());
        if is_ours {
            return Owner::ThisServer;
        }
        let mut all = values(request, &refresh).chain(values(request, &device));
        all.next().map_or(Owner::Nobody, |_| Owner::Foreign)
    }

    fn refresh(&self) -> String {
        self.named("rt")
    }

    fn csrf(&self) -> String {
        self.named("csrf")
    }

    fn device(&self) -> String {
        self.named("device")
    }

    fn named(&self, name: &str) -> String {
        let host = match self.transport {
            Transport::Https => "__Host-",
            Transport::Plain => "",
        };
        format!("{host}{}_{name}", self.prefix)
    }

    /// Returns the device tokens of the accounts that know this device.
    pub(super) fn device_tokens(&self, request: &Request) -> Vec<SecretString> {
        let name = self.device();
        let tokens = values(request, &name)
            .flat_map(|value| value.split(DEVICE_SEPARATOR).take(DEVICE_ACCOUNTS));
        tokens.map(SecretString::from).collect()
    }

    /// Returns the `Set-Cookie` value that stores these device tokens, the latest first.
    pub(super) fn keep_device(&self, tokens: &[SecretString]) -> HeaderValue {
        let tokens: Vec<&str> = tokens
            .iter()
            .take(DEVICE_ACCOUNTS)
            .map(ExposeSecret::expose_secret)
            .collect();
        let value = tokens.join(DEVICE_SEPARATOR);
        self.line(&self.device(), &value, DEVICE_SECONDS, "; HttpOnly")
    }

    /// Returns whether the request has a refresh cookie, of this server or another.
    pub(super) fn has_refresh_cookie(&self, request: &Request) -> bool {
        values(request, &self.refresh()).next().is_some()
    }

    /// Returns the refresh tokens in the cookies of a request that this server has signed.
    pub(super) fn sessions<'r>(
        &self,
        request: &'r Request,
        app: &'r App,
    ) -> impl Iterator<Item = (SecretString, Presented)> + use<'r> {
        values(request, &self.refresh()).filter_map(|token| {
            let presented = app.refresh_tokens.read(token).ok()?;
            Some((SecretString::from(token), presented))
        })
    }

    /// Returns the `Set-Cookie` values that store a session for `seconds`.
    pub(super) fn keep(&self, token: &SecretString, csrf: &str, seconds: u64) -> Vec<HeaderValue> {
        vec![
            self.line(
                &self.refresh(),
                token.expose_secret(),
                seconds,
                "; HttpOnly",
            ),
            self.line(&self.csrf(), csrf, seconds, ""),
        ]
    }

    /// Returns whether a refresh cookie of the request belongs to this session.
    pub(super) fn hold(&self, request: &Request, app: &App, sid: &SessionId) -> bool {
        self.sessions(request, app)
            .any(|(_, presented)| presented.session == *sid)
    }

    /// Returns a new CSRF value for the session of this grant.
    pub(super) fn new_csrf(app: &App, grant: &Grant) -> String {
        let sid = grant.access.session_id.as_str();
        app.derived.csrf_value(sid, grant.csrf_epoch)
    }

    /// Returns the `Set-Cookie` values that delete the cookies of a session.
    pub(super) fn forget(&self) -> Vec<HeaderValue> {
        vec![
            self.line(&self.refresh(), "", 0, "; HttpOnly"),
            self.line(&self.csrf(), "", 0, ""),
        ]
    }

    #[expect(
        clippy::expect_used,
        reason = "names and base64url make a header value"
    )]
    fn line(&self, name: &str, value: &str, seconds: u64, more: &str) -> HeaderValue {
        let secure = match self.transport {
            Transport::Https => "; Secure",
            Transport::Plain => "",
        };
        let line =
            format!("{name}={value}; Path=/; Max-Age={seconds}; SameSite=Strict{secure}{more}");
        let mut line = HeaderValue::try_from(line).expect("only visible ASCII goes in");
        line.set_sensitive(true);
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_beyond_this_machine_are_secure() {
        let cookies = Cookies {
            transport: Transport::Https,
            prefix: "latchet".to_owned(),
        };
        let lines = cookies.keep(&SecretString::from("x.y.z"), "c.d", 60);

        assert_eq!(
            lines[0],
            "__Host-latchet_rt=x.y.z; Path=/; Max-Age=60; SameSite=Strict; Secure; HttpOnly"
        );
        assert_eq!(
            lines[1],
            "__Host-latchet_csrf=c.d; Path=/; Max-Age=60; SameSite=Strict; Secure"
        );
        assert_eq!(
            cookies.keep_device(&["a.b.c".into(), "d.e.f".into()]),
            "__Host-latchet_device=a.b.c~d.e.f; Path=/; Max-Age=34560000; SameSite=Strict; Secure; HttpOnly"
        );
    }
}
