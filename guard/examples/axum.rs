//! The same service as `from_issuer.rs`, in axum.
//!
//! ```text
//! latchet                            # in another terminal
//! cargo run -p latchet-guard --features axum --example axum -- 127.0.0.1:3000 http://127.0.0.1:8080
//! curl -s localhost:3000/ -H 'authorization: Bearer …'
//! ```

use std::error::Error;

use axum::{Router, routing::get};
use latchet_guard::{Guards, JwtRequired};
use tokio::net::TcpListener;

async fn hello(jwt: JwtRequired) -> String {
    format!("hello, {}", jwt.claims.sub)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".into());
    let issuer = arguments
        .next()
        .unwrap_or_else(|| "http://127.0.0.1:8080".into());

    let guards = Guards::from_issuer(&issuer).await?;

    let app = Router::new().route("/", get(hello)).with_state(guards);
    let listener = TcpListener::bind(address).await?;
    eprintln!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
