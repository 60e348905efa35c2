//! Accepts connections and speaks HTTP on them: an accept loop around hyper, because poem's own
//! neither closes half-sent requests nor backs off when descriptors run out.
//!
//! It knows bytes and connections. What a request means and how long it may take is the matter of
//! the endpoint it is given (see [`super::envelope`]).

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

/// Largest head of a request; RFC 9110 asks for at least 8,000 bytes of target.
pub(super) const MAX_HEAD_BYTES: usize = 16 << 10;
pub(super) const MAX_HEADERS: usize = 64;
/// Requests at once on one connection of HTTP/2.
const MAX_STREAMS: u32 = 32;
/// Bytes that a client of HTTP/2 may send of one body before a handler reads it.
const STREAM_WINDOW: u32 = 16 << 10;
/// The same for all bodies of a connection. No connection can have less (RFC 9113, 6.9.2).
const CONNECTION_WINDOW: u32 = (64 << 10) - 1;
/// How long the loop rests when no descriptor is left, so that it does not spin.
const BACK_OFF: Duration = Duration::from_millis(50);
/// How long a connection that is to be closed may still flush.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How much of what a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Time to send a request's head, and to shake hands.
    pub header_timeout: Duration,
    /// Time that a client may leave an answer unread.
    pub write_timeout: Duration,
    /// Time that a connection may rest between requests.
    pub idle_timeout: Duration,
    /// Connections served at once.
    pub max_connections: usize,
    /// Time between the stop and the closing of the listener.
    pub drain_delay: Duration,
    /// Time for what runs to finish after that.
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

/// Where to listen and how.
pub struct Server {
    /// The socket, already listening.
    pub listener: TcpListener,
    /// Set where TLS ends here.
    pub tls: Option<TlsAcceptor>,
    /// What a client may take.
    pub limits: Limits,
    /// Told when the server drains; knows the work that must not be cut short.
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
    /// the drain delay, and what runs may finish until the drain timeout.
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
                    tracing::info!("stopping: answering what runs, refusing readiness");
                    lifecycle.drain();
                    // A proxy that asks for readiness needs a moment to send requests elsewhere.
                    let _ = tokio::time::timeout(limits.drain_delay, accepting).await;
                }
            }
        }
        lifecycle.close();
        if tokio::time::timeout(limits.drain_timeout, lifecycle.finished())
            .await
            .is_err()
        {
            tracing::warn!("stopped before every request was answered: the drain timeout is over");
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
                    tracing::warn!(%error, "cannot accept connections; resting");
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
        // Answers are small and written at once: waiting to fill a packet only delays them.
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
                    Err(_) => tracing::debug!("the TLS handshake took too long"),
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
                // Of the endpoint itself: that of an `Arc` is one more future around it.
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

/// HTTP/1.1 and HTTP/2, told apart by what the client says first.
fn protocol() -> auto::Builder<TokioExecutor> {
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    protocol
        .http1()
        .timer(TokioTimer::new())
        // Told by `Pace`, which also lets a connection rest longer than a head may take.
        .header_read_timeout(None)
        // While a request runs, nobody looks whether its client is still there: what changes something runs to
        // its end anyway, and looking costs a system call and a buffer for every request.
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
