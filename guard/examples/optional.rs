//! A public route that greets signed-in users by name.
//!
//! ```text
//! cargo run -p latchet-guard --example optional  # prints a token
//! curl -s localhost:3000/
//! curl -s localhost:3000/ -H 'authorization: Bearer …'
//! ```
//!
//! An invalid token is refused nevertheless: 401, not "hello, stranger".

use std::error::Error;

use latchet_guard::testing::TestIssuer;
use latchet_guard::{Optional, authenticate};
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::{EndpointExt, Request, Result, Route, Server, get, handler};

#[handler]
async fn hello(request: &Request) -> Result<String> {
    let claims = authenticate::<Optional>(request).await?;
    Ok(match claims {
        Some(claims) => format!("hello, {}", claims.sub),
        None => "hello, stranger".to_owned(),
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Represents the issuer that a real service would trust.
    let issuer = TestIssuer::new();
    eprintln!("token alice {}", issuer.token("alice").sign());

    let app = Route::new().at("/", get(hello)).data(issuer.guards());
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.unwrap_or_else(|| "127.0.0.1:3000".into()));
    let acceptor = listener.into_acceptor().await?;
    for address in acceptor.local_addr() {
        eprintln!("listening on {address}");
    }
    Server::new_with_acceptor(acceptor).run(app).await?;
    Ok(())
}
