//! Locations of tokens in a request. Reads headers as bytes: nothing that a client sends in them can
//! cause a panic.

use std::borrow::Cow;
use std::sync::Arc;

use poem::Request;
use poem::http::header::AUTHORIZATION;
use poem::http::{HeaderMap, HeaderName};

use super::body::{self, BodyAccess};
use super::credentials::credentials;
use crate::cookies::{CookieSyntax, Cookies, cookie_values};
use crate::error::{AuthError, MalformedToken, TokenLocation};
use crate::token::{ExpectedKind, TokenKind};

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
pub enum LocationKind {
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
    pub fn kind(&self) -> LocationKind {
        match self {
            Self::Header { .. } => LocationKind::Header,
            Self::Cookie(_) => LocationKind::Cookie,
            Self::Query { .. } => LocationKind::Query,
            Self::Json { .. } => LocationKind::Json,
        }
    }
}

impl LocationKind {
    /// Returns the location as errors name it.
    const fn in_errors(self) -> TokenLocation {
        match self {
            Self::Header => TokenLocation::Header,
            Self::Cookie => TokenLocation::Cookie,
            Self::Query => TokenLocation::Query,
            Self::Json => TokenLocation::JsonBody,
        }
    }
}

/// A token as it was sent, not yet verified.
#[derive(Debug)]
pub(super) struct PresentedToken<'r> {
    pub(super) token: Cow<'r, str>,
    pub(super) location: LocationKind,
    /// Present if a cookie carried the token, because browsers attach cookies to any request.
    pub(super) cookie: Option<(&'r Arc<Cookies>, TokenKind)>,
    /// Values of further cookies with that name: stale ones, or ones planted by a sibling host.
    pub(super) duplicates: Vec<&'r str>,
}

/// Finds the one token of a request.
pub(super) async fn find_token<'r>(
    locations: impl Iterator<Item = &'r Location> + Clone,
    request: &'r Request,
    body: &mut BodyAccess<'_>,
    expected: ExpectedKind,
) -> Result<Option<PresentedToken<'r>>, AuthError> {
    let mut search = TokenSearch(None);
    for location in locations.clone() {
        match location {
            Location::Header { name, scheme } => {
                search_header(request.headers(), name, scheme.as_deref(), &mut search)?;
            }
            Location::Cookie(cookies) => {
                search_cookies(cookies, request.headers(), expected, &mut search)?;
            }
            Location::Query { name, prefix } => search_query(request, name, prefix, &mut search)?,
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
            let name = |kind: &TokenKind| match kind {
                TokenKind::Access => access.as_str(),
                TokenKind::Refresh => refresh,
            };
            let names: Vec<_> = expected.kinds().iter().map(name).collect();
            // Boxed, so that the future of guards that read no body does not grow.
            let token = Box::pin(body::find_json_token(request, body, &names, *limit));
            match token.await {
                Ok(Some(token)) => search.add(Cow::Owned(token), LocationKind::Json, None)?,
                Err(AuthError::BodyTooLarge) if search.0.is_some() => {}
                Ok(None) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(search.0)
}

struct TokenSearch<'r>(Option<PresentedToken<'r>>);

impl<'r> TokenSearch<'r> {
    /// Refuses a second token: choosing one would be a guess, and a proxy in front may choose the other.
    fn add(
        &mut self,
        token: Cow<'r, str>,
        location: LocationKind,
        cookie: Option<(&'r Arc<Cookies>, TokenKind)>,
    ) -> Result<(), AuthError> {
        if let Some(first) = &self.0 {
            return Err(AuthError::AmbiguousToken(
                first.location.in_errors(),
                location.in_errors(),
            ));
        }
        self.0 = Some(PresentedToken {
            token,
            location,
            cookie,
            duplicates: Vec::new(),
        });
        Ok(())
    }
}

/// Reads a header, which may join credentials of several schemes. The verifier rejects spaces inside a token when it decodes it; checking for
/// them here would cost more than the rest.
fn search_header<'r>(
    headers: &'r HeaderMap,
    name: &HeaderName,
    scheme: Option<&str>,
    search: &mut TokenSearch<'r>,
) -> Result<(), AuthError> {
    let Some(scheme) = scheme else {
        for value in headers.get_all(name) {
            let token = decode_utf8(value.as_bytes().trim_ascii())?;
            if !token.is_empty() {
                search.add(Cow::Borrowed(token), LocationKind::Header, None)?;
            }
        }
        return Ok(());
    };
    for token in credentials(headers, name, &[scheme]) {
        if token.is_empty() {
            return Err(AuthError::MalformedToken(
                MalformedToken::NoTokenAfterScheme,
            ));
        }
        let token = Cow::Borrowed(decode_utf8(token)?);
        search.add(token, LocationKind::Header, None)?;
    }
    Ok(())
}

/// UTF-8 is accepted for speed: the verifier accepts only base64url.
fn decode_utf8(bytes: &[u8]) -> Result<&str, AuthError> {
    std::str::from_utf8(bytes).map_err(|_| AuthError::MalformedToken(MalformedToken::NotAscii))
}

/// Browsers send both cookies with every request, so the guard's kind selects one. An empty cookie has
/// been cleared and counts as absent. If there are several cookies with the same name, which browsers
/// send when they differ in path or domain, the verifier finds the valid one.
fn search_cookies<'r>(
    cookies: &'r Arc<Cookies>,
    headers: &'r HeaderMap,
    expected: ExpectedKind,
    search: &mut TokenSearch<'r>,
) -> Result<(), AuthError> {
    for &kind in expected.kinds() {
        let name = &cookies.of(kind).name;
        let mut candidates = cookie_values(headers, name, CookieSyntax::Exact);
        let Some(first) = candidates.next() else {
            continue;
        };
        let mut duplicates: Vec<_> = candidates
            .filter_map(|value| decode_utf8(value).ok())
            .collect();
        let token = match decode_utf8(first) {
            Ok(token) => token,
            Err(_) if !duplicates.is_empty() => duplicates.remove(0),
            Err(error) => return Err(error),
        };
        duplicates.retain(|duplicate| *duplicate != token);
        search.add(
            Cow::Borrowed(token),
            LocationKind::Cookie,
            Some((cookies, kind)),
        )?;
        if let Some(presented) = &mut search.0 {
            presented.duplicates = duplicates;
        }
        return Ok(());
    }
    Ok(())
}

fn search_query<'r>(
    request: &'r Request,
    name: &str,
    prefix: &str,
    search: &mut TokenSearch<'r>,
) -> Result<(), AuthError> {
    let query = request.uri().query().unwrap_or_default();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        if key != name || value.is_empty() {
            continue;
        }
        let Some(token) = value.strip_prefix(prefix) else {
            return Err(AuthError::MalformedToken(
                MalformedToken::QueryPrefixMissing,
            ));
        };
        let token = Cow::Owned(token.to_owned());
        search.add(token, LocationKind::Query, None)?;
    }
    Ok(())
}
