//! Protection against cross-site request forgery (CSRF) for tokens in cookies.
//!
//! A browser attaches cookies to requests from any page. So a request that changes something must come
//! from an acceptable origin, which browsers send and pages cannot forge, and must repeat the `csrf`
//! claim of the token in a header or a form field, because only a page of the same site can read that
//! claim.

use std::borrow::Cow;

use aws_lc_rs::constant_time;
use poem::Request;
use poem::http::Method;
use poem::http::header::UPGRADE;

use super::{OwnScheme, TokenCookie, check_origin};
use crate::error::{AuthError, CsrfFailure};
use crate::token::Claims;

/// CSRF check of requests that carry a token in a cookie. The header that repeats the `csrf` claim is
/// configured per cookie, in [`TokenCookie`].
#[derive(Clone, Debug, Default)]
pub struct Csrf {
    /// Methods that are checked.
    pub methods: CsrfMethods,
    /// Further origins whose pages may send requests, besides the service's origin, as browsers write
    /// them: `https://app.example.com`.
    pub allowed_origins: Vec<String>,
}

/// Methods whose requests must prove that a page of the service sent them. Requests that open a
/// WebSocket must always come from an acceptable origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CsrfMethods {
    /// All but `GET`, `HEAD`, `OPTIONS` and `TRACE`, which change nothing (RFC 9110, section 9.2.1).
    #[default]
    Unsafe,
    /// Only these; an empty list turns the check off.
    Only(Vec<Method>),
}

impl CsrfMethods {
    fn contain(&self, method: &Method) -> bool {
        match self {
            Self::Unsafe => !is_safe(method),
            Self::Only(methods) => methods.contains(method),
        }
    }
}

impl Csrf {
    /// Returns whether a request with a cookie must repeat the `csrf` claim of its token.
    ///
    /// # Errors
    /// [`AuthError::CsrfFailed`] for a request from another site.
    pub(crate) fn requires_value(&self, request: &Request) -> Result<bool, AuthError> {
        let is_checked = self.methods.contain(request.method());
        // A WebSocket starts as a GET, carries cookies and may be opened by any page.
        let upgrades = request.headers().contains_key(UPGRADE);
        if (is_checked || upgrades) && !self.accepts_origin(request) {
            return Err(AuthError::CsrfFailed(CsrfFailure::ForeignOrigin));
        }
        Ok(is_checked)
    }

    fn accepts_origin(&self, request: &Request) -> bool {
        let allowed = self.allowed_origins.iter().map(String::as_str);
        check_origin(request, OwnScheme::Unknown, allowed).is_ok()
    }
}

impl TokenCookie {
    /// Returns the CSRF value in the header of a request.
    pub(crate) fn csrf_value_in_header<'r>(&self, request: &'r Request) -> Option<&'r [u8]> {
        let value = request.headers().get(&self.csrf_header)?.as_bytes();
        (!value.is_empty()).then_some(value)
    }
}

/// Value to compare with the `csrf` claim once the token is verified.
#[derive(Debug)]
pub(crate) enum CsrfProof<'r> {
    /// The token was not in a cookie, or the method changes nothing.
    NotNeeded,
    /// Value from the request.
    Value(Cow<'r, [u8]>),
}

impl CsrfProof<'_> {
    /// Compares in constant time, so that the claim cannot be guessed byte by byte.
    pub(crate) fn verify(&self, claims: &Claims) -> Result<(), AuthError> {
        let Self::Value(presented) = self else {
            return Ok(());
        };
        let Some(expected) = claims.csrf.as_deref() else {
            return Err(AuthError::CsrfFailed(CsrfFailure::ClaimMissing));
        };
        constant_time::verify_slices_are_equal(presented, expected.as_bytes())
            .map_err(|_| AuthError::CsrfFailed(CsrfFailure::ValueMismatch))
    }
}

fn is_safe(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
    )
}
