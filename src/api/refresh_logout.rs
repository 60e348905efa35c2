//! Refresh and logout, and the tokens of their requests: their locations, their types, and the one to use.
//!
//! The type of each token is read before any decision. Many clients add the access token to every request,
//! and browsers send cookies automatically: in both cases it is clear which refresh token is meant. Two
//! different refresh tokens are ambiguous, and such a request is refused.

use std::sync::Arc;

use poem::Request;
use poem::http::header::AUTHORIZATION;
use poem_openapi::{Object, OpenApi};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::Tag;
use super::client::{client_ip, user_actor};
use super::cookies::{CsrfVerifiedSession, SessionCookies};
use super::first_party::OwnAccountGuard;
use super::idempotency::IdempotencyKey;
use super::input::OptionalJsonBody;
use super::responses::{NoContent, NoStore, SessionTokensResponse};
use super::secret_field::TokenField;
use super::spec::{OperationSpec, REFRESH_CODES, examples};
use crate::App;
use crate::derived_keys::SecretAge;
use crate::error::ApiError;
use crate::ids::{SessionId, UserId};
use crate::rotation::RevokeReason;
use crate::store::PresentedRefreshToken;
use latchet_guard::error::{AuthError, MalformedToken, TokenLocation};
use latchet_guard::token::{Claims, ExpectedKind};
use latchet_guard::{SECURITY_SCHEME, credentials};

/// Operations on the session that a token belongs to.
pub(super) struct RefreshLogoutApi(pub(super) App);

/// The refresh token, if it is neither in `Authorization` nor in a cookie.
#[derive(Debug, Object)]
struct RefreshTokenRequest {
    /// Refresh token of the last login or refresh.
    refresh_token: Option<TokenField>,
}

#[OpenApi]
impl RefreshLogoutApi {
    /// Refresh
    ///
    /// Exchanges the refresh token for new tokens, and rotates it. Send it in one of three places: the body,
    /// `Authorization: Bearer`, or the cookie together with `X-CSRF-Token`. An additional access token is
    /// ignored; two different refresh tokens are refused.
    ///
    /// During the grace period (a few seconds) a rotated token still returns the same successor, byte for
    /// byte: a client can repeat a request whose response was lost, and two tabs do not log each other out.
    /// With an `Idempotency-Key` a lost response can be repeated for 24 hours. A token that was rotated
    /// longer ago counts as stolen: the session ends with `refresh_reused`.
    #[oai(
        path = "/v1/refresh",
        method = "post",
        operation_id = "refreshSession",
        tag = "Tag::Sessions"
    )]
    async fn refresh(
        &self,
        request: &Request,
        /// A random key, new for each refresh and the same for its retries. A lost response can then be
        /// repeated for 24 hours, as long as its refresh token has not been used. Keep the key as secret as
        /// the token.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        body: OptionalJsonBody<RefreshTokenRequest>,
    ) -> Result<SessionTokensResponse, ApiError> {
        let key = key.0.as_ref();
        let ip = client_ip(request, &self.0.config);
        let tokens = RequestTokens::from_request(request, body.0.refresh_token, &self.0);
        // A failure deletes no cookies: the browser may have those of a newer login by now.
        let refresh = tokens.refresh_token()?;
        let csrf_epoch = refresh.presented.csrf_epoch;
        let grant = self.0.sessions.refresh(refresh.presented, key, ip).await?;
        Ok(match refresh.location {
            RefreshTokenLocation::Explicit => SessionTokensResponse::in_body(grant),
            RefreshTokenLocation::ExplicitAndCookie(cookies) => {
                SessionTokensResponse::in_body_and_cookies(grant, &cookies, &self.0)
            }
            RefreshTokenLocation::Cookie {
                cookies,
                csrf,
                csrf_age,
            } => {
                // A value of the previous root secret would be refused when that is removed.
                let is_lasting = csrf_age == SecretAge::Current && grant.csrf_epoch == csrf_epoch;
                let csrf = if is_lasting {
                    csrf
                } else {
                    SessionCookies::csrf_value_of(&self.0, &grant)
                };
                SessionTokensResponse::in_cookies(grant, &cookies, csrf)
            }
        })
    }

    /// Log out
    ///
    /// Ends this session: after the response, its refresh token and all its access tokens are refused on
    /// every replica. Send the access token or, if it has expired, the refresh token in any place that
    /// refresh accepts; or both, if they belong to one session. A second logout is no error.
    #[oai(
        path = "/v1/logout",
        method = "post",
        operation_id = "logout",
        tag = "Tag::Sessions"
    )]
    async fn logout(
        &self,
        request: &Request,
        body: OptionalJsonBody<RefreshTokenRequest>,
    ) -> Result<NoStore<NoContent>, ApiError> {
        let tokens = RequestTokens::from_request(request, body.0.refresh_token, &self.0);
        let sid = tokens.session_to_end().await?;
        self.0.revocations.log_out(&sid).await?;
        let cleared = tokens
            .cookies
            .as_ref()
            .map(|cookies| cookies.cleared_cookies(|cookie| cookie.session == sid));
        Ok(NoStore::new(NoContent::Success).with_cookies(cleared.unwrap_or_default()))
    }

    /// Log out everywhere
    ///
    /// Ends every session of the user, including this one.
    #[oai(
        path = "/v1/logout/all",
        method = "post",
        operation_id = "logoutEverywhere",
        tag = "Tag::Sessions"
    )]
    async fn logout_everywhere(
        &self,
        guard: OwnAccountGuard,
        request: &Request,
    ) -> Result<NoStore<NoContent>, ApiError> {
        let user = UserId::from(guard.claims.sub.as_str());
        let by = user_actor(&guard.claims, request, &self.0.config);
        self.0
            .revocations
            .end_all_sessions(&user, RevokeReason::LogoutAll, &by)
            .await?;
        let cookies = SessionCookies::for_request(request, &self.0);
        let cleared = cookies.map(|cookies| cookies.cleared_cookies(|cookie| cookie.user == user));
        Ok(NoStore::new(NoContent::Success).with_cookies(cleared.unwrap_or_default()))
    }
}

