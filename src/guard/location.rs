//! Where a token is looked for. Reads headers as bytes: nothing a client sends there can panic.

use std::borrow::Cow;
use std::sync::Arc;

use poem::Request;
use poem::http::header::{AUTHORIZATION, COOKIE};
use poem::http::{HeaderMap, HeaderName};

use super::body::{self, BodySlot};
use crate::cookies::Cookies;
use crate::error::AuthError;
use crate::token::{Expected, Kind};

/// A place where clients may put a token, and how it is named there.
#[derive(Clone, Debug)]
pub enum Location {
    /// A header.
    Header {
        /// Its name.
        name: HeaderName,
        /// The word before the token, compared without regard to case; `None` where the token
        /// stands alone.
        scheme: Option<String>,
    },
    /// Cookies, with protection against cross-site request forgery.
    Cookie(Arc<Cookies>),
    /// A parameter of the query. Addresses end up in logs, histories and `Referer` headers: for links
    /// that cannot carry a header, with tokens that live for minutes.
    Query {
        /// Its name.
        name: String,
        /// What has to precede the token in its value; usually nothing.
        prefix: String,
    },
    /// A member of a JSON body. The handler gets the body as if it had not been read.
    Json {
        /// The member that guards of access tokens read.
        access: String,
        /// The member that guards of refresh tokens read.
        refresh: String,
        /// How many bytes are read in search of it. A longer body is refused, unless the request has
        /// a token elsewhere.
        limit: usize,
    },
}

/// Which sort of [`Location`] it is.
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

    /// Returns the place that these cookies are.
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

    /// Returns which sort this is.
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
    /// Returns how errors name it.
    pub(super) const fn shown(self) -> &'static str {
        match self {
            Self::Header => "a header",
            Self::Cookie => "a cookie",
            Self::Query => "the query",
            Self::Json => "the JSON body",
        }
    }
}

/// A token as it was sent: nothing about it is known yet.
#[derive(Debug)]
pub(super) struct Shown<'r> {
    pub(super) token: Cow<'r, str>,
    pub(super) place: Place,
    /// Present when a cookie carried the token, which browsers send unasked.
    pub(super) cookie: Option<(&'r Arc<Cookies>, Kind)>,
    /// Values of further cookies of that name: old ones, or planted by a neighbouring host.
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
            // Boxed, so that what guards carry along does not grow for those that read no body.
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
    /// Which of two tokens counts would be a guess, and proxies in front may guess otherwise.
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

/// Reads a header, also where several credentials are joined by commas, as Flask apps send them.
/// Other schemes are not ours and count as absent. Spaces inside a token are left to the verifier,
/// which finds them when it decodes; looking for them here would cost more than the rest.
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

/// Returns what follows a scheme in a header of credentials, for each of those that commas join. What
/// belongs to other schemes may hold any bytes.
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

pub(crate) const NOTHING_AFTER_SCHEME: &str = "the scheme is not followed by one";
pub(super) const NO_PREFIX: &str = "its prefix in the query is missing";

/// UTF-8 is let through for speed: the verifier takes nothing but base64url.
fn ascii(bytes: &[u8]) -> Result<&str, AuthError> {
    std::str::from_utf8(bytes).map_err(|_| AuthError::MalformedToken("it is not ASCII"))
}

/// Browsers send both cookies everywhere, so the guard's kind picks the one that counts. An empty
/// cookie is one that was cleared, hence absent. Of several of one name, which browsers send when they
/// differ in path or domain, the verifier finds the one that is genuine.
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
