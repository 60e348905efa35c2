//! Latchet inside your own program, together with your routes: one process, one port, and guards that
//! check tokens without the network.
//!
//! ```text
//! cargo run --example mount_server   # prints the link for creating the first administrator
//! curl -s localhost:8080/notes -H 'authorization: Bearer …'
//! ```
//!
//! Settings come from `LATCHET_…`, the settings file and the arguments, as for `latchet serve`.
#![expect(clippy::unused_async, reason = "handlers are async")]

use std::error::Error;

use latchet::config::Config;
use latchet::serve::{ConnectionLimits, HttpServer, Lifecycle};
use latchet::{App, routes};
use latchet_guard::JwtRequired;
use latchet_guard::clock::Clock;
use poem::{EndpointExt, Result, Route};
use poem_openapi::payload::PlainText;
use poem_openapi::{OpenApi, OpenApiService};
use tokio::net::TcpListener;

struct Notes;

#[OpenApi]
impl Notes {
    #[oai(path = "/", method = "get")]
    async fn list(&self, jwt: JwtRequired) -> PlainText<String> {
        PlainText(format!("no notes of {} yet", jwt.claims.sub))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = Config::load(std::env::args(), std::env::vars())?;
    let listener = TcpListener::bind(config.listen_address()).await?;
    let app = App::open(config, Clock::system()).await?;
    app.accounts
        .create_configured_administrator(&app.config)
        .await?;
    if let Some(secret) = app.accounts.create_setup_link().await? {
        eprintln!(
            "create an administrator at {}/setup#{secret}",
            app.config.public_url
        );
    }

    let lifecycle = Lifecycle::default();
    let upkeep = app.spawn_background_tasks();
    let notes = OpenApiService::new(Notes, "notes", "1").data(app.guards.clone());
    let all = Route::new()
        .nest("/notes", notes)
        .nest("/", routes(&app, lifecycle.clone()));
    let server = HttpServer {
        listener,
        tls: None,
        limits: ConnectionLimits::from(&app.config),
        lifecycle,
    };
    eprintln!("listening on {}", app.config.listen_address());
    let stop = async {
        // If signals cannot be handled, only the system ends the program.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    server.run(all, stop).await;
    drop(upkeep);
    Ok(())
}
