//! A service that trusts the tokens of a running Latchet. It holds no secret: it fetches the public
//! keys, and follows them when they are rotated.
//!
//! ```text
//! latchet serve                      # in another terminal
//! cargo run -p latchet-guard --example verify_by_jwks -- 127.0.0.1:3000 http://127.0.0.1:8080
//! curl -s localhost:3000/ -H 'authorization: Bearer …'
//! ```
//!
//! It does not notice logouts: a token is valid until it expires, 15 minutes at most.
//! `revoked_by_redis.rs` and `introspection.rs` solve that.

use std::error::Error;
use std::sync::Arc;

use latchet_guard::clock::Clock;
use latchet_guard::denylist::memory::MemoryDenylist;
use latchet_guard::token::Verifier;
use latchet_guard::{Guards, Required, authenticate};
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::{EndpointExt, Request, Result, Route, Server, get, handler};

#[handler]
async fn hello(request: &Request) -> Result<String> {
    let claims = authenticate::<Required>(request).await?;
    Ok(format!("hello, {}", claims.sub))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".into());
    let issuer = arguments
        .next()
        .unwrap_or_else(|| "http://127.0.0.1:8080".into());

    // A Latchet issues tokens for itself unless its setting `audience` names other services.
    let keys = Verifier::from_issuer(&issuer, [&issuer])?;
    if let Err(error) = keys.ready().await {
        // Not fatal: fetching is retried, and until then requests with a token receive 503.
        eprintln!("no keys yet: {error}");
    }
    let nothing_is_revoked = Arc::new(MemoryDenylist::new());
    let guards = Guards::new(keys.verifier(), nothing_is_revoked, Clock::system());

    let app = Route::new().at("/", get(hello)).data(guards);
    let acceptor = TcpListener::bind(address).into_acceptor().await?;
    for address in acceptor.local_addr() {
        eprintln!("listening on {address}");
    }
    Server::new_with_acceptor(acceptor).run(app).await?;
    Ok(())
}
