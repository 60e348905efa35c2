//! A service that introspects each token at a running Latchet, because it can reach only its HTTP
//! interface.
//!
//! ```text
//! latchet serve                      # in another terminal
//! latchet user add notes             # asks for a password
//! latchet user roles notes introspect
//! cargo run -p latchet-guard --example introspection -- \
//!     127.0.0.1:3000 http://127.0.0.1:8080 notes FILE-WITH-THE-PASSWORD
//! curl -s localhost:3000/ -H 'authorization: Bearer …'
//! ```

use std::error::Error;
use std::sync::Arc;

use latchet_guard::clock::Clock;
use latchet_guard::denylist::introspection::{
    IntrospectionDenylist, IntrospectionSettings, IssuerCredential,
};
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
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, issuer, username, password_file] = &arguments[..] else {
        return Err("usage: introspection ADDRESS ISSUER USERNAME PASSWORD-FILE".into());
    };

    let keys = Verifier::from_issuer(issuer, [issuer])?;
    let denylist = IntrospectionDenylist::new(IntrospectionSettings::new(
        format!("{issuer}/oauth/introspect"),
        IssuerCredential::Account {
            token_endpoint: format!("{issuer}/oauth/token"),
            username: username.clone(),
            password: std::fs::read_to_string(password_file)?.trim().into(),
        },
    ))?;
    let guards = Guards::new(keys.verifier(), Arc::new(denylist), Clock::system());

    let app = Route::new().at("/", get(hello)).data(guards);
    let acceptor = TcpListener::bind(address.clone()).into_acceptor().await?;
    for address in acceptor.local_addr() {
        eprintln!("listening on {address}");
    }
    Server::new_with_acceptor(acceptor).run(app).await?;
    Ok(())
}
