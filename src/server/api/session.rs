//! A session that goes on or ends: refresh, log out.

use poem::Request;
use poem::http::header::{AUTHORIZATION, COOKIE};
use poem::http::{HeaderMap, HeaderValue};
use poem_openapi::{Object, OpenApi};
use secrecy::{ExposeSecret, SecretString};

use super::Tag;
use super::answer::{Done, Private, Tokens};
use super::caller::{actor, ip};
use super::cookies::Cookies;
use super::first_party::AccountHolder;
use super::idempotency::IdempotencyKey;
use super::input::OptionalBody;
use super::secret::Token;
use crate::error::AuthError;
use crate::guard::NOTHING_AFTER_SCHEME;
use crate::server::App;
use crate::server::error::ApiError;
use crate::server::rotation::RevokeReason;
use crate::server::store::{Presented, UserId};

/// Operations on the session that a token belongs to.
pub(super) struct SessionApi(pub(super) App);

/// The refresh token, where neither `Authorization` nor a cookie carries it.
#[derive(Debug, Object)]
struct RefreshTokenRequest {
    /// Refresh token of the last login or refresh.
    refresh_token: Option<Token>,
}

/// A token as it was shown, and where. Nothing about it is known yet.
enum Shown {
    Body(SecretString),
    Header(SecretString),
    Cookie(Cookies, SecretString),
}

#[OpenApi]
impl SessionApi {
    /// Refresh
    ///
    /// Exchanges the refresh token for new tokens, and rotates it. Show it in one of three places:
    /// the body, `Authorization: Bearer`, or the cookie together with `X-CSRF-Token`.
    ///
    /// A token that was rotated a moment ago still answers, with the same successor to the byte: a
    /// lost answer is repeated without harm, and two tabs do not log each other out. With an
    /// `Idempotency-Key` a lost answer is repeated for a day. A token that was rotated longer ago
    /// counts as stolen: `refresh_reused` ends the session.
    #[oai(
        path = "/v1/refresh",
        method = "post",
        operation_id = "refreshSession",
        tag = "Tag::Sessions"
    )]
    async fn refresh(
        &self,
        request: &Request,
        /// Random, new for each refresh and the same for its retries. An answer that got lost is then
        /// repeated for 24 h, as long as nobody has used it. Keep it as secret as the token.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        body: OptionalBody<RefreshTokenRequest>,
    ) -> Result<Tokens, ApiError> {
        let key = key.0.as_ref();
        let ip = ip(request, &self.0.config);
        // A failure sets no cookies: by now the browser may hold those of another login.
        match self.refresh_token(request, body.0)? {
            Shown::Body(token) | Shown::Header(token) => Ok(Tokens::in_body(
                self.0.refresh(token.expose_secret(), key, ip).await?,
            )),
            Shown::Cookie(cookies, token) => {
                let shown = self.0.refresh_tokens.read(token.expose_secret())?;
                let csrf = cookies.proof(request, &self.0, &shown)?;
                let grant = self.0.refresh(token.expose_secret(), key, ip).await?;
                let csrf = if grant.csrf_epoch == shown.csrf_epoch {
                    csrf
                } else {
                    Cookies::new_csrf(&self.0, &grant)
                };
                Ok(Tokens::in_cookies(grant, cookies, csrf))
            }
        }
    }

    /// Log out
    ///
    /// Ends this session: its refresh token and all its access tokens are refused from the answer
    /// on, everywhere. Show the access token, or, when that has expired, the refresh token in any
    /// of the places that refresh takes it from. Logging out twice is no error.
    #[oai(
        path = "/v1/logout",
        method = "post",
        operation_id = "logout",
        tag = "Tag::Sessions"
    )]
    async fn logout(
        &self,
        request: &Request,
        body: OptionalBody<RefreshTokenRequest>,
    ) -> Result<Private<Done>, ApiError> {
        let sid = match self.any_token(request, body.0)? {
            Shown::Header(token) => self.0.session_of(token.expose_secret()).await?,
            Shown::Body(token) => self.0.refresh_tokens.read(token.expose_secret())?.session,
            Shown::Cookie(cookies, token) => {
                let shown = self.0.refresh_tokens.read(token.expose_secret())?;
                cookies.proof(request, &self.0, &shown)?;
                shown.session
            }
        };
        self.0.log_out(&sid).await?;
        Ok(Private::new(Done::Done)
            .with_cookies(self.stale_cookies(request, |cookie| cookie.session == sid)))
    }

    /// Log out everywhere
    ///
    /// Ends every session of the user, this one too.
    #[oai(
        path = "/v1/logout/all",
        method = "post",
        operation_id = "logoutEverywhere",
        tag = "Tag::Sessions"
    )]
    async fn logout_everywhere(
        &self,
        guard: AccountHolder,
        request: &Request,
    ) -> Result<Private<Done>, ApiError> {
        let user = UserId::from(guard.claims.sub.as_str());
        let by = actor(&guard.claims, request, &self.0.config);
        self.0
            .end_sessions(&user, RevokeReason::LogoutAll, &by)
            .await?;
        let cookies = self.stale_cookies(request, |cookie| cookie.user == user);
        Ok(Private::new(Done::Done).with_cookies(cookies))
    }
}

