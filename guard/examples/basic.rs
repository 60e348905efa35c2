//! A service that issues its own tokens and protects a route with them.
//!
//! ```text
//! cargo run -p latchet-guard --example basic
//! curl -s localhost:3000/login -H 'content-type: application/json' \
//!      -d '{"username": "alice", "password": "wonderland"}'
//! curl -s localhost:3000/me -H 'authorization: Bearer …'
//! ```
//!
//! Passwords are compared in clear text here. Let a Latchet issue the tokens instead
//! (`from_issuer.rs`, `mount_server.rs`), and your service has no code for passwords.
#![expect(clippy::unused_async, reason = "handlers are async")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use latchet_guard::clock::Clock;
use latchet_guard::denylist::memory::MemoryDenylist;
use latchet_guard::keys::{Algorithm, KeySet, SigningKey};
use latchet_guard::token::{Claims, Issuer, Verifier, VerifierSettings};
use latchet_guard::{Guards, JwtRequired};
use poem::error::InternalServerError;
use poem::http::StatusCode;
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::{EndpointExt, Result, Route, Server};
use poem_openapi::payload::{Json, PlainText};
use poem_openapi::{Object, OpenApi, OpenApiService};

const NAME: &str = "http://localhost:3000";
const LIFETIME: Duration = Duration::from_mins(15);

struct Api {
    issuer: Issuer,
    clock: Clock,
}

#[derive(Object)]
struct Credentials {
    username: String,
    password: String,
}

#[derive(Object)]
struct Token {
    access_token: String,
}

#[OpenApi]
impl Api {
    /// Issues an access token.
    #[oai(path = "/login", method = "post")]
    async fn login(&self, credentials: Json<Credentials>) -> Result<Json<Token>> {
        let Credentials { username, password } = credentials.0;
        if (&*username, &*password) != ("alice", "wonderland") {
            return Err(StatusCode::UNAUTHORIZED.into());
        }
        let claims = Claims {
            iss: NAME.into(),
            aud: vec![NAME.into()],
            sub: username,
            ..Claims::access(self.clock.now(), LIFETIME)
        };
        let access_token = self.issuer.sign(&claims).map_err(InternalServerError)?;
        Ok(Json(Token { access_token }))
    }

    /// Returns the name of the caller.
    #[oai(path = "/me", method = "get")]
    async fn me(&self, jwt: JwtRequired) -> PlainText<String> {
        PlainText(jwt.claims.sub.clone())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let clock = Clock::system();
    let key = SigningKey::generate(Algorithm::EdDsa)?;
    let verifier = Verifier::new(
        KeySet::new([key.verifying_key()]),
        VerifierSettings::new(NAME, [NAME]),
    );
    let guards = Guards::new(
        Arc::new(verifier),
        Arc::new(MemoryDenylist::new()),
        clock.clone(),
    );
    let api = Api {
        issuer: Issuer::new(key),
        clock,
    };
    let app = Route::new()
        .nest("/", OpenApiService::new(api, "basic", "1"))
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
