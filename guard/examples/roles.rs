//! Routes for administrators, for tokens with a scope, and for both; and a route that decides in its
//! body.
//!
//! ```text
//! cargo run -p latchet-guard --example roles  # prints tokens
//! curl -s localhost:3000/users -H 'authorization: Bearer …'
//! curl -s localhost:3000/users/alice -H 'authorization: Bearer …'
//! ```
#![expect(clippy::unused_async, reason = "handlers are async")]

use std::error::Error;

use latchet_guard::error::AuthError;
use latchet_guard::testing::TestIssuer;
use latchet_guard::{Fresh, HasRole, HasScope, Jwt, JwtRequired, RoleName, ScopeName};
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::{EndpointExt, Result, Route, Server};
use poem_openapi::param::Path;
use poem_openapi::payload::PlainText;
use poem_openapi::{OpenApi, OpenApiService};

struct Admin;

impl RoleName for Admin {
    const NAME: &'static str = "admin";
}

struct ReadMail;

impl ScopeName for ReadMail {
    const NAME: &'static str = "mail:read";
}

struct Api;

#[OpenApi]
impl Api {
    #[oai(path = "/users", method = "get")]
    async fn users(&self, _jwt: Jwt<HasRole<Admin>>) -> PlainText<&'static str> {
        PlainText("alice, root")
    }

    #[oai(path = "/mail", method = "get")]
    async fn mail(&self, _jwt: Jwt<HasScope<ReadMail>>) -> PlainText<&'static str> {
        PlainText("no mail")
    }

    #[oai(path = "/users", method = "delete")]
    async fn delete_users(&self, _jwt: Jwt<(Fresh, HasRole<Admin>)>) -> PlainText<&'static str> {
        PlainText("gone")
    }

    /// For the user of the record and for administrators.
    #[oai(path = "/users/:name", method = "get")]
    async fn user(&self, jwt: JwtRequired, name: Path<String>) -> Result<PlainText<String>> {
        if jwt.claims.sub != name.0 && !jwt.claims.has_role(Admin::NAME) {
            return Err(AuthError::InsufficientScope.into());
        }
        Ok(PlainText(format!("all about {}", name.0)))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Represents the issuer that a real service would trust.
    let issuer = TestIssuer::new();
    let alice = issuer.token("alice").scope("mail:read");
    let root = issuer.token("root").role("admin");
    eprintln!("token alice {}", alice.sign());
    eprintln!("token root {}", root.clone().sign());
    eprintln!("token fresh-root {}", root.fresh().sign());

    let app = Route::new()
        .nest("/", OpenApiService::new(Api, "roles", "1"))
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
