//! `latchet serve`

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::banner::announce;
use super::stop::{ReloadSignals, StopSignals};
use super::{App, Config, Failure};
use crate::clock::Clock;
use crate::server::config::LogFormat;
use crate::server::error::causes;
use crate::server::serve::{Lifecycle, Limits, Server, TlsCertificate};
use crate::server::{logging, metrics, routes};

/// File descriptors for everything but client connections: database, Redis, files.
pub(super) const OWN_DESCRIPTORS: u64 = 100;

pub(super) async fn serve(config: Config) -> Result<(), Failure> {
    logging::start(&config).map_err(Failure::system("start the log"))?;
    let is_json = config.log_format == LogFormat::Json;
    match run(config).await {
        Err(failure) if is_json && tracing::enabled!(tracing::Level::ERROR) => {
            let error = causes(&failure).join(": ");
            tracing::error!(
                // The server ends because it could not start; with `LATCHET_LOG_FORMAT=json` only.
                event = "cannot_serve",
                error,
                "cannot serve"
            );
            Err(Failure::Logged(failure.code()))
        }
        done => done,
    }
}

async fn run(config: Config) -> Result<(), Failure> {
    config.check()?;
    // First: the signal for a new certificate must not end a server that is starting.
    let reload = ReloadSignals::listen()?;
    allow_descriptors(config.max_connections);
    // Before anything is created, so that a port in use is reported at once.
    let (listener, address) = listen(config.listen_address(), "").await?;
    let metrics_listener = match config.metrics_address() {
        Some(address) => Some(listen(address, " for metrics").await?),
        None => None,
    };
    let metrics_address = metrics_listener.as_ref().map(|(_, address)| *address);
    let config = config.listening_on(address);
    warn_of(&config);
    let certificate = match (&config.tls_cert, &config.tls_key) {
        (Some(chain), Some(key)) => Some(TlsCertificate::load(chain, key)?),
        _ => None,
    };
    let tls = certificate.as_ref().map(TlsCertificate::acceptor);
    let tls = tls.transpose()?;
    let app = App::open(config, Clock::system()).await?;
    app.bootstrap().await?;
    // Until here a signal ends the program at once, also while it waits for the database.
    let stop = StopSignals::listen()?;
    announce(&app, metrics_address).await?;

    let lifecycle = Lifecycle::default();
    let mut upkeep = app.maintain();
    follow_certificate(&mut upkeep, certificate, reload);
    if let (Some((listener, _)), Some(metrics)) = (metrics_listener, app.metrics.clone()) {
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

/// Returns a listener and its address, which differs from the requested one if that has port 0.
async fn listen(address: SocketAddr, what: &str) -> Result<(TcpListener, SocketAddr), Failure> {
    let failed = || Failure::system(format!("listen on {address}{what}"));
    let listener = TcpListener::bind(address).await.map_err(failed())?;
    let bound = listener.local_addr().map_err(failed())?;
    Ok((listener, bound))
}

/// Logs warnings about the settings at each start.
fn warn_of(config: &Config) {
    if config.is_open_plain_http() {
        tracing::warn!(
            public_url = %config.public_url,
            address = %config.listen,
            "allow_plain_http is set: anybody on the network path can read passwords and tokens; serve https before you use this for more than a test"
        );
    }
    for setting in config.settings_without_effect() {
        tracing::warn!("{setting}");
    }
}

fn follow_certificate(
    tasks: &mut JoinSet<()>,
    certificate: Option<TlsCertificate>,
    mut signals: ReloadSignals,
) {
    if let Some(certificate) = certificate.clone() {
        tasks.spawn(certificate.watch());
    }
    tasks.spawn(async move {
        loop {
            signals.next().await;
            if let Some(certificate) = &certificate {
                certificate.reload();
            } else {
                tracing::info!("no certificate to reload: TLS does not end here");
            }
        }
    });
}

/// Many systems start programs with 1,024 file descriptors and let them raise that limit.
#[cfg(unix)]
fn allow_descriptors(connections: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX);
    let wanted = wanted.saturating_add(OWN_DESCRIPTORS);
    let possible = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    if limit.current.is_some_and(|current| current < possible) {
        // If this fails, fewer connections are open at once, and `latchet doctor` reports it.
        let raised = Rlimit {
            current: Some(possible),
            maximum: limit.maximum,
        };
        let _ = setrlimit(Resource::Nofile, raised);
    }
}

#[cfg(not(unix))]
fn allow_descriptors(_: usize) {}
