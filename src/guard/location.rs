//! Where a token is looked for. Reads headers as bytes: nothing a client sends there can panic.

use poem::Request;
use poem::http::HeaderMap;
use poem::http::header::{AUTHORIZATION, COOKIE};

use super::csrf::Csrf;
use crate::error::AuthError;
use crate::token::Expected;

/// A place where clients may put a token.
#[derive(Clone, Debug)]
pub enum Location {
    /// `Authorization: Bearer <token>`.
    Header,
    /// Cookies, with protection against cross-site request forgery.
    Cookie(Cookies),
}

/// The cookies that carry tokens, and what proves that the page itself sent them.
#[derive(Clone, Debug)]
pub struct Cookies {
    /// Name of the cookie that guards of access tokens read.
    pub access: String,
    /// Name of the cookie that guards of refresh tokens read.
    pub refresh: String,
    /// The check on requests that change something.
    pub csrf: Csrf,
}

impl Default for Cookies {
    fn default() -> Self {
        Self {
            access: "__Host-latchet_at".to_owned(),
            refresh: "__Host-latchet_rt".to_owned(),
            csrf: Csrf::default(),
        }
    }
}

/// A token as it was sent: nothing about it is known yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'r> {
    pub(super) token: &'r str,
    /// Present when a cookie carried the token, which browsers send unasked.
    pub(super) csrf: Option<&'r Csrf>,
}

/// Finds the one token of a request.
pub(super) fn find<'r>(
    locations: &'r [Location],
    request: &'r Request,
    expected: Expected,
) -> Result<Option<Shown<'r>>, AuthError> {
    let mut found = Found(None);
    for location in locations {
        match location {
            Location::Header => bearer(request.headers(), &mut found)?,
            Location::Cookie(cookies) => cookies.find(request.headers(), expected, &mut found)?,
        }
    }
    Ok(found.0)
}

struct Found<'r>(Option<Shown<'r>>);

impl<'r> Found<'r> {
    /// Which of two tokens counts would be a guess, and proxies in front may guess otherwise.
    fn add(&mut self, token: &'r str, csrf: Option<&'r Csrf>) -> Result<(), AuthError> {
        if self.0.is_some() {
            return Err(AuthError::AmbiguousToken);
        }
        self.0 = Some(Shown { token, csrf });
        Ok(())
    }
}

/// Reads `Authorization`, also where several credentials are joined by commas, as Flask apps send
/// them. Other schemes are not ours and count as absent. Spaces inside a token are left to the
/// verifier, which finds them when it decodes; looking for them here would cost more than the rest.
fn bearer<'r>(headers: &'r HeaderMap, found: &mut Found<'r>) -> Result<(), AuthError> {
    for value in headers.get_all(AUTHORIZATION) {
        for credentials in ascii(value.as_bytes())?.split(',') {
            let credentials = credentials.trim_ascii();
            let (scheme, token) = credentials
                .split_once([' ', '\t'])
                .unwrap_or((credentials, ""));
            if !scheme.eq_ignore_ascii_case("bearer") {
                continue;
            }
            if token.is_empty() {
                return Err(AuthError::MalformedToken("`Bearer` is not followed by one"));
            }
            found.add(token.trim_ascii_start(), None)?;
        }
    }
    Ok(())
}

/// UTF-8 is let through for speed: the verifier takes nothing but base64url.
fn ascii(bytes: &[u8]) -> Result<&str, AuthError> {
    std::str::from_utf8(bytes).map_err(|_| AuthError::MalformedToken("it is not ASCII"))
}

impl Cookies {
    /// Browsers send both cookies everywhere, so the guard's kind picks the one that counts. Where
    /// either kind is admitted, the access token is preferred. An empty cookie is one that was
    /// cleared, hence absent; the same name twice is a cookie planted by a neighbouring host.
    fn find<'r>(
        &'r self,
        headers: &'r HeaderMap,
        expected: Expected,
        found: &mut Found<'r>,
    ) -> Result<(), AuthError> {
        let names: &[&str] = match expected {
            Expected::Access => &[&self.access],
            Expected::Refresh => &[&self.refresh],
            Expected::Either => &[&self.access, &self.refresh],
        };
        for name in names {
            let mut shown = values(headers, name.as_bytes()).peekable();
            if shown.peek().is_none() {
                continue;
            }
            return shown.try_for_each(|token| found.add(ascii(token)?, Some(&self.csrf)));
        }
        Ok(())
    }
}

/// `Request::cookie()` panics where poem's cookie middleware is missing: the header is read here.
fn values<'r>(headers: &'r HeaderMap, name: &[u8]) -> impl Iterator<Item = &'r [u8]> {
    headers
        .get_all(COOKIE)
        .into_iter()
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b';'))
        .filter_map(move |pair| {
            let pair = pair.trim_ascii();
            let at = pair.iter().position(|&byte| byte == b'=')?;
            let (key, value) = (&pair[..at], &pair[at + 1..]);
            (key == name && !value.is_empty()).then_some(value)
        })
}
