//! Messages to the service manager that started this process, such as systemd: ready, reloading, stopping,
//! alive. Without one, nothing is sent.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
#[cfg(unix)]
use std::{sync::atomic::Ordering, time::Duration};

#[cfg(unix)]
use poem::http::{Uri, header};
#[cfg(unix)]
use poem::{Endpoint, Request};
#[cfg(unix)]
use sd_notify::NotifyState;

use crate::App;
#[cfg(unix)]
use crate::routes;
use crate::serve::Lifecycle;

/// Time between two checks whether the server is ready, or responds again.
#[cfg(unix)]
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// The service manager. Clones share what was sent.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceManager {
    /// Set once it knows that the server is ready: only then may a reload be announced, at whose end the
    /// server counts as ready.
    knows_ready: Arc<AtomicBool>,
}

#[cfg(unix)]
impl ServiceManager {
    /// Reports the server as ready once it is, and then that it responds, as often as the service manager
    /// requires (`WatchdogSec=` of systemd).
    ///
    /// Its routes are asked directly and not over the network: a server whose connections are all in use is
    /// busy and must not be restarted.
    pub(super) async fn supervise(self, app: App, lifecycle: Lifecycle) {
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return;
        }
        let endpoint = routes(&app, lifecycle);
        while !is_successful(&endpoint, Uri::from_static("/readyz")).await {
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        send(&[NotifyState::Ready]);
        self.knows_ready.store(true, Ordering::Relaxed);
        let Some(limit) = sd_notify::watchdog_enabled() else {
            return;
        };
        loop {
            let probe = is_successful(&endpoint, Uri::from_static("/livez"));
            if let Ok(true) = tokio::time::timeout(limit / 2, probe).await {
                send(&[NotifyState::Watchdog]);
                tokio::time::sleep(limit / 3).await;
            } else {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    /// Reports that the server reloads files.
    pub(super) fn reloading(&self) {
        if !self.knows_ready.load(Ordering::Relaxed) {
            return;
        }
        match NotifyState::monotonic_usec_now() {
            Ok(now) => send(&[NotifyState::Reloading, now]),
            Err(error) => log_failure(&error),
        }
    }

    /// Reports the end of a reload.
    pub(super) fn reloaded(&self) {
        if self.knows_ready.load(Ordering::Relaxed) {
            send(&[NotifyState::Ready]);
        }
    }

    /// Reports that the server stops. It does not count as ready from now on.
    pub(super) fn stopping(&self) {
        self.knows_ready.store(false, Ordering::Relaxed);
        send(&[NotifyState::Stopping]);
    }
}

#[cfg(not(unix))]
impl ServiceManager {
    #[expect(
        clippy::unused_async,
        reason = "it waits where there are service managers"
    )]
    pub(super) async fn supervise(self, _: App, _: Lifecycle) {}

    pub(super) fn reloading(&self) {}

    pub(super) fn reloaded(&self) {}

    pub(super) fn stopping(&self) {}
}

#[cfg(unix)]
async fn is_successful(endpoint: &impl Endpoint, uri: Uri) -> bool {
    let request = Request::builder()
        .uri(uri)
        .header(header::HOST, "localhost")
        .finish();
    endpoint.get_response(request).await.status().is_success()
}

#[cfg(unix)]
fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log_failure(&error);
    }
}

/// The server continues: a service manager that misses a message acts on its own timeouts.
#[cfg(unix)]
fn log_failure(error: &std::io::Error) {
    tracing::warn!(%error, "cannot send a message to the service manager");
}
