//! The cookies of a browser session: their names, and how they are set.
//!
//! Cookies know no ports, and other programs of the same host set some too. So a request may carry
//! several cookies of one name, and some of another Latchet: only those that this server has signed
//! count ([`values`]). What else a request with cookies must prove is in [`proof`].

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

/// Time that a browser keeps the proof of a known device: 400 days, which is as long as browsers keep any
/// cookie. Each login begins that time again.
const DEVICE_SECONDS: u64 = 400 * 24 * 60 * 60;
/// Accounts that one browser is known to at most.
const DEVICE_ACCOUNTS: usize = 4;
/// Not part of a token.
const DEVICE_SEPARATOR: &str = "~";

/// Names and attributes of the cookies of one browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cookies {
    transport: Transport,
    /// Beginning of every name, after `__Host-`.
    prefix: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    /// `__Host-`: browsers accept them over https only and for this very host.
    Https,
    /// For plain http: on this machine, where Safari refuses `Secure`, and where the settings allow it.
    Plain,
}

/// Server that has set the cookies of a request under one set of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// There are none.
    Nobody,
    /// This one has set one of them at least.
    ThisServer,
    /// Another server on the same host, or this one with another root secret.
    Foreign,
}

impl Cookies {
    /// Returns which cookies a request may use; none on plain http beyond this machine,
    /// unless the settings allow that.
    ///
    /// Where another server on this host has taken the usual names, ours have the port in their names:
    /// neither signs the other's users out.
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

    /// Returns the proofs of the accounts that know this device.
    pub(super) fn device_tokens(&self, request: &Request) -> Vec<SecretString> {
        let name = self.device();
        let tokens = values(request, &name)
            .flat_map(|value| value.split(DEVICE_SEPARATOR).take(DEVICE_ACCOUNTS));
        tokens.map(SecretString::from).collect()
    }

    /// Returns the `Set-Cookie` value that keeps these proofs, the latest first.
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

    /// Returns the `Set-Cookie` values that keep a session for `seconds`.
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

    /// Returns whether a refresh cookie of a request is one of this session.
    pub(super) fn hold(&self, request: &Request, app: &App, sid: &SessionId) -> bool {
        self.sessions(request, app)
            .any(|(_, presented)| presented.session == *sid)
    }

    /// Returns a new CSRF value of the session whose tokens these are.
    pub(super) fn new_csrf(app: &App, grant: &Grant) -> String {
        let sid = grant.access.session_id.as_str();
        app.derived.csrf_value(sid, grant.csrf_epoch)
    }

    /// Returns the `Set-Cookie` values that forget a session.
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
