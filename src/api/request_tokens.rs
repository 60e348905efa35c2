//! The tokens of a request, for operations that accept a refresh token: their locations, their types, and
//! the one to use.
//!
//! The type of each token is read before any decision. Many clients add the access token to every request,
//! and browsers send cookies automatically: in both cases it is clear which refresh token is meant. Two
//! different refresh tokens are ambiguous, and such a request is refused.

use std::sync::Arc;

use poem::Request;
use poem::http::HeaderMap;
use poem::http::header::{AUTHORIZATION, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::cookies::{CsrfVerifiedSession, SessionCookies};
use super::secret_field::TokenField;
use crate::App;
use crate::error::ApiError;
use crate::store::{PresentedRefreshToken, SessionId};
use latchet_guard::credentials;
use latchet_guard::error::{AuthError, MalformedToken, TokenLocation};
use latchet_guard::token::{Claims, ExpectedKind};

/// All tokens of one request.
pub(super) struct RequestTokens<'r> {
    request: &'r Request,
    app: &'r App,
    /// Tokens outside cookies, in the order in which they are searched.
    explicit: Vec<ExplicitToken>,
    cookies: Option<SessionCookies>,
}

/// A token in the body or in `Authorization`.
struct ExplicitToken {
    /// The body or `Authorization`.
    location: TokenLocation,
    token: SecretString,
    /// Content of the token, if it is a refresh token of this server.
    refresh: Result<PresentedRefreshToken, AuthError>,
}

/// The one refresh token of a request.
pub(super) struct RequestRefreshToken {
    pub(super) presented: PresentedRefreshToken,
    pub(super) location: RefreshTokenLocation,
}

/// A token outside cookies that may name the session to end.
struct SessionToken<'t> {
    explicit: &'t ExplicitToken,
    /// Content of the token if it is an access token, which is in `Authorization` alone.
    access: Result<Arc<Claims>, AuthError>,
}

/// Location of the refresh token, which is also the location for its successor.
pub(super) enum RefreshTokenLocation {
    /// In the body or in `Authorization`.
    Explicit,
    /// In the body or in `Authorization`, and the same token in a cookie.
    ExplicitAndCookie(SessionCookies),
    /// In a cookie, and the CSRF check has passed.
    Cookie {
        cookies: SessionCookies,
        csrf: String,
    },
}

impl<'r> RequestTokens<'r> {
    /// Reads the tokens of a request and their types, without a database query.
    pub(super) fn from_request(
        request: &'r Request,
        body: Option<TokenField>,
        app: &'r App,
    ) -> Self {
        let in_body = body.map(|token| (TokenLocation::Body, token.0));
        let in_header = authorization_tokens(request.headers(), app.config.schemes());
        let in_header = in_header
            .into_iter()
            .map(|token| (TokenLocation::Authorization, token));
        let explicit = in_body.into_iter().chain(in_header);
        let explicit = explicit.map(|(location, token)| ExplicitToken {
            location,
            refresh: app.refresh_tokens.verify(token.expose_secret()),
            token,
        });
        let cookies = SessionCookies::for_request(request, app);
        Self {
            request,
            app,
            explicit: explicit.collect(),
            cookies: cookies.filter(SessionCookies::has_refresh_cookie),
        }
    }

    /// Returns the one refresh token of the request.
    ///
    /// # Errors
    /// `validation_failed` for two different refresh tokens; the error of the token if there is no valid
    /// one; `csrf_failed` for a cookie without its proof.
    pub(super) fn refresh_token(self) -> Result<RequestRefreshToken, ApiError> {
        let mut refresh = self.explicit.iter().filter_map(|explicit| {
            let presented = explicit.refresh.as_ref().ok()?;
            Some((explicit, presented))
        });
        let Some((first, presented)) = refresh.next() else {
            return self.refresh_token_in_cookie();
        };
        let same = |token: &SecretString| token.expose_secret() == first.token.expose_secret();
        if let Some((second, _)) = refresh.find(|(other, _)| !same(&other.token)) {
            return Err(AuthError::AmbiguousToken(first.location, second.location).into());
        }
        let location = match self.cookies {
            Some(cookies) if cookies.refresh_tokens().next().is_some() => {
                if !cookies.refresh_tokens().any(|(token, _)| same(token)) {
                    return Err(
                        AuthError::AmbiguousToken(first.location, TokenLocation::Cookie).into(),
                    );
                }
                RefreshTokenLocation::ExplicitAndCookie(cookies)
            }
            _ => RefreshTokenLocation::Explicit,
        };
        Ok(RequestRefreshToken {
            presented: presented.clone(),
            location,
        })
    }

    fn refresh_token_in_cookie(self) -> Result<RequestRefreshToken, ApiError> {
        let Some(cookies) = self.cookies else {
            return Err(token_error(&self.explicit).into());
        };
        let is_ours = cookies.refresh_tokens().next().is_some();
        if !is_ours && !self.explicit.is_empty() {
            return Err(token_error(&self.explicit).into());
        }
        let CsrfVerifiedSession { presented, csrf } =
            cookies.verify_csrf(self.request, self.app)?;
        Ok(RequestRefreshToken {
            presented,
            location: RefreshTokenLocation::Cookie { cookies, csrf },
        })
    }

