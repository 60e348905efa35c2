//! The two cookies of a browser session, and what a request that relies on them must prove.
//!
//! A browser sends cookies along with requests that other sites provoke. So a request that lives by
//! the refresh cookie must also show the CSRF value that only our own pages can read, bound to the
//! session, and must not come from an origin that was not allowed.

use poem::Request;
use poem::http::header::{COOKIE, HOST, HeaderName, HeaderValue, ORIGIN};
use secrecy::{ExposeSecret, SecretString};

use crate::error::AuthError;
use crate::server::App;
use crate::server::config::{Config, Origin};
use crate::server::sessions::Grant;
use crate::server::store::{Presented, SessionId};

/// The header in which a page repeats the CSRF cookie.
pub(super) const CSRF_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");
/// Time that a browser keeps the proof of a known device: 400 days, which is as long as browsers keep any
/// cookie. Each login begins that time again.
const DEVICE_SECONDS: u64 = 400 * 24 * 60 * 60;
/// Accounts that one browser is known to at most.
const DEVICE_ACCOUNTS: usize = 4;
/// Not part of a token.
const DEVICE_SEPARATOR: &str = "~";
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Names and attributes of the cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cookies {
    /// `__Host-`: browsers accept them over https only and for this very host.
    Https,
    /// For development on plain http on this machine, where Safari refuses `Secure`.
    Loopback,
}

impl Cookies {
    /// Returns which cookies a request may use; none on plain http beyond this machine.
    pub(super) fn of(request: &Request, config: &Config) -> Option<Self> {
        if config.is_https() {
            return Some(Self::Https);
        }
        host(request)
            .is_some_and(is_loopback)
            .then_some(Self::Loopback)
    }

    const fn refresh(self) -> &'static str {
        match self {
            Self::Https => "__Host-latchet_rt",
            Self::Loopback => "latchet_rt",
        }
    }

    const fn csrf(self) -> &'static str {
        match self {
            Self::Https => "__Host-latchet_csrf",
            Self::Loopback => "latchet_csrf",
        }
    }

    const fn device(self) -> &'static str {
        match self {
            Self::Https => "__Host-latchet_device",
            Self::Loopback => "latchet_device",
        }
    }

    /// Returns the proofs of the accounts that know this device.
    pub(super) fn device_tokens(self, request: &Request) -> Vec<SecretString> {
        let value = value(request, self.device()).unwrap_or_default();
        let tokens = value.split(DEVICE_SEPARATOR).take(DEVICE_ACCOUNTS);
        tokens.map(SecretString::from).collect()
    }

    /// Returns the `Set-Cookie` value that keeps these proofs, the latest first.
    pub(super) fn keep_device(self, tokens: &[SecretString]) -> HeaderValue {
        let tokens: Vec<&str> = tokens
            .iter()
            .take(DEVICE_ACCOUNTS)
            .map(ExposeSecret::expose_secret)
            .collect();
        let value = tokens.join(DEVICE_SEPARATOR);
        self.line(self.device(), &value, DEVICE_SECONDS, "; HttpOnly")
    }

    /// Returns the refresh token that the request carries as a cookie.
    pub(super) fn refresh_token(self, request: &Request) -> Option<SecretString> {
        value(request, self.refresh()).map(SecretString::from)
    }

    /// Returns the `Set-Cookie` values that keep a session for `seconds`.
    pub(super) fn keep(self, token: &SecretString, csrf: &str, seconds: u64) -> Vec<HeaderValue> {
        vec![
            self.line(self.refresh(), token.expose_secret(), seconds, "; HttpOnly"),
            self.line(self.csrf(), csrf, seconds, ""),
        ]
    }

    /// Returns whether the refresh cookie of a request is one of this session.
    pub(super) fn hold(self, request: &Request, app: &App, sid: &SessionId) -> bool {
        let token = self.refresh_token(request);
        let shown = token.and_then(|token| app.refresh_tokens.read(token.expose_secret()).ok());
        shown.is_some_and(|shown| shown.session == *sid)
    }

    /// Returns the session of the cookies of a request, if the request proves what a logout by cookie
    /// must prove: a page of another site must not end a session by signing its visitor in.
    pub(super) fn proved_session(self, request: &Request, app: &App) -> Option<SessionId> {
        let token = self.refresh_token(request)?;
        let shown = app.refresh_tokens.read(token.expose_secret()).ok()?;
        self.proof(request, app, &shown).ok()?;
        Some(shown.session)
    }

    /// Returns a new CSRF value of the session whose tokens these are.
    pub(super) fn new_csrf(app: &App, grant: &Grant) -> String {
        let sid = grant.access.session_id.as_str();
        app.derived.csrf_value(sid, grant.csrf_epoch)
    }

    /// Returns the `Set-Cookie` values that forget a session.
    pub(super) fn forget(self) -> Vec<HeaderValue> {
        vec![
            self.line(self.refresh(), "", 0, "; HttpOnly"),
            self.line(self.csrf(), "", 0, ""),
        ]
    }

    #[expect(
        clippy::expect_used,
        reason = "names and base64url make a header value"
    )]
    fn line(self, name: &str, value: &str, seconds: u64, more: &str) -> HeaderValue {
        let secure = if self == Self::Https { "; Secure" } else { "" };
        let line =
            format!("{name}={value}; Path=/; Max-Age={seconds}; SameSite=Strict{secure}{more}");
        let mut line = HeaderValue::try_from(line).expect("only visible ASCII goes in");
        line.set_sensitive(true);
        line
    }

    /// Returns the CSRF value of a request that is proved to come from a page of ours, for the refresh
    /// token of its cookie. The value belongs to the token: that from before a change of the password
    /// is good with the token of then, while that one still answers, and with no later one.
    ///
    /// # Errors
    /// `csrf_failed` otherwise; the text says which part of the proof is missing.
    pub(super) fn proof(
        self,
        request: &Request,
        app: &App,
        token: &Presented,
    ) -> Result<String, AuthError> {
        check_origin(request, &app.config)?;
        let shown = request
            .headers()
            .get(CSRF_HEADER)
            .and_then(|value| value.to_str().ok());
        let Some(shown) = shown else {
            return Err(AuthError::CsrfFailed("the header X-CSRF-Token is missing"));
        };
        if value(request, self.csrf()).is_none_or(|cookie| cookie != shown) {
            return Err(AuthError::CsrfFailed(
                "X-CSRF-Token does not repeat the CSRF cookie",
            ));
        }
        let sid = token.session.as_str();
        if !app.derived.csrf_matches(shown, sid, token.csrf_epoch) {
            return Err(AuthError::CsrfFailed(
                "the CSRF cookie belongs to another session, or to the time before another password",
            ));
        }
        Ok(shown.to_owned())
    }
}

