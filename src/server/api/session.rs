//! A session that goes on or ends: refresh, log out.

use poem::Request;
use poem::http::HeaderValue;
use poem_openapi::{Object, OpenApi};
use secrecy::ExposeSecret;

use super::Tag;
use super::answer::{Done, Private, Tokens};
use super::caller::{actor, ip};
use super::cookies::Cookies;
use super::first_party::AccountHolder;
use super::idempotency::IdempotencyKey;
use super::input::OptionalBody;
use super::request_tokens::{RefreshPlace, RequestTokens};
use super::secret::Token;
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

#[OpenApi]
impl SessionApi {
    /// Refresh
    ///
    /// Exchanges the refresh token for new tokens, and rotates it. Show it in one of three places:
    /// the body, `Authorization: Bearer`, or the cookie together with `X-CSRF-Token`. An access token
    /// beside it does not matter; two different refresh tokens are refused.
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
        let tokens = RequestTokens::of(request, body.0.refresh_token, &self.0);
        // A failure sets no cookies: by now the browser may hold those of another login.
        let refresh = tokens.refresh_token()?;
        let grant = self
            .0
            .refresh(refresh.token.expose_secret(), key, ip)
            .await?;
        Ok(match refresh.place {
            RefreshPlace::Explicit => Tokens::in_body(grant),
            RefreshPlace::ExplicitAndCookie(cookies) => Tokens::in_both(grant, &cookies, &self.0),
            RefreshPlace::Cookie { cookies, csrf } => {
                let csrf = if grant.csrf_epoch == refresh.csrf_epoch {
                    csrf
                } else {
                    Cookies::new_csrf(&self.0, &grant)
                };
                Tokens::in_cookies(grant, &cookies, csrf)
            }
        })
    }

    /// Log out
    ///
    /// Ends this session: its refresh token and all its access tokens are refused from the answer
    /// on, everywhere. Show the access token, or, when that has expired, the refresh token in any
    /// of the places that refresh takes it from; or both, if they belong to one session. Logging out
    /// twice is no error.
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
        let tokens = RequestTokens::of(request, body.0.refresh_token, &self.0);
        let sid = tokens.session().await?;
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
    /// Returns what makes the browser forget cookies of a session that has ended, and leaves those
    /// of other sessions alone.
    fn stale_cookies(
        &self,
        request: &Request,
        ended: impl Fn(&Presented) -> bool,
    ) -> Vec<HeaderValue> {
        let cookies = Cookies::of(request, &self.0);
        let Some(cookies) = cookies.filter(|cookies| cookies.has_refresh_cookie(request)) else {
            return Vec::new();
        };
        let mut sessions = cookies.sessions(request, &self.0);
        if sessions.any(|(_, presented)| !ended(&presented)) {
            return Vec::new();
        }
        cookies.forget()
    }
}
