//! A service whose pages renew cookies, and a browser that uses it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use poem::http::HeaderName;
use poem::http::header::{CACHE_CONTROL, COOKIE, SET_COOKIE};
use poem::{Endpoint, EndpointExt, Request, Response, Route, handler};
use tokio::sync::Semaphore;

use super::*;
use latchet_guard::clock::Clock;
use latchet_guard::denylist::memory::MemoryDenylist;
use latchet_guard::denylist::{Denial, Denylist, DenylistUnavailable, TokenIds, TokenStatus};
use latchet_guard::error::AuthError;
use latchet_guard::keys::{Algorithm, KeySet, SigningKey};
use latchet_guard::token::{ExpectedKind, Issuer, Typ, Verifier, VerifierSettings};
use latchet_guard::{Guards, Jwt, JwtRequired, Location, Optional, Refresh};

pub(super) const HOUR: Duration = Duration::from_hours(1);
const SHOP: &str = "https://shop.example";

/// A denylist in memory that can be cut off.
#[derive(Debug, Default)]
pub(super) struct InterruptibleDenylist {
    list: MemoryDenylist,
    pub(super) is_interrupted: AtomicBool,
}

#[async_trait]
impl Denylist for InterruptibleDenylist {
    async fn check(
        &self,
        ids: TokenIds<'_>,
        now: Time,
    ) -> Result<TokenStatus, DenylistUnavailable> {
        if self.is_interrupted.load(Ordering::Relaxed) {
            return Err(DenylistUnavailable(None));
        }
        self.list.check(ids, now).await
    }

    async fn deny(&self, denials: &[Denial], now: Time) -> Result<(), DenylistUnavailable> {
        self.list.deny(denials, now).await
    }
}

/// Blocks a handler until the test releases it.
#[derive(Clone)]
struct Gate {
    entered: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

/// A service with pages, and a browser that is signed in.
pub(super) struct TestShop {
    pub(super) clock: Clock,
    pub(super) issuer: Issuer,
    pub(super) denylist: Arc<InterruptibleDenylist>,
    guards: Guards,
    cookies: Arc<Cookies>,
    gate: Gate,
}

#[handler]
async fn page(request: &Request) -> poem::Result<String> {
    let jwt = JwtRequired::authenticate(request).await?;
    Ok(jwt.claims.sub.clone())
}

#[handler]
async fn maybe(request: &Request) -> poem::Result<String> {
    let jwt = Jwt::<Optional>::authenticate(request).await?;
    Ok(jwt
        .claims
        .map_or("nobody".to_owned(), |claims| claims.sub.clone()))
}

#[handler]
async fn refresh(request: &Request) -> poem::Result<()> {
    Jwt::<Refresh>::authenticate(request).await?;
    Ok(())
}

#[handler]
async fn failing(request: &Request) -> poem::Result<()> {
    let jwt = JwtRequired::authenticate(request).await?;
    Err(jwt.refuse(&AuthError::InsufficientScope))
}

#[handler]
fn public() -> &'static str {
    "welcome"
}

#[handler]
async fn logout(request: &Request) -> poem::Result<()> {
    let jwt = JwtRequired::authenticate(request).await?;
    let guards = request.data::<Guards>().unwrap();
    guards.deny_session(&jwt.claims, HOUR).await?;
    Ok(())
}

#[handler]
async fn clears(request: &Request) -> poem::Result<Response> {
    JwtRequired::authenticate(request).await?;
    let mut response = Response::default();
    let unset = request.data::<Arc<Cookies>>().unwrap().unset_all().unwrap();
    unset.add_to(response.headers_mut());
    Ok(response)
}

#[handler]
async fn slow(request: &Request) -> poem::Result<()> {
    JwtRequired::authenticate(request).await?;
    let gate = request.data::<Gate>().unwrap();
    gate.entered.add_permits(1);
    gate.open.acquire().await.unwrap().forget();
    Ok(())
}

fn cached(by: &'static str) -> impl Endpoint {
    poem::get(page).with(poem::middleware::SetHeader::new().appending(CACHE_CONTROL, by))
}

