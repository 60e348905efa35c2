//! Cross-site request forgery: what a token in a cookie does not prove, and two things that do.
//!
//! A browser attaches cookies to requests that any page makes. So a request that changes something
//! must come from an acceptable origin, which browsers state and pages cannot forge, and must repeat
//! in a header the `csrf` claim of the token, which only a page of the same site could read.

use aws_lc_rs::constant_time;
use poem::Request;
use poem::http::header::{HOST, ORIGIN, UPGRADE};
use poem::http::{HeaderName, HeaderValue, Method};

use crate::error::AuthError;
use crate::token::Claims;

/// How requests that carry a token in a cookie are checked, unless their method is safe.
#[derive(Clone, Debug)]
pub struct Csrf {
    /// The header that repeats the `csrf` claim.
    pub header: HeaderName,
    /// Origins besides the service's own whose pages may send requests, as browsers write them:
    /// `https://app.example.com`.
    pub allowed_origins: Vec<String>,
}

impl Default for Csrf {
    fn default() -> Self {
        Self {
            header: HeaderName::from_static("x-csrf-token"),
            allowed_origins: Vec::new(),
        }
    }
}

/// What has to equal the `csrf` claim once the token is known to be genuine.
#[derive(Clone, Copy, Debug)]
pub(super) enum Proof<'r> {
    /// The token came by hand, or the method changes nothing.
    NotNeeded,
    /// The value of the header.
    Header(&'r [u8]),
}

/// Takes the proof out of a request, before any work is spent on its token.
pub(super) fn proof<'r>(csrf: Option<&Csrf>, request: &'r Request) -> Result<Proof<'r>, AuthError> {
    let Some(csrf) = csrf else {
        return Ok(Proof::NotNeeded);
    };
    let changes = !is_safe(request.method());
    // A WebSocket starts as a GET, carries cookies and may be opened by any page.
    let upgrades = request.headers().contains_key(UPGRADE);
    if (changes || upgrades) && !csrf.accepts_origin(request) {
        return Err(AuthError::CsrfFailed("the request comes from another site"));
    }
    if !changes {
        return Ok(Proof::NotNeeded);
    }
    match request.headers().get(&csrf.header) {
        Some(value) if !value.is_empty() => Ok(Proof::Header(value.as_bytes())),
        _ => Err(AuthError::CsrfFailed(
            "the header that repeats its value is missing",
        )),
    }
}

impl Csrf {
    /// Programs other than browsers send neither header, and cannot be tricked: the claim suffices.
    fn accepts_origin(&self, request: &Request) -> bool {
        let headers = request.headers();
        let origin = headers.get(ORIGIN).map(HeaderValue::as_bytes);
        let allowed = origin.is_some_and(|origin| {
            self.allowed_origins
                .iter()
                .any(|one| origin.eq_ignore_ascii_case(one.as_bytes()))
        });
        if allowed {
            return true;
        }
        match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
            Some(site) => matches!(site, b"same-origin" | b"none"),
            None => origin.is_none_or(|origin| is_own(origin, request)),
        }
    }
}

impl Proof<'_> {
    /// Compares in constant time, so that the claim cannot be guessed byte by byte.
    pub(super) fn check(self, claims: &Claims) -> Result<(), AuthError> {
        let Self::Header(shown) = self else {
            return Ok(());
        };
        let Some(expected) = claims.csrf.as_deref() else {
            return Err(AuthError::CsrfFailed("the token has no `csrf` claim"));
        };
        constant_time::verify_slices_are_equal(shown, expected.as_bytes())
            .map_err(|_| AuthError::CsrfFailed("the header does not repeat the value in the token"))
    }
}

fn is_safe(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
    )
}

/// The scheme is left out: behind a proxy the service does not know its own.
fn is_own(origin: &[u8], request: &Request) -> bool {
    let authority = origin
        .strip_prefix(b"https://")
        .or_else(|| origin.strip_prefix(b"http://"));
    let own = own_authority(request);
    authority
        .zip(own)
        .is_some_and(|(theirs, own)| theirs.eq_ignore_ascii_case(own))
}

/// HTTP/2 has no `Host` header: its authority stands in the address.
fn own_authority(request: &Request) -> Option<&[u8]> {
    request
        .headers()
        .get(HOST)
        .map(HeaderValue::as_bytes)
        .or_else(|| {
            request
                .uri()
                .authority()
                .map(|authority| authority.as_str().as_bytes())
        })
}
