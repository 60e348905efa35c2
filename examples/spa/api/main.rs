//! The notes service: Latchet and the notes of each user in one program. See the README of the example.
//!
//! ```text
//! node examples/spa/start.mjs        # starts this, and the pages
//! ```
//!
//! In one program the guards have the keys, and a logout takes effect without a request. A service in a
//! separate program creates its `Guards` as in `examples/revoked_by_redis.rs`; the routes stay the same.
//!
//! Settings come from `LATCHET_…`, the settings file and the arguments, as for `latchet serve`.

use std::error::Error;

use latchet::config::Config;
use latchet::middleware::RequestLayer;
use latchet::serve::{ConnectionLimits, HttpServer, Lifecycle};
use latchet::{App, routes};
use latchet_guard::clock::Clock;
use poem::{EndpointExt, Route};
use poem_openapi::OpenApiService;
use tokio::net::TcpListener;

use notes::NotesApi;

mod notes;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = Config::load(std::env::args(), std::env::vars())?;
    let listener = TcpListener::bind(config.listen_address()).await?;
    let app = App::open(config, Clock::system()).await?;
    app.accounts
        .create_configured_administrator(&app.config)
        .await?;

    let lifecycle = Lifecycle::default();
    let upkeep = app.spawn_background_tasks();
    let notes = OpenApiService::new(NotesApi::new(app.clock.clone()), "notes", "1")
        .data(app.guards.clone())
        // The limits of size and time, and the error format, of Latchet's own routes.
        .with(RequestLayer::new(&app.config, lifecycle.clone()));
    let all = Route::new()
        .nest("/api", notes)
        .nest("/", routes(&app, lifecycle.clone()));
    let server = HttpServer {
        listener,
        tls: None,
        limits: ConnectionLimits::from(&app.config),
        lifecycle,
    };
    let stop = async {
        // If signals cannot be handled, only the system ends the program.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    eprintln!("listening on {}", app.config.listen_address());
    server.run(all, stop).await;
    drop(upkeep);
    Ok(())
}
