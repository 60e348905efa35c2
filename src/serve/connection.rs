//! Serves HTTP on one connection.
//!
//! Between requests an HTTP/1 connection is cheap: when none has run for a moment, hyper's state and buffers are
//! freed, and the next bytes of the client create them again.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use poem::http::uri::Scheme;
use poem::http::{Request, Response, Version};
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsAcceptor;

use super::read_ahead::ReadAheadStream;
use super::stall_guard::{GuardedStream, Inactivity, StallGuard};
use super::tracked_body::TrackedBody;
use super::unreadable_heads::HeadErrorStream;
use super::{
    CONNECTION_WINDOW_BYTES, ConnectionLimits, Lifecycle, MAX_HEAD_BYTES, MAX_HEADERS,
    MAX_STREAMS_PER_CONNECTION, STREAM_WINDOW_BYTES,
};

/// Time for a closing connection to flush its last response.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A connection that was accepted.
pub(super) struct Connection<E> {
    pub(super) endpoint: Arc<E>,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) limits: ConnectionLimits,
    pub(super) lifecycle: Lifecycle,
    pub(super) peer: SocketAddr,
    /// Held until the connection is closed.
    pub(super) _slot: OwnedSemaphorePermit,
}

impl<E: Endpoint + 'static> Connection<E> {
    pub(super) async fn serve(self, socket: TcpStream) {
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
                    // In a box, so that a connection without TLS has no room for its state.
                    Ok(Ok(stream)) => {
                        let stream = Box::new(stream);
                        self.serve_http(stream, local, Scheme::HTTPS).await;
                    }
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
            // In a box of its own, so that a connection without a request does not keep its memory.
            Box::pin(async move {
                // Called on the endpoint itself: the `Arc`'s method would add one more future.
                let response: Response<_> = E::get_response(&endpoint, request).await.into();
                Ok::<_, Infallible>(response.map(|body| TrackedBody::new(body, running)))
            })
        });
        let stream = HeadErrorStream::new(stream, self.peer.ip());
        let stream = GuardedStream::new(stream, stall_guard.clone());
        let mut stream = ReadAheadStream::new(stream);
        let mut activity = Activity {
            stall_guard: &stall_guard,
            closing: pin!(self.lifecycle.wait_until_closing()),
        };
        loop {
            match activity.next_version(&mut stream).await {
                Some(Version::HTTP_2) => {
                    let protocol = http2_protocol();
                    let connection = protocol.serve_connection(TokioIo::new(stream), &service);
                    return activity.drive(Box::pin(connection)).await;
                }
                Some(_) => match activity.serve_http1(stream, &service).await {
                    Some(idle) => stream = idle,
                    None => return,
                },
                None => {
                    let _ = tokio::time::timeout(FLUSH_TIMEOUT, stream.shutdown()).await;
                    return;
                }
            }
        }
    }
}

/// Ends of a connection other than its protocol's.
struct Activity<'a, F> {
    stall_guard: &'a StallGuard,
    /// Resolves when the server stops.
    closing: Pin<&'a mut F>,
}

impl<F: Future<Output = ()>> Activity<'_, F> {
    /// Waits for the next request without buffers. Returns `None` if the connection is to be closed.
    async fn next_version<S>(&mut self, stream: &mut ReadAheadStream<S>) -> Option<Version>
    where
        S: AsyncRead + Unpin,
    {
        tokio::select! {
            version = stream.next_version() => version.ok().flatten(),
            () = self.stall_guard.stalled() => None,
            () = self.closing.as_mut() => None,
        }
    }

    /// Serves HTTP/1 until the connection is idle, and returns its stream. Returns `None` if it is closed.
    async fn serve_http1<S, H>(
        &mut self,
        stream: ReadAheadStream<GuardedStream<S>>,
        service: H,
    ) -> Option<ReadAheadStream<GuardedStream<S>>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        H: HttpService<
                Incoming,
                ResBody: Body<Error: Into<BoxError>> + 'static,
                Error: Into<BoxError>,
            >,
        H: Unpin,
        H::Future: Unpin,
    {
        let io = TokioIo::new(stream);
        let mut connection = Box::new(http1_protocol().serve_connection(io, service));
        let inactivity = loop {
            let inactivity = tokio::select! {
                _ = Pin::new(&mut *connection) => return None,
                inactivity = self.stall_guard.idle_or_stalled() => inactivity,
                () = self.closing.as_mut() => Inactivity::Stalled,
            };
            if inactivity == Inactivity::Stalled {
                break inactivity;
            }
            // After a response hyper may still have to see that it must close, or there is a request already.
            let has_ended =
                poll_fn(|cx| Poll::Ready(Pin::new(&mut *connection).poll(cx).is_ready()));
            if has_ended.await {
                return None;
            }
            if self.stall_guard.is_idle() {
                break inactivity;
            }
        };
        Pin::new(&mut *connection).graceful_shutdown();
        if inactivity == Inactivity::Stalled {
            self.flush(Pin::new(&mut *connection)).await;
            return None;
        }
        // It has no request, so it ends at once.
        let end = poll_fn(|cx| connection.poll_without_shutdown(cx));
        tokio::time::timeout(FLUSH_TIMEOUT, end).await.ok()?.ok()?;
        let parts = connection.into_parts();
        let mut stream = parts.io.into_inner();
        if !parts.read_buf.is_empty() {
            self.stall_guard.record_read();
            stream.put_back(parts.read_buf);
        }
        Some(stream)
    }

    /// Polls a connection to its end.
    async fn drive<C: GracefulConnection>(&mut self, mut connection: Pin<Box<C>>) {
        tokio::select! {
            _ = connection.as_mut() => return,
            () = self.stall_guard.stalled() => {}
            () = self.closing.as_mut() => {}
        }
        connection.as_mut().graceful_shutdown();
        self.flush(connection.as_mut()).await;
    }

    /// Lets a connection that accepts no more requests send its last responses.
    async fn flush<C: Future>(&self, mut connection: Pin<&mut C>) {
        while tokio::time::timeout(FLUSH_TIMEOUT, connection.as_mut())
            .await
            .is_err()
        {
            if !self.stall_guard.has_running_requests() {
                return;
            }
        }
    }
}

fn http1_protocol() -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        // `StallGuard` has this timeout, and a longer one for idle connections.
        .header_read_timeout(None)
        // While a request runs, there is no check whether the client is still connected: changes run to
        // completion anyway, and the check costs a system call and a buffer for every request.
        .half_close(true)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS);
    protocol
}

fn http2_protocol() -> http2::Builder<TokioExecutor> {
    let mut protocol = http2::Builder::new(TokioExecutor::new());
    protocol
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS_PER_CONNECTION)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX));
    protocol
}
