//! The cookies of a browser session: their names and attributes, and the refresh tokens in them.
//!
//! Cookies are not bound to a port, and other programs on the same host set some too. So a request may carry
//! several cookies of one name, and cookies of another Latchet server. Only tokens that this server has
//! signed count ([`cookie_values`]). The proof that a cookie-authenticated request must give is in [`csrf`].

use poem::Request;
use poem::http::header::{COOKIE, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::origin;
use crate::App;
use crate::ids::SessionId;
use crate::store::PresentedRefreshToken;
use crate::throttle::KnownDevice;
use crate::token_issuer::IssuedTokens;
use latchet_guard::cookies::{CookieSyntax, request_host};
use latchet_guard::error::AuthError;

mod csrf;

pub(super) use csrf::CsrfVerifiedSession;

/// Lifetime of the device cookie: 400 days, the longest that browsers allow. Each login starts it again.
const DEVICE_COOKIE_SECONDS: u64 = 400 * 24 * 60 * 60;
/// Most accounts that one browser can be known to.
const MAX_DEVICE_ACCOUNTS: usize = 4;
/// Separates device tokens in the cookie. No token contains it.
const DEVICE_SEPARATOR: &str = "~";

/// Names and attributes of the cookies of one browser, and the refresh tokens that a request has in them.
#[derive(Debug)]
pub(super) struct SessionCookies {
    transport: CookieTransport,
    /// Start of every name, after `__Host-`.
    prefix: String,
    refresh_cookies: Vec<RefreshCookie>,
}

/// A refresh cookie of a request. It is verified once.
#[derive(Debug)]
struct RefreshCookie {
    token: SecretString,
    /// Content of the token, if this server has signed it.
    presented: Result<PresentedRefreshToken, AuthError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CookieTransport {
    /// Names with `__Host-`: browsers accept such cookies over https only, and for this exact host.
    Https,
    /// For plain http: on localhost, where Safari rejects `Secure`, and where the settings allow it.
    Plain,
}

/// The server that has set the cookies of a request under one set of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CookieOwner {
    /// There are no such cookies.
    NotPresent,
    /// This server has set at least one of them.
    ThisServer,
    /// Another server on the same host has set them, or this one with another root secret.
    OtherServer,
}

impl SessionCookies {
    /// Returns the cookies that a request may use: none on plain http from another machine, unless the
    /// settings allow that.
    ///
    /// If another server on this host uses the usual names, the names of this server contain its port, so
    /// that neither server logs out the users of the other.
    pub(super) fn for_request(request: &Request, app: &App) -> Option<Self> {
        let config = &app.config;
        let transport = if config.is_https() {
            CookieTransport::Https
        } else if config.allow_plain_http
            || request_host(request).is_some_and(origin::is_loopback_host)
        {
            CookieTransport::Plain
        } else {
            return None;
        };
        let mut default_names = Self {
            transport,
            prefix: config.cookie_prefix.as_str().to_owned(),
            refresh_cookies: Vec::new(),
        };
        if !request.headers().contains_key(COOKIE) {
            return Some(default_names);
        }
        let mut names_with_port = Self {
            transport,
            prefix: format!("{}_{}", default_names.prefix, config.public_url.port()),
            refresh_cookies: Vec::new(),
        };
        names_with_port.read_refresh_cookies(request, app);
        default_names.read_refresh_cookies(request, app);
        let owners = (
            names_with_port.cookie_owner(request, app),
            default_names.cookie_owner(request, app),
        );
        Some(match owners {
            (CookieOwner::ThisServer, _) | (_, CookieOwner::OtherServer) => names_with_port,
            _ => default_names,
        })
    }

    fn read_refresh_cookies(&mut self, request: &Request, app: &App) {
        let cookies = cookie_values(request, &self.refresh_name()).map(|token| RefreshCookie {
            token: token.into(),
            presented: app.refresh_tokens.verify(token),
        });
        self.refresh_cookies = cookies.collect();
    }

    fn cookie_owner(&self, request: &Request, app: &App) -> CookieOwner {
        let is_ours = self.refresh_tokens().next().is_some()
            || self
                .device_tokens(request)
                .iter()
                .any(|token| KnownDevice::from_token(token, &app.derived).is_some());
        if is_ours {
            return CookieOwner::ThisServer;
        }
        let device = self.device_name();
        if self.has_refresh_cookie() || cookie_values(request, &device).next().is_some() {
            CookieOwner::OtherServer
        } else {
            CookieOwner::NotPresent
        }
    }

    fn refresh_name(&self) -> String {
        self.cookie_name("rt")
    }

    fn csrf_name(&self) -> String {
        self.cookie_name("csrf")
    }

    fn device_name(&self) -> String {
        self.cookie_name("device")
    }

    fn cookie_name(&self, name: &str) -> String {
        let host = match self.transport {
            CookieTransport::Https => "__Host-",
            CookieTransport::Plain => "",
        };
        format!("{host}{}_{name}", self.prefix)
    }

    /// Returns the device tokens of the accounts that know this device.
    pub(super) fn device_tokens(&self, request: &Request) -> Vec<SecretString> {
        let name = self.device_name();
        let tokens = cookie_values(request, &name)
            .flat_map(|value| value.split(DEVICE_SEPARATOR).take(MAX_DEVICE_ACCOUNTS));
        tokens.map(SecretString::from).collect()
    }

    /// Returns the `Set-Cookie` value that stores these device tokens, the latest first.
    pub(super) fn device_cookie(&self, tokens: &[SecretString]) -> HeaderValue {
        let tokens: Vec<&str> = tokens
            .iter()
            .take(MAX_DEVICE_ACCOUNTS)
            .map(ExposeSecret::expose_secret)
            .collect();
        let value = tokens.join(DEVICE_SEPARATOR);
        self.set_cookie(
            &self.device_name(),
            &value,
            DEVICE_COOKIE_SECONDS,
            "; HttpOnly",
        )
    }

    /// Returns whether the request has a refresh cookie, of this server or another.
    pub(super) fn has_refresh_cookie(&self) -> bool {
        !self.refresh_cookies.is_empty()
    }

    /// Returns the refresh tokens in the cookies of a request that this server has signed.
    pub(super) fn refresh_tokens(
        &self,
    ) -> impl Iterator<Item = (&SecretString, &PresentedRefreshToken)> {
        self.refresh_cookies.iter().filter_map(|cookie| {
            let presented = cookie.presented.as_ref().ok()?;
            Some((&cookie.token, presented))
        })
    }

    /// Returns the `Set-Cookie` values that store a session for `seconds`.
    pub(super) fn session_cookies(
        &self,
        token: &SecretString,
        csrf: &str,
        seconds: u64,
    ) -> Vec<HeaderValue> {
        vec![
            self.set_cookie(
                &self.refresh_name(),
                token.expose_secret(),
                seconds,
                "; HttpOnly",
            ),
            self.set_cookie(&self.csrf_name(), csrf, seconds, ""),
        ]
    }

    /// Returns whether a refresh cookie of the request belongs to this session.
    pub(super) fn contain_session(&self, sid: &SessionId) -> bool {
        self.refresh_tokens()
            .any(|(_, presented)| presented.session == *sid)
    }

    /// Returns a new CSRF value for the session of this grant.
    pub(super) fn csrf_value_of(app: &App, grant: &IssuedTokens) -> String {
        let sid = grant.access.session_id.as_str();
        app.derived.new_csrf_value(sid, grant.csrf_epoch)
    }

    /// Returns the `Set-Cookie` values that delete the cookies of an ended session; none if the request also
    /// has cookies of another session.
    pub(super) fn cleared_cookies(
        &self,
        ended: impl Fn(&PresentedRefreshToken) -> bool,
    ) -> Vec<HeaderValue> {
        let is_other = |(_, presented): (_, &PresentedRefreshToken)| !ended(presented);
        if !self.has_refresh_cookie() || self.refresh_tokens().any(is_other) {
            return Vec::new();
        }
        vec![
            self.set_cookie(&self.refresh_name(), "", 0, "; HttpOnly"),
            self.set_cookie(&self.csrf_name(), "", 0, ""),
        ]
    }

    #[expect(
        clippy::expect_used,
        reason = "names and base64url make a header value"
    )]
    fn set_cookie(&self, name: &str, value: &str, seconds: u64, attributes: &str) -> HeaderValue {
        let secure = match self.transport {
            CookieTransport::Https => "; Secure",
            CookieTransport::Plain => "",
        };
        let line = format!(
            "{name}={value}; Path=/; Max-Age={seconds}; SameSite=Strict{secure}{attributes}"
        );
        let mut line = HeaderValue::try_from(line).expect("only visible ASCII goes in");
        line.set_sensitive(true);
        line
    }
}

