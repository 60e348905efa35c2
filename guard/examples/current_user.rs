//! Handlers that receive the user of the token, loaded from the service's users, and custom claims.
//!
//! ```text
//! cargo run -p latchet-guard --example current_user  # prints tokens
//! curl -s localhost:3000/ -H 'authorization: Bearer …'
//! ```
//!
//! If the user no longer exists, the response is 401 `unknown_user`, even if the token is valid.
#![expect(clippy::unused_async, reason = "handlers are async")]

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

use latchet_guard::testing::TestIssuer;
use latchet_guard::token::Claims;
use latchet_guard::{CurrentUser, Jwt, Required};
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::{EndpointExt, Request, Result, Route, Server};
use poem_openapi::payload::PlainText;
use poem_openapi::{OpenApi, OpenApiService};

#[derive(Clone)]
struct Account {
    full_name: String,
}

/// Represents a database.
type Accounts = Arc<HashMap<String, Account>>;

impl CurrentUser for Account {
    async fn load(
        claims: &Claims,
        request: &Request,
    ) -> Result<Option<Self>, Box<dyn Error + Send + Sync>> {
        let accounts = request
            .data::<Accounts>()
            .ok_or("no accounts on this route")?;
        Ok(accounts.get(&claims.sub).cloned())
    }
}

struct Api;

#[OpenApi]
impl Api {
    #[oai(path = "/", method = "get")]
    async fn hello(&self, jwt: Jwt<Required, Account>) -> PlainText<String> {
        let tenant = jwt.claims.extra.get("tenant");
        let tenant = tenant.and_then(|name| name.as_str()).unwrap_or("nowhere");
        PlainText(format!("hello, {} of {tenant}", jwt.user.full_name))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Represents the issuer that a real service would trust.
    let issuer = TestIssuer::new();
    let alice = issuer.token("alice");
    eprintln!("token alice {}", alice.claim("tenant", "Wonderland").sign());
    eprintln!("token gone {}", issuer.token("bob").sign());

    let account = Account {
        full_name: "Alice Liddell".to_owned(),
    };
    let accounts = Accounts::new(HashMap::from([("alice".to_owned(), account)]));
    let app = Route::new()
        .nest("/", OpenApiService::new(Api, "current_user", "1"))
        .data(accounts)
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
