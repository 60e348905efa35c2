//! Tokens in other locations than `Authorization`: JSON bodies and headers on every route, the query on
//! one route that links point to.
//!
//! ```text
//! cargo run -p latchet-guard --example locations  # prints a token
//! curl -s localhost:3000/notes -H 'content-type: application/json' -d '{"access_token": "…"}'
//! curl -s localhost:3000/download?jwt=…
//! ```
//!
//! URLs end up in logs and histories, so the query is only for tokens that are valid for minutes.
#![expect(clippy::unused_async, reason = "handlers are async")]

use std::error::Error;
use std::time::Duration;

use latchet_guard::testing::TestIssuer;
use latchet_guard::{Jwt, JwtRequired, Location, LocationKind, Locations, OnlyIn, Required};
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::{EndpointExt, Result, Route, Server};
use poem_openapi::payload::PlainText;
use poem_openapi::{OpenApi, OpenApiService};

struct Link;

impl Locations for Link {
    const LOCATIONS: &'static [LocationKind] = &[LocationKind::Query];
}

struct Api;

#[OpenApi]
impl Api {
    #[oai(path = "/notes", method = "post")]
    async fn add_note(&self, jwt: JwtRequired) -> PlainText<String> {
        PlainText(format!("noted, by {:?}", jwt.location))
    }

    #[oai(path = "/download", method = "get")]
    async fn download(&self, jwt: Jwt<(Required, OnlyIn<Link>)>) -> PlainText<String> {
        PlainText(format!("all notes of {}", jwt.claims.sub))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Represents the issuer that a real service would trust.
    let issuer = TestIssuer::new();
    let token = issuer.token("alice").lifetime(Duration::from_mins(2));
    eprintln!("token alice {}", token.sign());

    let guards = issuer
        .guards()
        .with_locations([Location::header(), Location::json()])
        .with_named_locations([Location::query()]);
    let app = Route::new()
        .nest("/", OpenApiService::new(Api, "locations", "1"))
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