    /// Returns the session to end. A browser adds cookies to every request, so they count only if no other
    /// token names a session.
    ///
    /// # Errors
    /// `validation_failed` if two tokens name different sessions; otherwise the error of the token.
    pub(super) async fn session_to_end(&self) -> Result<SessionId, ApiError> {
        let tokens: Vec<_> = self
            .explicit
            .iter()
            .map(|token| self.parse(token))
            .collect();
        let mut named: Option<(&SessionToken<'_>, SessionId)> = None;
        let mut by_refresh = false;
        for token in &tokens {
            let Some(sid) = token.session() else {
                continue;
            };
            by_refresh |= token.explicit.refresh.is_ok();
            match &named {
                Some((first, known)) if *known != sid => {
                    let (first, second) = (first.explicit.location, token.explicit.location);
                    return Err(AuthError::AmbiguousToken(first, second).into());
                }
                Some(_) => {}
                None => named = Some((token, sid)),
            }
        }
        match named {
            // The refresh token is enough: no need to check the access token's revocation.
            Some((_, sid)) if by_refresh => Ok(sid),
            Some((token, _)) => self.proven_session(token).await,
            None => self.session_of_cookie(tokens.first()).await,
        }
    }

    fn parse<'t>(&self, explicit: &'t ExplicitToken) -> SessionToken<'t> {
        let access = match (&explicit.refresh, explicit.location) {
            (Ok(_), _) => Err(AuthError::WrongTokenType),
            (Err(error), TokenLocation::Body) => Err(error.clone()),
            (Err(_), _) => {
                let (token, now) = (explicit.token.expose_secret(), self.app.clock.now());
                self.app.verifier.verify(token, ExpectedKind::Access, now)
            }
        };
        SessionToken { explicit, access }
    }

    /// Returns the session of a token that may end it.
    async fn proven_session(&self, token: &SessionToken<'_>) -> Result<SessionId, ApiError> {
        match (&token.explicit.refresh, &token.access) {
            (Ok(presented), _) => Ok(presented.session.clone()),
            (Err(AuthError::WrongTokenType), Ok(claims)) => {
                self.app.revocations.session_of_access_token(claims).await
            }
            (Err(AuthError::WrongTokenType), Err(error)) | (Err(error), _) => {
                Err(error.clone().into())
            }
        }
    }

    /// Returns the session of the cookie, if no other token of the request is valid.
    async fn session_of_cookie(
        &self,
        first: Option<&SessionToken<'_>>,
    ) -> Result<SessionId, ApiError> {
        let Some(first) = first else {
            let cookies = self.cookies.as_ref().ok_or(AuthError::MissingToken)?;
            return Ok(cookies
                .verify_csrf(self.request, self.app)?
                .presented
                .session);
        };
        let error = match self.proven_session(first).await {
            Ok(session) => return Ok(session),
            Err(error) => error,
        };
        let verified = self
            .cookies
            .as_ref()
            .and_then(|cookies| cookies.csrf_verified_session(self.request, self.app));
        match verified {
            // The page got its expired access token from another session.
            Some(session) if self.expired_session().is_some_and(|sid| sid != session) => Err(error),
            Some(session) => Ok(session),
            None => Err(error),
        }
    }

    /// Returns the `Set-Cookie` values that delete the cookies of an ended session; none if the request also
    /// has cookies of another session.
    pub(super) fn cleared_cookies(
        &self,
        ended: impl Fn(&PresentedRefreshToken) -> bool,
    ) -> Vec<HeaderValue> {
        let cookies = self.cookies.as_ref();
        let cleared = cookies.map(|cookies| cookies.cleared_cookies(ended));
        cleared.unwrap_or_default()
    }

    /// Returns the session of an expired access token.
    fn expired_session(&self) -> Option<SessionId> {
        let now = self.app.clock.now();
        self.explicit.iter().find_map(|explicit| {
            let token = explicit.token.expose_secret();
            let verified = self
                .app
                .verifier
                .verify_even_expired(token, ExpectedKind::Access, now)
                .ok()?;
            verified.claims.sid.as_deref().map(SessionId::from)
        })
    }
}

impl SessionToken<'_> {
    /// Returns the session of a token that is authentic and has not expired.
    fn session(&self) -> Option<SessionId> {
        match (&self.explicit.refresh, &self.access) {
            (Ok(presented), _) => Some(presented.session.clone()),
            (Err(_), Ok(claims)) => claims.sid.as_deref().map(SessionId::from),
            (Err(_), Err(_)) => None,
        }
    }
}

/// Returns the reason why none of these tokens is a valid refresh token.
fn token_error(explicit: &[ExplicitToken]) -> AuthError {
    let mut refused = explicit.iter().filter_map(|explicit| {
        let error = explicit.refresh.as_ref().err()?;
        Some((explicit, error))
    });
    match refused.next() {
        None => AuthError::MissingToken,
        Some((first, _)) if first.token.expose_secret().is_empty() => {
            AuthError::MalformedToken(MalformedToken::NoTokenAfterScheme)
        }
        Some((_, error)) => error.clone(),
    }
}

/// Returns the credentials of these schemes in `Authorization`. Bytes that are not UTF-8 are replaced: no
/// token contains them, and none contains the replacement.
fn authorization_tokens(headers: &HeaderMap, schemes: &[&str]) -> Vec<SecretString> {
    let tokens = credentials(headers, &AUTHORIZATION, schemes);
    let tokens = tokens.map(|token| String::from_utf8_lossy(token).into_owned());
    tokens.map(SecretString::from).collect()
}