impl SessionApi {
    /// Finds the one refresh token of a request.
    fn refresh_token(
        &self,
        request: &Request,
        body: RefreshTokenRequest,
    ) -> Result<Shown, AuthError> {
        let cookie = self.cookie(request);
        match (self.explicit(request, body)?, cookie) {
            (Some(_), Some(_)) => Err(AuthError::AmbiguousToken),
            (Some(shown), None) | (None, Some(shown)) => Ok(shown),
            (None, None) => Err(AuthError::MissingToken),
        }
    }

    /// Finds the token that says which session is to end. A page sends its cookie along whether it
    /// wants to or not, so here it counts only when nothing else was shown.
    fn any_token(&self, request: &Request, body: RefreshTokenRequest) -> Result<Shown, AuthError> {
        self.explicit(request, body)?
            .or_else(|| self.cookie(request))
            .ok_or(AuthError::MissingToken)
    }

    /// Returns the token that the client put into the request itself, unlike a cookie.
    fn explicit(
        &self,
        request: &Request,
        body: RefreshTokenRequest,
    ) -> Result<Option<Shown>, AuthError> {
        let header = in_header(request.headers(), self.0.config.schemes())?;
        match (header, body.refresh_token) {
            (Some(_), Some(_)) => Err(AuthError::AmbiguousToken),
            (Some(token), None) => Ok(Some(Shown::Header(token))),
            (None, Some(token)) => Ok(Some(Shown::Body(token.0))),
            (None, None) => Ok(None),
        }
    }

    fn cookie(&self, request: &Request) -> Option<Shown> {
        if !request.headers().contains_key(COOKIE) {
            return None;
        }
        let cookies = Cookies::of(request, &self.0.config)?;
        Some(Shown::Cookie(cookies, cookies.refresh_token(request)?))
    }

    /// Returns what makes the browser forget cookies of a session that has ended, and leaves those
    /// of other sessions alone.
    fn stale_cookies(
        &self,
        request: &Request,
        ended: impl Fn(&Presented) -> bool,
    ) -> Vec<HeaderValue> {
        let Some(Shown::Cookie(cookies, token)) = self.cookie(request) else {
            return Vec::new();
        };
        match self.0.refresh_tokens.read(token.expose_secret()) {
            Ok(shown) if !ended(&shown) => Vec::new(),
            _ => cookies.forget(),
        }
    }
}

/// Returns what follows one of the schemes in `Authorization`.
fn in_header(headers: &HeaderMap, schemes: &[&str]) -> Result<Option<SecretString>, AuthError> {
    let mut found = None;
    for value in headers.get_all(AUTHORIZATION) {
        let text = value
            .to_str()
            .map_err(|_| AuthError::MalformedToken("it is not ASCII"))?;
        let (scheme, token) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if !schemes.iter().any(|ours| scheme.eq_ignore_ascii_case(ours)) {
            continue;
        }
        if found.is_some() {
            return Err(AuthError::AmbiguousToken);
        }
        match token.trim() {
            "" => return Err(AuthError::MalformedToken(NOTHING_AFTER_SCHEME)),
            token => found = Some(SecretString::from(token)),
        }
    }
    Ok(found)
}
