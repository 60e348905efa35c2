//! Pages with sign-in by cookie: log in, stay signed in while active, change something, log out.
//!
//! ```text
//! cargo run -p latchet-guard --example own_cookies
//! curl -s localhost:3000/login -c jar -H 'content-type: application/json' \
//!      -d '{"username": "alice", "password": "wonderland"}'
//! curl -s localhost:3000/ -b jar -c jar
//! curl -s -X POST localhost:3000/note -b jar -c jar \
//!      -H "X-CSRF-Token: $(awk '/latchet_at_csrf/ {print $7}' jar)"
//! curl -s -X POST localhost:3000/logout -b jar -c jar \
//!      -H "X-CSRF-Token: $(awk '/latchet_at_csrf/ {print $7}' jar)"
//! ```
//!
//! A page reads the cookie `latchet_at_csrf` and repeats it in the header of each request that changes
//! something. Over https use `Cookies::default()`: browsers protect its names and attributes best. Pass
//! a second argument, the lifetime of a token in minutes, to see renewal: below 30, every response to a
//! signed-in page sets the cookie again.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use latchet_guard::clock::Clock;
use latchet_guard::cookies::{Cookies, Renewal};
use latchet_guard::denylist::memory::MemoryDenylist;
use latchet_guard::keys::{Algorithm, KeySet, SigningKey, random_id};
use latchet_guard::token::{Claims, Issuer, TokenKind, Verifier, VerifierSettings};
use latchet_guard::{Guards, JwtRequired, Location};
use poem::error::InternalServerError;
use poem::http::StatusCode;
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::web::{Data, Json};
use poem::{EndpointExt, Request, Response, Result, Route, Server, get, handler, post};
use serde::Deserialize;

const NAME: &str = "http://localhost:3000";

/// State for signing in and out.
#[derive(Clone)]
struct SignIn {
    issuer: Issuer,
    cookies: Arc<Cookies>,
    clock: Clock,
    lifetime: Duration,
}

#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: String,
}

#[handler]
fn login(Data(sign_in): Data<&SignIn>, Json(credentials): Json<Credentials>) -> Result<Response> {
    let Credentials { username, password } = credentials;
    if (&*username, &*password) != ("alice", "wonderland") {
        return Err(StatusCode::UNAUTHORIZED.into());
    }
    let now = sign_in.clock.now();
    let claims = Claims {
        iss: NAME.into(),
        aud: vec![NAME.into()],
        sub: username,
        // Without a session a token is not renewed: a logout could not end its successors.
        sid: Some(random_id()),
        ..Claims::access(now, sign_in.lifetime).with_csrf()
    };
    let token = sign_in.issuer.sign(&claims).map_err(InternalServerError)?;
    let set = sign_in.cookies.set(&token, &claims, now);
    let mut response = Response::default();
    set.map_err(InternalServerError)?
        .add_to(response.headers_mut());
    Ok(response)
}

#[handler]
async fn page(request: &Request) -> Result<String> {
    let jwt = JwtRequired::authenticate(request).await?;
    Ok(format!("hello, {}", jwt.claims.sub))
}

/// Changes something, so the guard requires the CSRF value as well.
#[handler]
async fn note(request: &Request) -> Result<String> {
    let jwt = JwtRequired::authenticate(request).await?;
    Ok(format!("{} has left a note", jwt.claims.sub))
}

#[handler]
async fn logout(
    request: &Request,
    Data(sign_in): Data<&SignIn>,
    Data(guards): Data<&Guards>,
) -> Result<Response> {
    let jwt = JwtRequired::authenticate(request).await?;
    guards.deny_session(&jwt.claims, sign_in.lifetime).await?;
    let mut response = Response::default();
    let unset = sign_in.cookies.unset(TokenKind::Access);
    unset
        .map_err(InternalServerError)?
        .add_to(response.headers_mut());
    Ok(response)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".into());
    let lifetime = Duration::from_mins(arguments.next().map_or(Ok(60), |text| text.parse())?);

    let (clock, cookies) = (Clock::system(), Arc::new(Cookies::plain_http()));
    let key = SigningKey::generate(Algorithm::EdDsa)?;
    let verifier = Verifier::new(
        KeySet::new([key.verifying_key()]),
        VerifierSettings::new(NAME, [NAME]),
    );
    let denylist = Arc::new(MemoryDenylist::new());
    let guards = Guards::new(Arc::new(verifier), denylist, clock.clone())
        .with_locations([Location::cookies(Arc::clone(&cookies))]);
    let issuer = Issuer::new(key);
    let renewal = Renewal {
        issuer: issuer.clone(),
        renew_when_left: Duration::from_mins(30),
        longest_session: Duration::from_hours(30 * 24),
    };
    let sign_in = SignIn {
        issuer,
        cookies,
        clock,
        lifetime,
    };
    let app = Route::new()
        .at("/login", post(login))
        .at("/", get(page))
        .at("/note", post(note))
        .at("/logout", post(logout))
        .with(renewal)
        .data(sign_in)
        .data(guards);

    let acceptor = TcpListener::bind(address).into_acceptor().await?;
    for address in acceptor.local_addr() {
        eprintln!("listening on {address}");
    }
    Server::new_with_acceptor(acceptor).run(app).await?;
    Ok(())
}
