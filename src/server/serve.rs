//! Accepts connections and serves HTTP on them. The accept loop around hyper is custom, because poem's
//! neither closes half-sent requests nor backs off when file descriptors run out.
//!
//! It handles bytes and connections only. The meaning of a request, and the time it may take, are up to the
//! endpoint (see [`super::envelope`]).

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
use paced::{Pace, Paced};
use refused_heads::AnsweredHeads;

mod lifecycle;
mod paced;
mod refused_heads;
#[cfg(test)]
mod tests;
mod tls;

pub use lifecycle::Lifecycle;
pub use tls::{TlsCertificate, TlsError};

/// Largest head of a request. RFC 9110 recommends support for URIs of at least 8,000 bytes.
pub(super) const MAX_HEAD_BYTES: usize = 16 << 10;
pub(super) const MAX_HEADERS: usize = 64;
/// Concurrent requests on one HTTP/2 connection.
const MAX_STREAMS: u32 = 32;
/// Bytes of one body that an HTTP/2 client may send before a handler reads it.
const STREAM_WINDOW: u32 = 16 << 10;
/// The same for all bodies of a connection. No connection can have less (RFC 9113, 6.9.2).
const CONNECTION_WINDOW: u32 = (64 << 10) - 1;
/// Pause of the accept loop after a failure, such as no file descriptor left: without it the loop would spin.
const BACK_OFF: Duration = Duration::from_millis(50);
/// Time for a closing connection to flush its last response.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Limits on time and connections that clients may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
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

impl From<&Config> for Limits {
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
pub struct Server {
    /// The socket, already listening.
    pub listener: TcpListener,
    /// Present if this server terminates TLS.
    pub tls: Option<TlsAcceptor>,
    /// Limits on time and connections.
    pub limits: Limits,
    /// Phase of the server, and the work that must finish before it stops.
    pub lifecycle: Lifecycle,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Server {
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
                    lifecycle.drain();
                    // A proxy that polls readiness needs a moment to route requests elsewhere.
                    let _ = tokio::time::timeout(limits.drain_delay, accepting).await;
                }
            }
        }
        lifecycle.close();
        if tokio::time::timeout(limits.drain_timeout, lifecycle.finished())
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
                Err(error) if concerns_one_client(&error) => continue,
                Err(error) => {
                    tracing::warn!(%error, "accept failed; retrying");
                    tokio::time::sleep(BACK_OFF).await;
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

fn concerns_one_client(error: &io::Error) -> bool {
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
    limits: Limits,
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
            None => self.speak(socket, local, Scheme::HTTP).await,
            Some(tls) => {
                let handshake = tls.accept(socket);
                match tokio::time::timeout(self.limits.header_timeout, handshake).await {
                    Ok(Ok(stream)) => self.speak(stream, local, Scheme::HTTPS).await,
                    Ok(Err(error)) => tracing::debug!(%error, "the TLS handshake failed"),
                    Err(_) => tracing::debug!("the TLS handshake timed out"),
                }
            }
        }
    }

    async fn speak<S>(self, stream: S, local: SocketAddr, scheme: Scheme)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let pace = Pace::new(self.limits);
        let local = LocalAddr(Addr::SocketAddr(local));
        let remote = RemoteAddr(Addr::SocketAddr(self.peer));
        let service = service_fn(|request: Request<Incoming>| {
            let running = pace.begin(request.version() == Version::HTTP_2);
            let endpoint = Arc::clone(&self.endpoint);
            let request = (request, local.clone(), remote.clone(), scheme.clone()).into();
            async move {
                // Called on the endpoint itself: the `Arc`'s method would add one more future.
                let response: Response<_> = E::get_response(&endpoint, request).await.into();
                drop(running);
                Ok::<_, Infallible>(response)
            }
        });
        let stream = AnsweredHeads::new(stream, self.peer.ip());
        let stream = TokioIo::new(Paced::new(stream, pace.clone()));
        let protocol = protocol();
        let connection = protocol.serve_connection(stream, service);
        tokio::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            () = pace.overdue() => {}
            () = self.lifecycle.closing() => {}
        }
        connection.as_mut().graceful_shutdown();
        while tokio::time::timeout(LAST_WORDS, connection.as_mut())
            .await
            .is_err()
        {
            if !pace.is_busy() {
                return;
            }
        }
    }
}

/// Returns the server for HTTP/1.1 and HTTP/2; the first bytes of a client select the version.
fn protocol() -> auto::Builder<TokioExecutor> {
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    protocol
        .http1()
        .timer(TokioTimer::new())
        // `Pace` has this timeout, and a longer one for idle connections.
        .header_read_timeout(None)
        // While a request runs, there is no check whether the client is still connected: changes run to
        // completion anyway, and the check costs a system call and a buffer for every request.
        .half_close(true)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS);
    protocol
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX));
    protocol
}
