//! CSRF protection: the proof that a request with the refresh cookie must give.
//!
//! A browser also sends cookies with requests that other sites trigger. So the request must repeat the CSRF
//! value of the session, which only pages of this server can read, and must come from an allowed origin.

use poem::Request;
use poem::http::HeaderName;

use super::{SessionCookies, cookie_values};
use crate::App;
use crate::api::origin;
use crate::derived_keys::SecretAge;
use crate::error::ApiError;
use crate::ids::SessionId;
use crate::store::PresentedRefreshToken;
use latchet_guard::error::{AuthError, CsrfFailure};

/// Header in which a page repeats the CSRF cookie.
const CSRF_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");

/// The session of a refresh cookie whose request passed the CSRF check.
#[derive(Debug)]
pub(in crate::api) struct CsrfVerifiedSession {
    pub(in crate::api) presented: PresentedRefreshToken,
    /// The CSRF value of the session.
    pub(in crate::api) csrf: String,
    /// The secret under which it was issued.
    pub(in crate::api) csrf_age: SecretAge,
}

impl SessionCookies {
    /// Returns the session of the cookies, if the request passes the CSRF check: a page of another site must
    /// not be able to end a session by logging its visitor in.
    pub(in crate::api) fn csrf_verified_session(
        &self,
        request: &Request,
        app: &App,
    ) -> Option<SessionId> {
        let verified = self.verify_csrf(request, app).ok()?;
        Some(verified.presented.session)
    }

    /// Checks that the request comes from an allowed page, and returns its session. Of several refresh
    /// cookies, the newest one of the session that the CSRF value belongs to counts.
    ///
    /// The value is bound to the token: a value from before a password change is valid with a token from
    /// before it, as long as that token is accepted, and with no later token.
    ///
    /// # Errors
    /// The fault of the refresh cookie; `csrf_failed` with the missing part of the proof.
    pub(in crate::api) fn verify_csrf(
        &self,
        request: &Request,
        app: &App,
    ) -> Result<CsrfVerifiedSession, ApiError> {
        if self.refresh_tokens().next().is_none() {
            return Err(self.refresh_cookie_error().into());
        }
        origin::check_origin(request, &app.config)?;
        let csrf = self.repeated_csrf_value(request)?;
        let matching = self.refresh_tokens().filter_map(|(_, presented)| {
            let (sid, epoch) = (presented.session.as_str(), presented.csrf_epoch);
            Some((presented, app.derived.csrf_matches(csrf, sid, epoch)?))
        });
        let (presented, csrf_age) = matching
            .max_by_key(|(presented, _)| presented.generation)
            .ok_or(AuthError::CsrfFailed(CsrfFailure::SessionMismatch))?;
        Ok(CsrfVerifiedSession {
            presented: presented.clone(),
            csrf: csrf.to_owned(),
            csrf_age,
        })
    }

    /// Returns the reason why no refresh cookie is valid.
    fn refresh_cookie_error(&self) -> AuthError {
        let mut cookies = self.refresh_cookies.iter();
        let error = cookies.find_map(|cookie| cookie.presented.as_ref().err());
        error.cloned().unwrap_or(AuthError::MissingToken)
    }

    /// Returns the value in the header, if it repeats a CSRF cookie.
    fn repeated_csrf_value<'r>(&self, request: &'r Request) -> Result<&'r str, AuthError> {
        let sent = request.headers().get(CSRF_HEADER);
        let sent = sent.ok_or(AuthError::CsrfFailed(CsrfFailure::HeaderMissing))?;
        cookie_values(request, &self.csrf_name())
            .find(|value| value.as_bytes() == sent.as_bytes())
            .ok_or(AuthError::CsrfFailed(CsrfFailure::CookieMismatch))
    }
}
