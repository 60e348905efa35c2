//! Keeps an active browser signed in: an access cookie that is about to expire is replaced in the next
//! response, without a separate request.
//!
//! Properties that are easy to get wrong:
//! - A response that is in progress while the user logs out must not sign them in again. So the denylist
//!   is checked again immediately before the cookie is set, a response that sets or clears the cookie
//!   itself is not changed, and the new token belongs to the same session, so that a later logout, or
//!   one in another tab, ends it too. A token without `sid` is not renewed.
//! - A session must end. [`Renewal::longest_session`] counts from the password entry; the end is written
//!   into the token (`session_end`) and no renewal extends beyond it.
//! - Freshness must not be extended: a token that was fresh stays fresh until the old token would have
//!   expired.
//! - Open pages keep working: the `csrf` claim is kept.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use poem::http::header::{CACHE_CONTROL, SET_COOKIE};
use poem::http::{HeaderMap, HeaderValue};
use poem::{Endpoint, IntoResponse, Middleware, Request, Response};
use serde_json::Value;

use super::Cookies;
use crate::clock::{Clock, Time};
use crate::denylist::{Denylist, TokenStatus};
use crate::keys::random_id;
use crate::token::{Claims, FreshClaim, Issuer, TokenKind};

/// Claim with the final end of a session, in seconds since the unix epoch. Tokens may be issued with it;
/// renewal adds it.
pub const SESSION_END: &str = "session_end";

/// Renews access cookies: a middleware for the routes of pages.
///
/// It renews only tokens that a guard accepted from a cookie: the response to a request without a guard,
/// or to a refused request, renews nothing. The claims are not reloaded, so a change of roles takes
/// effect with the next sign-in, or after a [`deny_session`](crate::guard::Guards::deny_session).
///
/// ```
/// use std::time::Duration;
///
/// use latchet_guard::cookies::Renewal;
/// use latchet_guard::Guards;
/// use latchet_guard::token::Issuer;
/// use poem::{Endpoint, EndpointExt, Route};
///
/// fn site(pages: Route, guards: Guards, issuer: Issuer) -> impl Endpoint {
///     let renewal = Renewal {
///         issuer,
///         renew_when_left: Duration::from_secs(30 * 60),
///         longest_session: Duration::from_secs(30 * 24 * 60 * 60),
///     };
///     pages.with(renewal).data(guards)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Renewal {
    /// Signs the new tokens; guards have to trust it.
    pub issuer: Issuer,
    /// A token with less remaining lifetime is renewed, and gets its full lifetime again.
    pub renew_when_left: Duration,
    /// Longest time from the sign-in (`auth_time`, else `iat`) to the expiry of the last token.
    pub longest_session: Duration,
}

impl Renewal {
    /// Returns the claims that continue these; `None` when it is too early or too late.
    fn renewed_claims(&self, old: &Claims, now: Time) -> Option<Claims> {
        let end = old.exp.map(Time::from_secs)?;
        let is_renewable = old.kind == TokenKind::Access && old.sid.is_some();
        if !is_renewable || now >= end || end.since(now) >= self.renew_when_left {
            return None;
        }
        let session_end = self.session_end(old)?;
        let lifetime = end.since(Time::from_secs(old.iat));
        let next_end = (now + lifetime).min(session_end);
        if next_end <= end {
            return None;
        }
        let mut next = Claims {
            jti: random_id(),
            iat: now.secs(),
            nbf: old.nbf.map(|_| now.secs()),
            exp: Some(next_end.secs()),
            fresh: match old.fresh {
                FreshClaim::Yes => FreshClaim::until(end),
                other => other,
            },
            ..old.clone()
        };
        let session_end = Value::from(session_end.secs());
        next.extra.insert(SESSION_END.to_owned(), session_end);
        Some(next)
    }