/// Returns the non-empty values of a cookie in the order of the request. Values that are not UTF-8 are
/// cookies of other programs.
fn cookie_values<'r>(request: &'r Request, name: &str) -> impl Iterator<Item = &'r str> + use<'r> {
    latchet_guard::cookies::cookie_values(
        request.headers(),
        name.to_owned(),
        CookieSyntax::Tolerant,
    )
    .filter_map(|value| std::str::from_utf8(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&[u8]], name: &str) -> Vec<String> {
        let mut request = Request::builder().finish();
        for line in lines {
            let line = HeaderValue::from_bytes(line).unwrap();
            request.headers_mut().append(COOKIE, line);
        }
        cookie_values(&request, name).map(str::to_owned).collect()
    }

    #[test]
    fn other_cookies_of_any_bytes_are_ignored() {
        let others: [&[u8]; 14] = [
            b"a=1",
            "campaign=Übung".as_bytes(),
            b"latin=\xfc",
            "emoji=🍪".as_bytes(),
            "city=東京".as_bytes(),
            b"\xff\xfe=\x80",
            b"no-sign-of-equality",
            b"",
            b"=nameless",
            b"quoted=\"a, b\"",
            b"half=\"",
            b"equal=a=b=c",
            b"xlatchet_rt=no",
            b"latchet_rt=",
        ];
        for other in others {
            for lines in [
                vec![[other, b"; latchet_rt=x.y.z"].concat()],
                vec![[b"latchet_rt=x.y.z;", other].concat()],
                vec![other.to_vec(), b"latchet_rt=x.y.z".to_vec()],
                vec![b"latchet_rt=x.y.z".to_vec(), other.to_vec()],
            ] {
                let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();

                assert_eq!(
                    read(&lines, "latchet_rt"),
                    ["x.y.z"],
                    "{}",
                    other.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn all_values_of_a_name_are_returned_in_order() {
        let lines: [&[u8]; 2] = [
            b"latchet_rt=old; a=1;latchet_rt = \"quoted\" ; latchet_csrf=",
            b"latchet_rt=\xff; latchet_rt=new",
        ];

        assert_eq!(read(&lines, "latchet_rt"), ["old", "quoted", "new"]);
        assert_eq!(read(&lines, "latchet_csrf"), [""; 0]);
        assert_eq!(read(&lines, "rt"), [""; 0]);
    }

    #[test]
    fn cookies_over_https_are_secure() {
        let cookies = SessionCookies {
            transport: CookieTransport::Https,
            prefix: "latchet".to_owned(),
            refresh_cookies: Vec::new(),
        };
        let lines = cookies.session_cookies(&SecretString::from("x.y.z"), "c.d", 60);

        assert_eq!(
            lines[0],
            "__Host-latchet_rt=x.y.z; Path=/; Max-Age=60; SameSite=Strict; Secure; HttpOnly"
        );
        assert_eq!(
            lines[1],
            "__Host-latchet_csrf=c.d; Path=/; Max-Age=60; SameSite=Strict; Secure"
        );
        assert_eq!(
            cookies.device_cookie(&["a.b.c".into(), "d.e.f".into()]),
            "__Host-latchet_device=a.b.c~d.e.f; Path=/; Max-Age=34560000; SameSite=Strict; Secure; HttpOnly"
        );
    }
}
