//! The service of the notes: Latchet and the notes of each user in one program. See the README beside.
//!
//! ```text
//! node examples/spa/start.mjs        # starts this, and the pages
//! ```
//!
//! In one program the guards know the keys and hear of a logout without asking anybody. In a program
//! of its own, a service makes its `Guards` as `examples/revoked_by_redis.rs` does; the routes stay
//! as they are.
//!
//! Settings come from `LATCHET_…`, the settings file and the arguments, as for `latchet serve`.

use std::error::Error;

use latchet::clock::Clock;
use latchet::server::config::Config;
use latchet::server::envelope::Envelope;
use latchet::server::serve::{Lifecycle, Limits, Server};
use latchet::server::{App, routes};
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
    app.bootstrap().await?;

    let lifecycle = Lifecycle::default();
    let upkeep = app.maintain();
    let notes = OpenApiService::new(NotesApi::new(app.clock.clone()), "notes", "1")
        .data(app.guards.clone())
        // The limits of size and time, and the form of errors, that Latchet's own routes have.
        .with(Envelope::new(&app.config, lifecycle.clone()));
    let all = Route::new()
        .nest("/api", notes)
        .nest("/", routes(&app, lifecycle.clone()));
    let server = Server {
        listener,
        tls: None,
        limits: Limits::from(&app.config),
        lifecycle,
    };
    let stop = async {
        // Where signals cannot be waited for, the program ends as the system ends it.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    eprintln!("listening on {}", app.config.listen_address());
    server.run(all, stop).await;
    drop(upkeep);
    Ok(())
}
