//! Accepts connections and serves HTTP on them. The accept loop around hyper is custom, because poem's
//! neither closes half-sent requests nor backs off when file descriptors run out.
//!
//! It handles bytes and connections only. The meaning of a request, and the time it may take, are up to the
//! endpoint (see [`super::middleware`]).

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use poem::http::uri::Scheme;
use poem::http::{Request, Response, Version};
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use super::config::Config;
use stall_guard::{GuardedStream, StallGuard};
use unreadable_heads::HeadErrorStream;

mod lifecycle;
mod stall_guard;
#[cfg(test)]
mod tests;
mod tls;
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
/// Pause of the accept loop after a failure, such as no file descriptor left: without it the loop would spin.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Time for a closing connection to flush its last response.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Limits on time and connections that clients may use.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Time for a client to send a request head, and for a TLS handshake.
    pub header_timeout: Duration,
    /// Time that a client may leave a response unread.
    pub write_timeout: Duration,
    /// Time that a connection may be idle between requests.
    pub idle_timeout: Duration,
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

struct Connection<E> {
    endpoint: Arc<E>,
    tls: Option<TlsAcceptor>,
    limits: ConnectionLimits,
    lifecycle: Lifecycle,
    peer: SocketAddr,
    _slot: OwnedSemaphorePermit,
}

impl<E: Endpoint + 'static> Connection<E> {
    async fn serve(self, socket: TcpStream) {
        // Responses are small and written in one go: Nagle's algorithm would only delay them.
        let _ = socket.set_nodelay(true);
        let Ok(local) = socket.local_addr() else {
            return;
        };
        match self.tls.clone() {
            None => self.serve_http(socket, local, Scheme::HTTP).await,
            Some(tls) => {
                let handshake = tls.accept(socket);
                match tokio::time::timeout(self.limits.header_timeout, handshake).await {
                    Ok(Ok(stream)) => self.serve_http(stream, local, Scheme::HTTPS).await,
                    Ok(Err(error)) => tracing::debug!(%error, "the TLS handshake failed"),
                    Err(_) => tracing::debug!("the TLS handshake timed out"),
                }
            }
        }
    }

    async fn serve_http<S>(self, stream: S, local: SocketAddr, scheme: Scheme)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stall_guard = StallGuard::new(self.limits);
        let local = LocalAddr(Addr::SocketAddr(local));
        let remote = RemoteAddr(Addr::SocketAddr(self.peer));
        let service = service_fn(|request: Request<Incoming>| {
            let running = stall_guard.start_request(request.version() == Version::HTTP_2);
            let endpoint = Arc::clone(&self.endpoint);
            let request = (request, local.clone(), remote.clone(), scheme.clone()).into();
            async move {
                // Called on the endpoint itself: the `Arc`'s method would add one more future.
                let response: Response<_> = E::get_response(&endpoint, request).await.into();
                drop(running);
                Ok::<_, Infallible>(response)
            }
        });
        let stream = HeadErrorStream::new(stream, self.peer.ip());
        let stream = TokioIo::new(GuardedStream::new(stream, stall_guard.clone()));
        let protocol = http_protocol();
        let connection = protocol.serve_connection(stream, service);
        tokio::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            () = stall_guard.stalled() => {}
            () = self.lifecycle.wait_until_closing() => {}
        }
        connection.as_mut().graceful_shutdown();
        while tokio::time::timeout(FLUSH_TIMEOUT, connection.as_mut())
            .await
            .is_err()
        {
            if !stall_guard.has_running_requests() {
                return;
            }
        }
    }
}

/// Returns the server for HTTP/1.1 and HTTP/2; the first bytes of a client select the version.
fn http_protocol() -> auto::Builder<TokioExecutor> {
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    protocol
        .http1()
        .timer(TokioTimer::new())
        // `StallGuard` has this timeout, and a longer one for idle connections.
        .header_read_timeout(None)
        // While a request runs, there is no check whether the client is still connected: changes run to
        // completion anyway, and the check costs a system call and a buffer for every request.
        .half_close(true)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS);
    protocol
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS_PER_CONNECTION)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX));
    protocol
}
