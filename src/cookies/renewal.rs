//! Keeps a browser signed in while it is used: an access cookie that nears its end is replaced along
//! with some answer, without a call for it.
//!
//! What is easy to get wrong, and how it is done here:
//! - An answer that is on its way while the user logs out must not sign them in again. So the denylist
//!   is asked once more right before the cookie is set, an answer that sets or clears the cookie
//!   itself is left alone, and the new token belongs to the same session, so that a logout that
//!   comes later still, or in another tab, ends it too. A token without `sid` is not renewed.
//! - A session must end. [`Renewal::longest_session`] counts from the proof of the password; the end
//!   is written into the token (`session_end`) and no renewal passes it.
//! - Freshness must not be stretched: a token that was fresh is fresh until it would have ended.
//! - A page that is open somewhere keeps working: the `csrf` claim stays.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use poem::http::header::{CACHE_CONTROL, SET_COOKIE};
use poem::http::{HeaderMap, HeaderValue};
use poem::{Endpoint, IntoResponse, Middleware, Request, Response};
use serde_json::Value;

use super::Cookies;
use crate::clock::Time;
use crate::guard::Guards;
use crate::keys::random_id;
use crate::token::{Claims, Fresh, Issuer, Kind};

/// The claim that says when a session ends for good, in seconds since the unix epoch. Tokens may be
/// made with it; renewal adds it.
pub const SESSION_END: &str = "session_end";

/// Renews access cookies: a middleware for the routes of pages.
///
/// It renews what a guard let in by cookie, no more: an answer to a request that no guard saw, or that
/// was refused, renews nothing. What the token says is not looked up again, so a change of roles counts
/// from the next sign-in on, or from a [`deny_session`](Guards::deny_session).
///
/// ```
/// use std::time::Duration;
///
/// use latchet::cookies::Renewal;
/// use latchet::guard::Guards;
/// use latchet::token::Issuer;
/// use poem::{Endpoint, EndpointExt, Route};
///
/// fn site(pages: Route, guards: Guards, issuer: Issuer) -> impl Endpoint {
///     let renewal = Renewal {
///         issuer,
///         when_left: Duration::from_secs(30 * 60),
///         longest_session: Duration::from_secs(30 * 24 * 60 * 60),
///     };
///     pages.with(renewal).data(guards)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Renewal {
    /// Signs the new tokens; guards have to trust it.
    pub issuer: Issuer,
    /// A token that has less than this left is renewed, and gets its full life again.
    pub when_left: Duration,
    /// How long after the sign-in (`auth_time`, else when the token was made) the last token ends.
    pub longest_session: Duration,
}

impl Renewal {
    /// Returns the claims that continue these; `None` when it is too early or too late.
    fn next(&self, old: &Claims, now: Time) -> Option<Claims> {
        let end = old.exp.map(Time::from_secs)?;
        let may = old.kind == Kind::Access && old.sid.is_some();
        if !may || now >= end || end.since(now) >= self.when_left {
            return None;
        }
        let session_end = self.session_end(old)?;
        let life = end.since(Time::from_secs(old.iat));
        let next_end = (now + life).min(session_end);
        if next_end <= end {
            return None;
        }
        let mut next = Claims {
            jti: random_id(),
            iat: now.secs(),
            nbf: old.nbf.map(|_| now.secs()),
            exp: Some(next_end.secs()),
            fresh: match old.fresh {
                Fresh::Yes => Fresh::until(end),
                other => other,
            },
            ..old.clone()
        };
        let session_end = Value::from(session_end.secs());
        next.extra.insert(SESSION_END.to_owned(), session_end);
        Some(next)
    }

    /// `None` when the claim is there and cannot be read: then nobody knows.
    fn session_end(&self, claims: &Claims) -> Option<Time> {
        let start = Time::from_secs(claims.auth_time.unwrap_or(claims.iat));
        let longest = start + self.longest_session;
        match claims.extra.get(SESSION_END) {
            None => Some(longest),
            Some(end) => end.as_i64().map(|end| Time::from_secs(end).min(longest)),
        }
    }

    async fn renew(&self, admitted: &Admitted, headers: &mut HeaderMap) {
        let Admitted {
            guards,
            claims,
            cookies,
        } = admitted;
        let now = guards.now();
        if sets(headers, &cookies.access.name) || is_for_caches(headers) {
            return;
        }
        let Some(next) = self.next(claims, now) else {
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
            Err(error) => tracing::error!(error, "an access cookie could not be renewed"),
            // Nothing is waited for between this answer and the setting.
            Ok(set) => {
                if guards.has_been_left_alone(claims).await {
                    set.add_to(headers);
                }
            }
        }
    }
}

fn sets(headers: &HeaderMap, name: &str) -> bool {
    headers.get_all(SET_COOKIE).into_iter().any(|line| {
        let rest = line.as_bytes().strip_prefix(name.as_bytes());
        rest.is_some_and(|rest| rest.first() == Some(&b'='))
    })
}

/// A cache that keeps the answer would hand the cookie to others.
fn is_for_caches(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CACHE_CONTROL);
    let mut lines = lines.into_iter().map(HeaderValue::to_str).peekable();
    lines.peek().is_some()
        && !lines.any(|line| {
            line.is_ok_and(|line| line.contains("no-store") || line.contains("private"))
        })
}

/// Whom a guard let in by an access cookie.
struct Admitted {
    guards: Guards,
    claims: Arc<Claims>,
    cookies: Arc<Cookies>,
}

/// Where a guard tells the middleware around it whom it let in.
#[derive(Clone, Default)]
struct Slot(Arc<OnceLock<Admitted>>);

/// Tells the middleware, if there is one, who was let in by an access cookie.
pub(crate) fn note(
    request: &Request,
    guards: &Guards,
    claims: &Arc<Claims>,
    cookies: &Arc<Cookies>,
) {
    if let Some(Slot(slot)) = request.data::<Slot>() {
        // A second guard in one request would tell the same.
        let _ = slot.set(Admitted {
            guards: guards.clone(),
            claims: Arc::clone(claims),
            cookies: Arc::clone(cookies),
        });
    }
}

/// The routes whose access cookies are renewed.
#[derive(Debug)]
pub struct Renewing<E> {
    renewal: Renewal,
    inner: E,
}

impl<E: Endpoint> Middleware<E> for Renewal {
    type Output = Renewing<E>;

    fn transform(&self, inner: E) -> Renewing<E> {
        Renewing {
            renewal: self.clone(),
            inner,
        }
    }
}

impl<E: Endpoint> Endpoint for Renewing<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let slot = Slot::default();
        request.set_data(slot.clone());
        let mut response = self.inner.call(request).await?.into_response();
        if let Some(admitted) = slot.0.get() {
            self.renewal.renew(admitted, response.headers_mut()).await;
        }
        Ok(response)
    }
}
