//! `latchet serve`

use std::fmt::Write;

use tokio::net::TcpListener;

use super::stop::StopSignals;
use super::{App, Config, Failure, print};
use crate::clock::Clock;
use crate::server::serve::{Lifecycle, Limits, Server, load_tls};
use crate::server::{logging, metrics, routes};

/// Descriptors for everything but connections of clients: database, Redis, files.
pub(super) const OWN_DESCRIPTORS: u64 = 100;

pub(super) async fn serve(config: Config) -> Result<(), Failure> {
    config.check()?;
    logging::start(&config).map_err(|error| Failure::Other(format!("log_level: {error}")))?;
    allow_descriptors(config.max_connections);
    // First, so that a port in use is told before anything is made.
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(Failure::system(format!("listen on {}", config.listen)))?;
    let metrics_listener = match config.metrics_listen {
        Some(address) => Some(
            TcpListener::bind(address)
                .await
                .map_err(Failure::system(format!("listen on {address} for metrics")))?,
        ),
        None => None,
    };
    let tls = match (&config.tls_cert, &config.tls_key) {
        (Some(chain), Some(key)) => Some(load_tls(chain, key)?),
        _ => None,
    };
    let app = App::open(config, Clock::system()).await?;
    app.bootstrap().await?;
    // Until now a signal ends the program by itself, however long the database lets it wait.
    let stop = StopSignals::listen()?;
    print(&banner(&app, app.setup_link().await?.as_deref()))?;

    let lifecycle = Lifecycle::default();
    let mut upkeep = app.maintain();
    if let (Some(listener), Some(metrics)) = (metrics_listener, app.metrics.clone()) {
        let server = Server {
            listener,
            tls: None,
            limits: Limits::from(&app.config),
            lifecycle: Lifecycle::default(),
        };
        upkeep.spawn(server.run(metrics::route(&app, metrics), std::future::pending()));
    }
    let server = Server {
        listener,
        tls,
        limits: Limits::from(&app.config),
        lifecycle: lifecycle.clone(),
    };
    server.run(routes(&app, lifecycle), stop.arrive()).await;
    drop(upkeep);
    tracing::info!("stopped");
    Ok(())
}

/// Many systems start programs with 1,024 descriptors and let them ask for more.
#[cfg(unix)]
fn allow_descriptors(connections: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX);
    let wanted = wanted.saturating_add(OWN_DESCRIPTORS);
    let possible = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    if limit.current.is_some_and(|current| current < possible) {
        // Without it fewer connections are open at once, and `latchet doctor` says so.
        let raised = Rlimit {
            current: Some(possible),
            maximum: limit.maximum,
        };
        let _ = setrlimit(Resource::Nofile, raised);
    }
}

#[cfg(not(unix))]
fn allow_descriptors(_: usize) {}

/// At most six lines. The link is printed, never logged: whoever reads the log must not become
/// administrator.
fn banner(app: &App, setup_link: Option<&str>) -> String {
    let config = &app.config;
    let url = &config.public_url;
    let mut text = format!(
        "latchet {} listens on {}\n  Sign in        {url}/account\n  API and docs   {url}/docs\n",
        env!("CARGO_PKG_VERSION"),
        config.listen
    );
    if let Some(secret) = setup_link {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "  There is no administrator yet. Make one within 30 minutes at\n    {url}/setup#{secret}\n  or at any time with  latchet user add NAME --admin\n",
        );
    }
    text
}
