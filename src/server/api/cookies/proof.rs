//! The proof that a request must give when it relies on the refresh cookie.
//!
//! A browser sends cookies along with requests that other sites provoke. So such a request must also
//! repeat the CSRF value that only our own pages can read, bound to the session, and must not come from
//! an origin that was not allowed.

use poem::Request;
use poem::http::HeaderName;
use secrecy::SecretString;

use super::{Cookies, values};
use crate::error::AuthError;
use crate::server::App;
use crate::server::api::origin;
use crate::server::error::ApiError;
use crate::server::store::{Presented, SessionId};

/// The header in which a page repeats the CSRF cookie.
const CSRF_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");

/// A session of the cookies of a request that comes from a page of ours.
#[derive(Debug)]
pub(in crate::server::api) struct ProvenSession {
    pub(in crate::server::api) token: SecretString,
    pub(in crate::server::api) presented: Presented,
    /// The CSRF value of the session.
    pub(in crate::server::api) csrf: String,
}

impl Cookies {
    /// Returns the session of the cookies of a request, if the request proves what a logout by cookie
    /// must prove: a page of another site must not end a session by signing its visitor in.
    pub(in crate::server::api) fn proven_session(
        &self,
        request: &Request,
        app: &App,
    ) -> Option<SessionId> {
        let proven = self.proof(request, app).ok()?;
        Some(proven.presented.session)
    }

    /// Returns the session of a request that is proved to come from a page of ours. Of several refresh
    /// cookies, the one that the CSRF value belongs to counts, and the newest of its session.
    ///
    /// The value belongs to the token: that from before a change of the password is good with the token
    /// of then, while that one still answers, and with no later one.
    ///
    /// # Errors
    /// The fault of the refresh cookie; `csrf_failed` with the part of the proof that is missing.
    pub(in crate::server::api) fn proof(
        &self,
        request: &Request,
        app: &App,
    ) -> Result<ProvenSession, ApiError> {
        let sessions: Vec<_> = self.sessions(request, app).collect();
        if sessions.is_empty() {
            return Err(self.fault(request, app).into());
        }
        origin::check(request, &app.config)?;
        let csrf = self.csrf_value(request)?;
        let matching = sessions.into_iter().filter(|(_, presented)| {
            let (sid, epoch) = (presented.session.as_str(), presented.csrf_epoch);
            app.derived.csrf_matches(csrf, sid, epoch)
        });
        let (token, presented) = matching
            .max_by_key(|(_, presented)| presented.generation)
            .ok_or(AuthError::CsrfFailed(
                "the CSRF cookie belongs to another session, or to the time before another password",
            ))?;
        Ok(ProvenSession {
            token,
            presented,
            csrf: csrf.to_owned(),
        })
    }

    /// Returns why none of the refresh cookies counts.
    fn fault(&self, request: &Request, app: &App) -> AuthError {
        values(request, &self.refresh())
            .find_map(|token| app.refresh_tokens.read(token).err())
            .unwrap_or(AuthError::MissingToken)
    }

    /// Returns the value in the header, if it repeats a CSRF cookie.
    fn csrf_value<'r>(&self, request: &'r Request) -> Result<&'r str, AuthError> {
        let sent = request.headers().get(CSRF_HEADER);
        let sent = sent.ok_or(AuthError::CsrfFailed("the header X-CSRF-Token is missing"))?;
        values(request, &self.csrf())
            .find(|value| value.as_bytes() == sent.as_bytes())
            .ok_or(AuthError::CsrfFailed(
                "X-CSRF-Token does not repeat the CSRF cookie",
            ))
    }
}
