//! A service in which logouts at a running Latchet take effect immediately, because it reads the
//! Latchet's denylist in Redis.
//!
//! ```text
//! REDIS_URL=redis://127.0.0.1:6379 latchet serve   # in another terminal
//! cargo run -p latchet-guard --features redis --example revoked_by_redis -- \
//!     127.0.0.1:3000 http://127.0.0.1:8080 redis://127.0.0.1:6379
//! curl -s localhost:3000/ -H 'authorization: Bearer …'
//! ```
//!
//! `docs/explanation/redis-trust.md` explains when such a service trusts Redis. It needs no write permission.

use std::error::Error;
use std::sync::Arc;

use latchet_guard::clock::Clock;
use latchet_guard::denylist::redis::RedisReader;
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
    let redis = arguments
        .next()
        .unwrap_or_else(|| "redis://127.0.0.1:6379".into());

    let clock = Clock::system();
    let keys = Verifier::from_issuer(&issuer, [&issuer])?;
    let denylist = RedisReader::start(redis.parse()?, clock.clone());
    let guards = Guards::new(keys.verifier(), Arc::new(denylist), clock);

    let app = Route::new().at("/", get(hello)).data(guards);
    let acceptor = TcpListener::bind(address).into_acceptor().await?;
    for address in acceptor.local_addr() {
        eprintln!("listening on {address}");
    }
    Server::new_with_acceptor(acceptor).run(app).await?;
    Ok(())
}
