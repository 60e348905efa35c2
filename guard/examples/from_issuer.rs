//! A service that trusts the tokens of a running Latchet. It holds no secret: keys, issuer and audience come
//! from the metadata of the Latchet, which is also asked whether a token was revoked.
//!
//! ```text
//! latchet                            # in another terminal
//! cargo run -p latchet-guard --example from_issuer -- 127.0.0.1:3000 http://127.0.0.1:8080
//! curl -s localhost:3000/ -H 'authorization: Bearer …'
//! ```

use std::error::Error;

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

    let guards = Guards::from_issuer(&issuer).await?;

    let app = Route::new().at("/", get(hello)).data(guards);
    let acceptor = TcpListener::bind(address).into_acceptor().await?;
    for address in acceptor.local_addr() {
        eprintln!("listening on {address}");
    }
    Server::new_with_acceptor(acceptor).run(app).await?;
    Ok(())
}