    /// `None` if the claim is present but unreadable: then the end is unknown.
    fn session_end(&self, claims: &Claims) -> Option<Time> {
        let start = Time::from_secs(claims.auth_time.unwrap_or(claims.iat));
        let longest = start + self.longest_session;
        match claims.extra.get(SESSION_END) {
            None => Some(longest),
            Some(end) => end.as_i64().map(|end| Time::from_secs(end).min(longest)),
        }
    }

    async fn renew(&self, authentication: &CookieAuthentication, headers: &mut HeaderMap) {
        let CookieAuthentication {
            claims, cookies, ..
        } = authentication;
        let now = authentication.clock.now();
        if sets_cookie(headers, &cookies.access.name) || is_cacheable(headers) {
            return;
        }
        let Some(next) = self.renewed_claims(claims, now) else {
            return;
        };
        let set = self
            .issuer
            .sign(&next)
            .map_err(|error| error.to_string())
            .and_then(|token| {
                let set = cookies.set(&token, &next, now);
                set.map_err(|error| error.to_string())
            });
        match set {
            Err(error) => tracing::error!(error, "failed to renew an access cookie"),
            // Nothing is awaited between this check and setting the cookie.
            Ok(set) => {
                if authentication.is_still_valid().await {
                    set.add_to(headers);
                }
            }
        }
    }
}

fn sets_cookie(headers: &HeaderMap, name: &str) -> bool {
    headers.get_all(SET_COOKIE).into_iter().any(|line| {
        let rest = line.as_bytes().strip_prefix(name.as_bytes());
        rest.is_some_and(|rest| rest.first() == Some(&b'='))
    })
}

/// A cache that stores the response would send the cookie to other users.
fn is_cacheable(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CACHE_CONTROL);
    let mut lines = lines.into_iter().map(HeaderValue::to_str).peekable();
    lines.peek().is_some()
        && !lines.any(|line| {
            line.is_ok_and(|line| line.contains("no-store") || line.contains("private"))
        })
}

/// Token that a guard accepted from an access cookie.
pub(crate) struct CookieAuthentication {
    pub(crate) claims: Arc<Claims>,
    pub(crate) cookies: Arc<Cookies>,
    pub(crate) denylist: Arc<dyn Denylist>,
    pub(crate) clock: Clock,
}

impl CookieAuthentication {
    /// Returns whether the token, which was valid a moment ago, is certainly still not denied.
    async fn is_still_valid(&self) -> bool {
        let ids = (&*self.claims).into();
        let status = self.denylist.check(ids, self.clock.now()).await;
        matches!(status, Ok(TokenStatus::NotDenied))
    }
}

/// Slot in which a guard passes the accepted token to the middleware around it.
#[derive(Clone, Default)]
struct AuthenticationSlot(Arc<OnceLock<CookieAuthentication>>);

/// Passes a token that was accepted from an access cookie to the middleware, if there is one.
pub(crate) fn record_authentication(
    request: &Request,
    authentication: impl FnOnce() -> CookieAuthentication,
) {
    if let Some(AuthenticationSlot(slot)) = request.data::<AuthenticationSlot>() {
        // A second guard in one request would pass the same token.
        let _ = slot.set(authentication());
    }
}

/// Routes with renewal of access cookies.
#[derive(Debug)]
pub struct RenewalEndpoint<E> {
    renewal: Renewal,
    inner: E,
}

impl<E: Endpoint> Middleware<E> for Renewal {
    type Output = RenewalEndpoint<E>;

    fn transform(&self, inner: E) -> RenewalEndpoint<E> {
        RenewalEndpoint {
            renewal: self.clone(),
            inner,
        }
    }
}

impl<E: Endpoint> Endpoint for RenewalEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let slot = AuthenticationSlot::default();
        request.set_data(slot.clone());
        let mut response = self.inner.call(request).await?.into_response();
        if let Some(authentication) = slot.0.get() {
            self.renewal
                .renew(authentication, response.headers_mut())
                .await;
        }
        Ok(response)
    }
}
