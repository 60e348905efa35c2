//! Refresh and logout.

use poem::Request;
use poem_openapi::{Object, OpenApi};
use serde_json::json;

use super::Tag;
use super::client::{client_ip, user_actor};
use super::cookies::SessionCookies;
use super::first_party::OwnAccountGuard;
use super::idempotency::IdempotencyKey;
use super::input::OptionalJsonBody;
use super::request_tokens::{RefreshTokenLocation, RequestTokens};
use super::responses::{NoContent, NoStore, SessionTokensResponse};
use super::secret_field::TokenField;
use super::spec::{OperationSpec, REFRESH_CODES, examples};
use crate::App;
use crate::error::ApiError;
use crate::rotation::RevokeReason;
use crate::store::UserId;
use latchet_guard::SECURITY_SCHEME;

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
            RefreshTokenLocation::Cookie { cookies, csrf } => {
                let csrf = if grant.csrf_epoch == csrf_epoch {
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
        let cookies = tokens.cleared_cookies(|cookie| cookie.session == sid);
        Ok(NoStore::new(NoContent::Success).with_cookies(cookies))
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
