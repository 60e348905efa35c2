//! `latchet serve`

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::banner::announce;
use super::service_manager::ServiceManager;
use super::signals::{ReloadSignals, StopSignals};
use super::{CliError, Config};
use crate::config::LogFormat;
use crate::error::error_chain;
use crate::serve::{ConnectionLimits, HttpServer, Lifecycle, TlsCertificate};
use crate::{App, logging, metrics, routes};
use latchet_guard::clock::Clock;

/// File descriptors for everything but client connections: database, Redis, files.
pub(super) const RESERVED_DESCRIPTORS: u64 = 100;

pub(super) async fn serve(config: Config) -> Result<(), CliError> {
    logging::start(&config).map_err(CliError::system("start the log"))?;
    let is_json = config.log_format == LogFormat::Json;
    match run(config).await {
        Err(failure) if is_json && tracing::enabled!(tracing::Level::ERROR) => {
            let error = error_chain(&failure).join(": ");
            tracing::error!(
                // The server ends because it could not start; with `LATCHET_LOG_FORMAT=json` only.
                event = "cannot_serve",
                error,
                "cannot serve"
            );
            Err(CliError::Logged(failure.code()))
        }
        done => done,
    }
}

async fn run(config: Config) -> Result<(), CliError> {
    config.check()?;
    // First: the signal for a new certificate must not end a server that is starting.
    let reload = ReloadSignals::listen()?;
    raise_descriptor_limit(config.max_connections);
    // Before anything is created, so that a port in use is reported at once.
    let (listener, address) = listen(config.listen_address(), "").await?;
    let metrics_listener = match config.metrics_address() {
        Some(address) => Some(listen(address, " for metrics").await?),
        None => None,
    };
    let metrics_address = metrics_listener.as_ref().map(|(_, address)| *address);
    let config = config.with_bound_address(address);
    warn_about_settings(&config);
    let certificate = match (&config.tls_cert, &config.tls_key) {
        (Some(chain), Some(key)) => Some(TlsCertificate::load(chain, key)?),
        _ => None,
    };
    let tls = certificate.as_ref().map(TlsCertificate::acceptor);
    let tls = tls.transpose()?;
    let app = App::open(config, Clock::system()).await?;
    app.accounts
        .create_configured_administrator(&app.config)
        .await?;
    // Until here a signal ends the program at once, also while it waits for the database.
    let stop = StopSignals::listen()?;
    announce(&app, metrics_address).await?;

    let lifecycle = Lifecycle::default();
    let mut upkeep = app.spawn_background_tasks();
    let service_manager = ServiceManager::default();
    let supervisor = service_manager.clone();
    upkeep.spawn(supervisor.supervise(app.clone(), lifecycle.clone()));
    if let (Some((listener, _)), Some(metrics)) = (metrics_listener, app.metrics.clone()) {
        if let Some(certificate) = &certificate {
            metrics.watch_certificate(certificate.clone());
        }
        let server = HttpServer {
            listener,
            tls: None,
            limits: ConnectionLimits::from(&app.config),
            lifecycle: Lifecycle::default(),
        };
        let route = metrics::route(&app, metrics, lifecycle.clone());
        upkeep.spawn(server.run(route, std::future::pending()));
    }
    spawn_certificate_reload(&mut upkeep, certificate, reload, service_manager.clone());
    let server = HttpServer {
        listener,
        tls,
        limits: ConnectionLimits::from(&app.config),
        lifecycle: lifecycle.clone(),
    };
    let stopped = async {
        stop.wait_for_first().await;
        service_manager.stopping();
    };
    server.run(routes(&app, lifecycle), stopped).await;
    app.stop_mails().await;
    drop(upkeep);
    tracing::info!("stopped");
    Ok(())
}

/// Returns a listener and its address, which differs from the requested one if that has port 0.
async fn listen(address: SocketAddr, what: &str) -> Result<(TcpListener, SocketAddr), CliError> {
    let failed = || CliError::system(format!("listen on {address}{what}"));
    let listener = TcpListener::bind(address).await.map_err(failed())?;
    let bound = listener.local_addr().map_err(failed())?;
    Ok((listener, bound))
}

/// Logs warnings about the settings at each start.
fn warn_about_settings(config: &Config) {
    if config.exposes_plain_http() {
        tracing::warn!(
            public_url = %config.public_url,
            address = %config.listen,
            "allow_plain_http is set: anyone on the network path can read passwords and tokens; serve https before you use this for more than a test"
        );
    }
    for setting in config.settings_without_effect() {
        tracing::warn!("{setting}");
    }
}

fn spawn_certificate_reload(
    tasks: &mut JoinSet<()>,
    certificate: Option<TlsCertificate>,
    mut signals: ReloadSignals,
    service_manager: ServiceManager,
) {
    if let Some(certificate) = certificate.clone() {
        tasks.spawn(certificate.watch());
    }
    tasks.spawn(async move {
        loop {
            signals.next().await;
            service_manager.reloading();
            if let Some(certificate) = &certificate {
                certificate.reload();
            } else {
                tracing::info!("no certificate to reload: TLS does not end here");
            }
            service_manager.reloaded();
        }
    });
}

/// Many systems start programs with 1,024 file descriptors and let them raise that limit.
#[cfg(unix)]
fn raise_descriptor_limit(connections: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX);
    let wanted = wanted.saturating_add(RESERVED_DESCRIPTORS);
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
fn raise_descriptor_limit(_: usize) {}