/// Returns the additions to the document.
pub(super) fn operation_specs() -> Vec<OperationSpec> {
    let cookie = json!({ "refreshCookie": [], "csrfToken": [] });
    let refresh = json!({ "refreshToken": [] });
    let access = json!({ (SECURITY_SCHEME): [] });
    vec![
        OperationSpec::new("refreshSession")
            .errors(REFRESH_CODES)
            .errors(&["refresh_reused", "session_expired", "session_revoked"])
            .security(json!([cookie, refresh, {}]))
            .requests(&examples::refresh_requests())
            .responses(&examples::session_tokens()),
        OperationSpec::new("logout")
            .errors(REFRESH_CODES)
            .errors(&["token_expired"])
            .security(json!([access, cookie, refresh, {}]))
            .requests(&examples::refresh_requests()),
        OperationSpec::new("logoutEverywhere"),
    ]
}

/// All tokens of one request.
struct RequestTokens<'r> {
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
struct RequestRefreshToken {
    presented: PresentedRefreshToken,
    location: RefreshTokenLocation,
}

/// A token outside cookies that may name the session to end.
struct SessionToken<'t> {
    explicit: &'t ExplicitToken,
    /// Content of the token if it is an access token, which is in `Authorization` alone.
    access: Result<Arc<Claims>, AuthError>,
}

/// Location of the refresh token, which is also the location for its successor.
enum RefreshTokenLocation {
    /// In the body or in `Authorization`.
    Explicit,
    /// In the body or in `Authorization`, and the same token in a cookie.
    ExplicitAndCookie(SessionCookies),
    /// In a cookie, and the CSRF check has passed.
    Cookie {
        cookies: SessionCookies,
        csrf: String,
        csrf_age: SecretAge,
    },
}

impl<'r> RequestTokens<'r> {
    /// Reads the tokens of a request and their types, without a database query.
    fn from_request(request: &'r Request, body: Option<TokenField>, app: &'r App) -> Self {
        let in_body = body.map(|token| (TokenLocation::Body, token.0));
        let in_header = credentials(request.headers(), &AUTHORIZATION, app.config.schemes());
        // Bytes that are not UTF-8 are replaced: no token contains them, and none contains the replacement.
        let in_header = in_header.map(|token| {
            let token = String::from_utf8_lossy(token).into_owned();
            (TokenLocation::Authorization, token.into())
        });
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
    fn refresh_token(self) -> Result<RequestRefreshToken, ApiError> {
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
        let CsrfVerifiedSession {
            presented,
            csrf,
            csrf_age,
        } = cookies.verify_csrf(self.request, self.app)?;
        let location = RefreshTokenLocation::Cookie {
            cookies,
            csrf,
            csrf_age,
        };
        Ok(RequestRefreshToken {
            presented,
            location,
        })
    }

    /// Returns the session to end. A browser adds cookies to every request, so they count only if no other
    /// token names a session.
    ///
    /// # Errors
    /// `validation_failed` if two tokens name different sessions; otherwise the error of the token.
    async fn session_to_end(&self) -> Result<SessionId, ApiError> {
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
