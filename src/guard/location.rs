//! Locations of tokens in a request. Reads headers as bytes: nothing that a client sends in them can
//! cause a panic.

use std::borrow::Cow;
use std::sync::Arc;

use poem::Request;
use poem::http::header::{AUTHORIZATION, COOKIE};
use poem::http::{HeaderMap, HeaderName};

use super::body::{self, BodySlot};
use crate::cookies::Cookies;
use crate::error::AuthError;
use crate::token::{Expected, Kind};

/// A location where clients may put a token, with its name.
#[derive(Clone, Debug)]
pub enum Location {
    /// A header.
    Header {
        /// Its name.
        name: HeaderName,
        /// The word before the token, compared without regard to case; `None` if there is only the
        /// token.
        scheme: Option<String>,
    },
    /// Cookies, with protection against cross-site request forgery.
    Cookie(Arc<Cookies>),
    /// A query parameter. URLs end up in logs, browser histories and `Referer` headers: only for links
    /// that cannot carry a header, with tokens that are valid for minutes.
    Query {
        /// Its name.
        name: String,
        /// Prefix of the token in its value; usually empty.
        prefix: String,
    },
    /// A member of a JSON body. The handler receives the body unchanged.
    Json {
        /// Member that guards of access tokens read.
        access: String,
        /// Member that guards of refresh tokens read.
        refresh: String,
        /// Number of bytes that are searched. A longer body is refused, unless the request has a token
        /// in another location.
        limit: usize,
    },
}

/// Kind of a [`Location`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A header.
    Header,
    /// A cookie.
    Cookie,
    /// The query.
    Query,
    /// The JSON body.
    Json,
}

impl Location {
    /// Returns the default: `Authorization: Bearer <token>`.
    pub fn header() -> Self {
        Self::scheme("Bearer")
    }

    /// Returns `Authorization: <scheme> <token>`; Flask-JWT's scheme is `JWT`.
    pub fn scheme(scheme: impl Into<String>) -> Self {
        Self::Header {
            name: AUTHORIZATION,
            scheme: Some(scheme.into()),
        }
    }

    /// Returns these cookies as a location.
    pub fn cookies(cookies: impl Into<Arc<Cookies>>) -> Self {
        Self::Cookie(cookies.into())
    }

    /// Returns the query parameter `jwt`.
    pub fn query() -> Self {
        Self::Query {
            name: "jwt".to_owned(),
            prefix: String::new(),
        }
    }

    /// Returns the members `access_token` and `refresh_token` of a JSON body of at most 64 kB.
    pub fn json() -> Self {
        Self::Json {
            access: "access_token".to_owned(),
            refresh: "refresh_token".to_owned(),
            limit: 64 * 1024,
        }
    }

    /// Returns the kind of this location.
    pub fn place(&self) -> Place {
        match self {
            Self::Header { .. } => Place::Header,
            Self::Cookie(_) => Place::Cookie,
            Self::Query { .. } => Place::Query,
            Self::Json { .. } => Place::Json,
        }
    }
}

impl Place {
    /// Returns the name in error messages.
    pub(super) const fn shown(self) -> &'static str {
        match self {
            Self::Header => "a header",
            Self::Cookie => "a cookie",
            Self::Query => "the query",
            Self::Json => "the JSON body",
        }
    }
}

/// A token as it was sent, not yet verified.
#[derive(Debug)]
pub(super) struct Shown<'r> {
    pub(super) token: Cow<'r, str>,
    pub(super) place: Place,
    /// Present if a cookie carried the token, because browsers attach cookies to any request.
    pub(super) cookie: Option<(&'r Arc<Cookies>, Kind)>,
    /// Values of further cookies with that name: stale ones, or ones planted by a sibling host.
    pub(super) rivals: Vec<&'r str>,
}

