//! Routes that require a recent password entry: for this token, or until a time in the token.
//!
//! ```text
//! cargo run -p latchet-guard --example fresh  # prints tokens
//! curl -s localhost:3000/balance -H 'authorization: Bearer …'
//! curl -s -X POST localhost:3000/transfer -H 'authorization: Bearer …'
//! ```
//!
//! A token that is not fresh gets 401 with `error="insufficient_user_authentication"`: refreshing it
//! would not help, entering the password does (`POST /v1/reauthenticate` at a Latchet).
#![expect(clippy::unused_async, reason = "handlers are async")]

use std::error::Error;
use std::time::Duration;

use latchet_guard::testing::TestIssuer;
use latchet_guard::{JwtFresh, JwtRequired};
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::{EndpointExt, Result, Route, Server};
use poem_openapi::payload::PlainText;
use poem_openapi::{OpenApi, OpenApiService};

struct Api;

#[OpenApi]
impl Api {
    #[oai(path = "/balance", method = "get")]
    async fn balance(&self, _jwt: JwtRequired) -> PlainText<&'static str> {
        PlainText("12.50")
    }

    #[oai(path = "/transfer", method = "post")]
    async fn transfer(&self, jwt: JwtFresh) -> PlainText<String> {
        PlainText(format!("{} has nothing left", jwt.claims.sub))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Represents the issuer that a real service would trust.
    let issuer = TestIssuer::new();
    let token = issuer.token("alice");
    let now = issuer.clock().now();
    let minute = Duration::from_mins(1);
    eprintln!("token refreshed {}", token.clone().sign());
    eprintln!("token fresh {}", token.clone().fresh().sign());
    eprintln!(
        "token for-a-minute {}",
        token.clone().fresh_until(now + minute).sign()
    );
    eprintln!("token lapsed {}", token.fresh_until(now - minute).sign());

    let app = Route::new()
        .nest("/", OpenApiService::new(Api, "fresh", "1"))
        .data(issuer.guards());
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.unwrap_or_else(|| "127.0.0.1:3000".into()));
    let acceptor = listener.into_acceptor().await?;
    for address in acceptor.local_addr() {
        eprintln!("listening on {address}");
    }
    Server::new_with_acceptor(acceptor).run(app).await?;
    Ok(())
}