impl TestShop {
    pub(super) fn new() -> Self {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let settings = VerifierSettings {
            typ: vec![Typ::Access, Typ::Refresh],
            ..VerifierSettings::new(SHOP, [SHOP])
        };
        let verifier = Arc::new(Verifier::new(KeySet::new([key.verifying_key()]), settings));
        let (clock, denylist) = (Clock::system(), Arc::<InterruptibleDenylist>::default());
        let cookies = Arc::new(Cookies::default());
        let guards = Guards::new(verifier, denylist.clone(), clock.clone());
        let locations = [Location::header(), Location::cookies(Arc::clone(&cookies))];
        Self {
            issuer: Issuer::new(key),
            guards: guards.with_locations(locations),
            clock,
            denylist,
            cookies,
            gate: Gate {
                entered: Arc::new(Semaphore::new(0)),
                open: Arc::new(Semaphore::new(0)),
            },
        }
    }

    fn renewal(&self) -> Renewal {
        Renewal {
            issuer: self.issuer.clone(),
            renew_when_left: HOUR / 2,
            longest_session: 24 * HOUR,
        }
    }

    fn site(&self) -> impl Endpoint<Output = Response> + use<> {
        Route::new()
            .at("/", poem::get(page))
            .at("/maybe", poem::get(maybe))
            .at("/refresh", poem::get(refresh))
            .at("/failing", poem::get(failing))
            .at("/public", poem::get(public))
            .at("/logout", poem::get(logout))
            .at("/clears", poem::get(clears))
            .at("/slow", poem::get(slow))
            .at("/for-caches", cached("public, max-age=60"))
            .at("/for-me", cached("private, max-age=60"))
            .with(self.renewal())
            .data(self.guards.clone())
            .data(Arc::clone(&self.cookies))
            .data(self.gate.clone())
    }

    /// Claims of a token with a lifetime of one hour and this many minutes left.
    pub(super) fn claims(&self, left: i64) -> Claims {
        let made = self.clock.now().secs() - (60 - left) * 60;
        Claims {
            iss: SHOP.to_owned(),
            aud: vec![SHOP.to_owned()],
            sub: "alice".to_owned(),
            sid: Some("session-1".to_owned()),
            ..Claims::access(Time::from_secs(made), HOUR).with_csrf()
        }
    }

    pub(super) async fn send(&self, path: &str, name: HeaderName, value: String) -> Response {
        let request = Request::builder().uri_str(path).header(name, value);
        self.site().get_response(request.finish()).await
    }

    pub(super) async fn visit(&self, path: &str, claims: &Claims) -> Response {
        let issuer = match claims.kind {
            TokenKind::Access => self.issuer.clone(),
            TokenKind::Refresh => Issuer::with_typ(Typ::Refresh, self.issuer.key().clone()),
        };
        let token = issuer.sign(claims).unwrap();
        let cookie = format!("{}={token}", self.cookies.of(claims.kind).name);
        self.send(path, COOKIE, cookie).await
    }

    /// Runs `meanwhile` while the slow page is in progress, and returns both results. A page that
    /// responds before a guard has accepted the token would block forever.
    pub(super) async fn while_slow<T>(
        &self,
        claims: &Claims,
        meanwhile: impl Future<Output = T>,
    ) -> (Response, T) {
        let mut tab = pin!(self.visit("/slow", claims));
        tokio::select! {
            answer = &mut tab => panic!("the slow page answered {}", answer.status()),
            entered = self.gate.entered.acquire() => entered.unwrap().forget(),
        }

        let done = meanwhile.await;
        self.gate.open.add_permits(1);
        (tab.await, done)
    }

    /// Claims of the renewed token in a response; asserts that both cookies match.
    pub(super) fn renewed(&self, response: &Response) -> Option<Claims> {
        let lines = response.headers().get_all(SET_COOKIE).into_iter();
        let lines: Vec<_> = lines.map(|line| line.to_str().unwrap()).collect();
        let [token, csrf] = lines[..] else {
            assert!(lines.is_empty(), "{lines:?}");
            return None;
        };
        let token = token.strip_prefix("__Host-latchet_at=").unwrap();
        let (token, _) = token.split_once(';').unwrap();
        let claims = self.read(token);
        let expected = format!("__Host-latchet_at_csrf={};", claims.csrf.as_ref().unwrap());
        assert!(csrf.starts_with(&expected), "{csrf}");
        Some(claims)
    }

    fn read(&self, token: &str) -> Claims {
        let settings = VerifierSettings::new(SHOP, [SHOP]);
        let verifier = Verifier::new(KeySet::new([self.issuer.key().verifying_key()]), settings);
        let claims = verifier.verify(token, ExpectedKind::Access, self.clock.now());
        (*claims.unwrap()).clone()
    }

    pub(super) async fn renews(&self, path: &str, claims: &Claims) -> Option<Claims> {
        self.renewed(&self.visit(path, claims).await)
    }
}