/// Finds the one token of a request.
pub(super) async fn find<'r>(
    locations: impl Iterator<Item = &'r Location> + Clone,
    request: &'r Request,
    body: &mut BodySlot<'_>,
    expected: Expected,
) -> Result<Option<Shown<'r>>, AuthError> {
    let mut found = Found(None);
    for location in locations.clone() {
        match location {
            Location::Header { name, scheme } => {
                header(request.headers(), name, scheme.as_deref(), &mut found)?;
            }
            Location::Cookie(cookies) => cookie(cookies, request.headers(), expected, &mut found)?,
            Location::Query { name, prefix } => query(request, name, prefix, &mut found)?,
            Location::Json { .. } => {}
        }
    }
    for location in locations {
        if let Location::Json {
            access,
            refresh,
            limit,
        } = location
        {
            let name = |kind: &Kind| match kind {
                Kind::Access => access.as_str(),
                Kind::Refresh => refresh,
            };
            let names: Vec<_> = expected.kinds().iter().map(name).collect();
            // Boxed, so that the future of guards that read no body does not grow.
            let token = Box::pin(body::token(request, body, &names, *limit));
            match token.await {
                Ok(Some(token)) => found.add(Cow::Owned(token), Place::Json, None)?,
                Err(AuthError::BodyTooLarge) if found.0.is_some() => {}
                Ok(None) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(found.0)
}

struct Found<'r>(Option<Shown<'r>>);

impl<'r> Found<'r> {
    /// Refuses a second token: choosing one would be a guess, and a proxy in front may choose the other.
    fn add(
        &mut self,
        token: Cow<'r, str>,
        place: Place,
        cookie: Option<(&'r Arc<Cookies>, Kind)>,
    ) -> Result<(), AuthError> {
        if let Some(first) = &self.0 {
            return Err(AuthError::AmbiguousToken(
                first.place.shown(),
                place.shown(),
            ));
        }
        self.0 = Some(Shown {
            token,
            place,
            cookie,
            rivals: Vec::new(),
        });
        Ok(())
    }
}

/// Reads a header, also where several credentials are joined by commas, as Flask apps send them. Other
/// schemes count as absent. The verifier rejects spaces inside a token when it decodes it; checking for
/// them here would cost more than the rest.
fn header<'r>(
    headers: &'r HeaderMap,
    name: &HeaderName,
    scheme: Option<&str>,
    found: &mut Found<'r>,
) -> Result<(), AuthError> {
    for value in headers.get_all(name) {
        let value = value.as_bytes();
        let Some(scheme) = scheme else {
            let token = ascii(value.trim_ascii())?;
            if !token.is_empty() {
                found.add(Cow::Borrowed(token), Place::Header, None)?;
            }
            continue;
        };
        for token in credentials(value, scheme) {
            if token.is_empty() {
                return Err(AuthError::MalformedToken(NOTHING_AFTER_SCHEME));
            }
            found.add(Cow::Borrowed(ascii(token)?), Place::Header, None)?;
        }
    }
    Ok(())
}

/// Returns the value after the scheme for each of the comma-separated credentials in a header.
/// Credentials of other schemes may contain any bytes.
pub(crate) fn credentials<'h>(
    header: &'h [u8],
    scheme: &str,
) -> impl Iterator<Item = &'h [u8]> + use<'h> {
    let scheme = scheme.as_bytes().to_owned();
    header
        .split(|&byte| byte == b',')
        .filter_map(move |credentials| {
            let credentials = credentials.trim_ascii();
            let end = credentials.iter().position(|byte| b" \t".contains(byte));
            let (word, token) = credentials.split_at(end.unwrap_or(credentials.len()));
            word.eq_ignore_ascii_case(&scheme)
                .then(|| token.trim_ascii_start())
        })
}

pub(crate) const NOTHING_AFTER_SCHEME: &str = "there is no token after the scheme";
pub(super) const NO_PREFIX: &str = "its prefix in the query is missing";

/// UTF-8 is accepted for speed: the verifier accepts only base64url.
fn ascii(bytes: &[u8]) -> Result<&str, AuthError> {
    std::str::from_utf8(bytes).map_err(|_| AuthError::MalformedToken("it is not ASCII"))
}

/// Browsers send both cookies with every request, so the guard's kind selects one. An empty cookie has
/// been cleared and counts as absent. If there are several cookies with the same name, which browsers
/// send when they differ in path or domain, the verifier finds the valid one.
fn cookie<'r>(
    cookies: &'r Arc<Cookies>,
    headers: &'r HeaderMap,
    expected: Expected,
    found: &mut Found<'r>,
) -> Result<(), AuthError> {
    for &kind in expected.kinds() {
        let name = cookies.of(kind).name.as_bytes();
        let mut values = values(headers, name);
        let Some(first) = values.next() else {
            continue;
        };
        let mut rivals: Vec<_> = values.filter_map(|value| ascii(value).ok()).collect();
        let token = match ascii(first) {
            Ok(token) => token,
            Err(_) if !rivals.is_empty() => rivals.remove(0),
            Err(error) => return Err(error),
        };
        rivals.retain(|rival| *rival != token);
        found.add(Cow::Borrowed(token), Place::Cookie, Some((cookies, kind)))?;
        if let Some(shown) = &mut found.0 {
            shown.rivals = rivals;
        }
        return Ok(());
    }
    Ok(())
}

/// `Request::cookie()` panics without poem's cookie middleware: the header is read here.
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

fn query<'r>(
    request: &'r Request,
    name: &str,
    prefix: &str,
    found: &mut Found<'r>,
) -> Result<(), AuthError> {
    let query = request.uri().query().unwrap_or_default();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        if key != name || value.is_empty() {
            continue;
        }
        let Some(token) = value.strip_prefix(prefix) else {
            return Err(AuthError::MalformedToken(NO_PREFIX));
        };
        let token = Cow::Owned(token.to_owned());
        found.add(token, Place::Query, None)?;
    }
    Ok(())
}