/// Refuses a request that a page of another origin made. Programs send neither header.
fn check_origin(request: &Request, config: &Config) -> Result<(), AuthError> {
    let foreign = Err(AuthError::CsrfFailed(
        "the request comes from another origin",
    ));
    let headers = request.headers();
    if let Some(origin) = headers.get(ORIGIN) {
        let origin = origin.to_str().unwrap_or_default();
        let own = is_own(origin, request, config);
        let allowed = config
            .allowed_origins
            .iter()
            .any(|allowed| allowed.as_str() == origin);
        return if own || allowed { Ok(()) } else { foreign };
    }
    match headers.get(FETCH_SITE).map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => foreign,
    }
}

/// The public URL is ours, and so is the address that the browser itself says it talks to: `Host`
/// cannot be chosen by a page. That admits `localhost` beside `127.0.0.1`.
fn is_own(origin: &str, request: &Request, config: &Config) -> bool {
    let scheme = if config.is_https() {
        "https://"
    } else {
        "http://"
    };
    origin == config.public_url.as_str()
        || origin
            .strip_prefix(scheme)
            .is_some_and(|authority| host(request) == Some(authority))
}

fn host(request: &Request) -> Option<&str> {
    // HTTP/2 sends it as a part of the URI.
    let uri = request
        .original_uri()
        .authority()
        .map(poem::http::uri::Authority::as_str);
    uri.or_else(|| request.headers().get(HOST)?.to_str().ok())
}

fn is_loopback(host: &str) -> bool {
    format!("http://{host}")
        .parse::<Origin>()
        .is_ok_and(|origin| origin.is_loopback())
}

/// Returns the value of a cookie. An empty one was cleared.
fn value(request: &Request, name: &str) -> Option<String> {
    request
        .headers()
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(known, value)| *known == name && !value.is_empty())
        .map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:80",
            "a.localhost",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "example.org",
            "localhost.example.org",
            "10.0.0.1:80",
            "[::2]",
            "127.0.0.1.nip.io",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let request = Request::builder()
            .header(COOKIE, "a=1; latchet_rt=x.y.z;b=2")
            .header(COOKIE, "latchet_csrf=")
            .finish();

        assert_eq!(value(&request, "latchet_rt").as_deref(), Some("x.y.z"));
        assert_eq!(value(&request, "rt"), None);
        assert_eq!(value(&request, "latchet_csrf"), None);
    }

    #[test]
    fn cookies_beyond_this_machine_are_secure() {
        let lines = Cookies::Https.keep(&SecretString::from("x.y.z"), "c.d", 60);

        assert_eq!(
            lines[0],
            "__Host-latchet_rt=x.y.z; Path=/; Max-Age=60; SameSite=Strict; Secure; HttpOnly"
        );
        assert_eq!(
            lines[1],
            "__Host-latchet_csrf=c.d; Path=/; Max-Age=60; SameSite=Strict; Secure"
        );
        assert_eq!(
            Cookies::Https.keep_device(&["a.b.c".into(), "d.e.f".into()]),
            "__Host-latchet_device=a.b.c~d.e.f; Path=/; Max-Age=34560000; SameSite=Strict; Secure; HttpOnly"
        );
    }
}
