//! A service that issues its own access and refresh tokens. Its logout ends both, whichever of them the
//! client presents.
//!
//! ```text
//! cargo run -p latchet-guard --example refresh
//! curl -s localhost:3000/login -H 'content-type: application/json' \
//!      -d '{"username": "alice", "password": "wonderland"}'
//! curl -s -X POST localhost:3000/refresh -H 'authorization: Bearer …'   # the refresh token
//! curl -s -X POST localhost:3000/logout -H 'authorization: Bearer …'    # either
//! ```
//!
//! These refresh tokens stay the same for a month: a stolen one is not detected. Those of a Latchet
//! rotate (`mount_server.rs`).
#![expect(clippy::unused_async, reason = "handlers are async")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use latchet_guard::clock::Clock;
use latchet_guard::denylist::memory::MemoryDenylist;
use latchet_guard::keys::{Algorithm, KeySet, SigningKey, random_id};
use latchet_guard::token::{Claims, FreshClaim, Issuer, Typ, Verifier, VerifierSettings};
use latchet_guard::{EitherKind, Guards, Jwt, JwtRefresh, JwtRequired};
use poem::error::InternalServerError;
use poem::http::StatusCode;
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::{EndpointExt, Result, Route, Server};
use poem_openapi::payload::{Json, PlainText};
use poem_openapi::{Object, OpenApi, OpenApiService};

const NAME: &str = "http://localhost:3000";
const ACCESS: Duration = Duration::from_mins(15);
const MONTH: Duration = Duration::from_hours(30 * 24);

struct Api {
    access: Issuer,
    refresh: Issuer,
    guards: Guards,
    clock: Clock,
}

#[derive(Object)]
struct Credentials {
    username: String,
    password: String,
}

#[derive(Object)]
struct Tokens {
    access_token: String,
    refresh_token: String,
}

#[derive(Object)]
struct AccessToken {
    access_token: String,
}

/// Sets the claims that tokens of one session have in common.
fn of(user: &str, session: &str, claims: Claims) -> Claims {
    Claims {
        iss: NAME.into(),
        aud: vec![NAME.into()],
        sub: user.into(),
        sid: Some(session.into()),
        ..claims
    }
}

#[OpenApi]
impl Api {
    /// Starts a session.
    #[oai(path = "/login", method = "post")]
    async fn login(&self, credentials: Json<Credentials>) -> Result<Json<Tokens>> {
        let Credentials { username, password } = &credentials.0;
        if (&**username, &**password) != ("alice", "wonderland") {
            return Err(StatusCode::UNAUTHORIZED.into());
        }
        let (now, session) = (self.clock.now(), random_id());
        let access = Claims {
            fresh: FreshClaim::Yes,
            ..of(username, &session, Claims::access(now, ACCESS))
        };
        let refresh = of(username, &session, Claims::refresh(now, MONTH));
        Ok(Json(Tokens {
            access_token: self.access.sign(&access).map_err(InternalServerError)?,
            refresh_token: self.refresh.sign(&refresh).map_err(InternalServerError)?,
        }))
    }

    /// Issues another access token, which is not fresh.
    #[oai(path = "/refresh", method = "post")]
    async fn refresh(&self, jwt: JwtRefresh) -> Result<Json<AccessToken>> {
        let session = jwt.claims.sid.as_deref().unwrap_or_default();
        let claims = Claims::access(self.clock.now(), ACCESS);
        let claims = of(&jwt.claims.sub, session, claims);
        let access_token = self.access.sign(&claims).map_err(InternalServerError)?;
        Ok(Json(AccessToken { access_token }))
    }

    /// Returns the name of the caller.
    #[oai(path = "/me", method = "get")]
    async fn me(&self, jwt: JwtRequired) -> PlainText<String> {
        PlainText(jwt.claims.sub.clone())
    }

    /// Ends the session: every access token of it, and the refresh token.
    #[oai(path = "/logout", method = "post")]
    async fn logout(&self, jwt: Jwt<EitherKind>) -> Result<()> {
        self.guards.deny_session(&jwt.claims, MONTH).await?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let clock = Clock::system();
    let key = SigningKey::generate(Algorithm::EdDsa)?;
    let settings = VerifierSettings {
        typ: vec![Typ::Access, Typ::Refresh],
        ..VerifierSettings::new(NAME, [NAME])
    };
    let verifier = Verifier::new(KeySet::new([key.verifying_key()]), settings);
    let guards = Guards::new(
        Arc::new(verifier),
        Arc::new(MemoryDenylist::new()),
        clock.clone(),
    );
    let api = Api {
        access: Issuer::new(key.clone()),
        refresh: Issuer::with_typ(Typ::Refresh, key),
        guards: guards.clone(),
        clock,
    };
    let app = Route::new()
        .nest("/", OpenApiService::new(api, "refresh", "1"))
        .data(guards);

    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.unwrap_or_else(|| "127.0.0.1:3000".into()));
    let acceptor = listener.into_acceptor().await?;
    for address in acceptor.local_addr() {
        eprintln!("listening on {address}");
    }
    Server::new_with_acceptor(acceptor).run(app).await?;
    Ok(())
}
