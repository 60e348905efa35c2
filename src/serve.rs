//! Accepts connections and serves HTTP on them. The accept loop around hyper is custom, because poem's
//! neither closes half-sent requests nor backs off when file descriptors run out.
//!
//! It handles bytes and connections only. The meaning of a request, and the time it may take, are up to the
//! endpoint (see [`super::middleware`]).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use poem::Endpoint;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::config::Config;
use connection::Connection;

mod connection;
mod lifecycle;
mod read_ahead;
mod stall_guard;
#[cfg(test)]
mod tests;
mod tls;
mod tracked_body;
mod unreadable_heads;

pub use lifecycle::Lifecycle;
pub use tls::{TlsCertificate, TlsError};

/// Largest head of a request. RFC 9110 recommends support for URIs of at least 8,000 bytes.
pub(super) const MAX_HEAD_BYTES: usize = 16 << 10;
pub(super) const MAX_HEADERS: usize = 64;
/// Concurrent requests on one HTTP/2 connection.
const MAX_STREAMS_PER_CONNECTION: u32 = 32;
/// Bytes of one body that an HTTP/2 client may send before a handler reads it.
const STREAM_WINDOW_BYTES: u32 = 16 << 10;
/// The same for all bodies of a connection. No connection can have less (RFC 9113, 6.9.2).
const CONNECTION_WINDOW_BYTES: u32 = (64 << 10) - 1;
/// Longer than the gaps of a busy client, for which the buffers would be allocated each time.
const KEEP_BUFFERS: Duration = Duration::from_secs(1);
/// Pause of the accept loop after a failure, such as no file descriptor left: without it the loop would spin.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Limits on time and connections that clients may use.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Time for a client to send a request head, and for a TLS handshake.
    pub header_timeout: Duration,
    /// Time that a client may leave a response unread.
    pub write_timeout: Duration,
    /// Time that a connection may be idle between requests.
    pub idle_timeout: Duration,
    /// Time that an HTTP/1 connection without a request keeps its buffers.
    pub keep_buffers: Duration,
    /// Most concurrent connections.
    pub max_connections: usize,
    /// Time between the stop signal and the closing of the listener.
    pub drain_delay: Duration,
    /// Time for running requests to finish after that.
    pub drain_timeout: Duration,
}

impl From<&Config> for ConnectionLimits {
    fn from(config: &Config) -> Self {
        Self {
            header_timeout: config.header_timeout,
            write_timeout: config.request_timeout,
            idle_timeout: config.idle_timeout,
            keep_buffers: KEEP_BUFFERS,
            max_connections: config.max_connections,
            drain_delay: config.drain_delay,
            drain_timeout: config.drain_timeout,
        }
    }
}

/// An HTTP server that is ready to run: listener, TLS and limits.
pub struct HttpServer {
    /// The socket, already listening.
    pub listener: TcpListener,
    /// Present if this server terminates TLS.
    pub tls: Option<TlsAcceptor>,
    /// Limits on time and connections.
    pub limits: ConnectionLimits,
    /// Phase of the server, and the work that must finish before it stops.
    pub lifecycle: Lifecycle,
}

impl std::fmt::Debug for HttpServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpServer")
            .field("listener", &self.listener)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl HttpServer {
    /// Serves until `stop` resolves, then drains: readiness fails at once, the listener closes after
    /// the drain delay, and running requests may finish until the drain timeout.
    pub async fn run<E>(self, endpoint: E, stop: impl Future<Output = ()>)
    where
        E: Endpoint + 'static,
    {
        let lifecycle = self.lifecycle.clone();
        let limits = self.limits;
        {
            let accepting = self.accept(Arc::new(endpoint));
            tokio::pin!(accepting);
            tokio::select! {
                () = &mut accepting => {}
                () = stop => {
                    tracing::info!("stopping: finishing running requests, reporting not ready");
                    lifecycle.start_draining();
                    // A proxy that polls readiness needs a moment to route requests elsewhere.
                    let _ = tokio::time::timeout(limits.drain_delay, accepting).await;
                }
            }
        }
        lifecycle.start_closing();
        if tokio::time::timeout(limits.drain_timeout, lifecycle.work_finished())
            .await
            .is_err()
        {
            tracing::warn!("stopped with unfinished requests: the drain timeout has passed");
        }
    }

    /// Accepts until it is dropped, which closes the listener.
    async fn accept<E: Endpoint + 'static>(self, endpoint: Arc<E>) {
        let slots = Arc::new(Semaphore::new(self.limits.max_connections));
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                return;
            };
            let (socket, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) if affects_one_connection(&error) => continue,
                Err(error) => {
                    tracing::warn!(%error, "accept failed; retrying");
                    tokio::time::sleep(ACCEPT_RETRY_PAUSE).await;
                    continue;
                }
            };
            let connection = Connection {
                endpoint: Arc::clone(&endpoint),
                tls: self.tls.clone(),
                limits: self.limits,
                lifecycle: self.lifecycle.clone(),
                peer,
                _slot: slot,
            };
            self.lifecycle.track(connection.serve(socket));
        }
    }
}

fn affects_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}
