//! Custom responses to refusals: here those of Flask-JWT-Extended, for a front end that uses them, with
//! one of them changed.
//!
//! ```text
//! cargo run -p latchet-guard --example custom_errors  # prints tokens
//! curl -si localhost:3000/                                    # {"msg":"Missing Authorization Header"}
//! curl -si localhost:3000/ -H 'authorization: Bearer …'
//! ```
//!
//! One function builds the response for every guard. It receives the reason, and the claims if the
//! signature was valid, so the response to an expired token may contain the user's name.

use std::error::Error;

use latchet_guard::error::AuthError;
use latchet_guard::testing::TestIssuer;
use latchet_guard::{Fresh, Guards, Refusal, Required, authenticate, flask_jwt_extended_errors};
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::{EndpointExt, Request, Result, Route, Server, get, handler};
use serde_json::json;

#[handler]
async fn hello(request: &Request) -> Result<String> {
    let claims = authenticate::<Required>(request).await?;
    Ok(format!("hello, {}", claims.sub))
}

#[handler]
async fn secret(request: &Request) -> Result<String> {
    let claims = authenticate::<Fresh>(request).await?;
    Ok(format!("a secret of {}", claims.sub))
}

fn with_custom_errors(guards: Guards) -> Guards {
    let flask_errors = flask_jwt_extended_errors("msg");
    guards.with_refusals(move |refusal: &Refusal<'_>| {
        let mut response = flask_errors(refusal);
        if let (AuthError::TokenExpired, Some(claims)) = (refusal.error(), refusal.claims()) {
            let text = format!("{}, you have been away for too long", claims.sub);
            response.set_body(json!({ "msg": text }).to_string());
        }
        response
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Represents the issuer that a real service would trust.
    let issuer = TestIssuer::new();
    let token = issuer.token("alice");
    let revoked = token.clone().session("ended").sign();
    issuer.revoke(&revoked);
    eprintln!("token good {}", token.clone().sign());
    eprintln!("token expired {}", token.clone().expired().sign());
    eprintln!("token refresh {}", token.clone().refresh().sign());
    eprintln!("token forged {}", token.forged().sign());
    eprintln!("token revoked {revoked}");

    let app = Route::new()
        .at("/", get(hello))
        .at("/secret", get(secret))
        .data(with_custom_errors(issuer.guards()));
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.unwrap_or_else(|| "127.0.0.1:3000".into()));
    let acceptor = listener.into_acceptor().await?;
    for address in acceptor.local_addr() {
        eprintln!("listening on {address}");
    }
    Server::new_with_acceptor(acceptor).run(app).await?;
    Ok(())
}
