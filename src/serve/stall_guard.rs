//! Detects stalled connections: a client that sends half a request, leaves its responses unread or stays
//! idle for too long is disconnected. Otherwise a few thousand such clients would hold every slot.
//!
//! [`GuardedStream`] wraps the stream and records when bytes move, the server records when requests begin and end,
//! and [`StallGuard::stalled`] checks these records periodically. There is no timer per request.

use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::ConnectionLimits;

/// Pause between two checks of a connection, at least.
const MIN_CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// Activity of one connection, and its limits. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct StallGuard {
    limits: ConnectionLimits,
    state: Arc<Mutex<ConnectionActivity>>,
}

#[derive(Debug)]
struct ConnectionActivity {
    /// Requests without a response.
    running_requests: usize,
    /// Responses whose body the connection has not taken completely.
    unsent_responses: usize,
    /// HTTP/2 also sends frames that begin no request, so received bytes alone are no sign of one.
    is_http2: bool,
    /// End of the last request, or start of the connection.
    idle_since: Instant,
    /// Start of an incomplete request head. A new connection is expected to send one.
    head_since: Option<Instant>,
    /// Time since which the client reads nothing.
    blocked_since: Option<Instant>,
}

impl StallGuard {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        let now = Instant::now();
        Self {
            limits,
            state: Arc::new(Mutex::new(ConnectionActivity {
                running_requests: 0,
                unsent_responses: 0,
                is_http2: false,
                idle_since: now,
                head_since: Some(now),
                blocked_since: None,
            })),
        }
    }

    /// Records that a request head is complete. The request runs until it has a response or the returned value is
    /// dropped.
    pub(super) fn start_request(&self, is_http2: bool) -> RunningRequest {
        let mut state = self.lock();
        state.running_requests += 1;
        state.is_http2 = is_http2;
        state.head_since = None;
        drop(state);
        RunningRequest {
            stall_guard: self.clone(),
            has_response: false,
        }
    }

    pub(super) fn has_running_requests(&self) -> bool {
        self.lock().running_requests > 0
    }

    /// Resolves when the client has exceeded a limit, up to half a header timeout late.
    pub(super) async fn stalled(&self) {
        loop {
            let now = Instant::now();
            let deadline = self.deadline();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return;
            }
            let next = now + (self.limits.header_timeout / 2).max(MIN_CHECK_INTERVAL);
            tokio::time::sleep_until(deadline.map_or(next, |deadline| deadline.min(next))).await;
        }
    }

    /// Resolves like [`StallGuard::stalled`], or when the connection has been idle for a moment.
    pub(super) async fn idle_or_stalled(&self) -> Inactivity {
        let keep_buffers = self.limits.keep_buffers;
        let mut stalled = pin!(self.stalled());
        loop {
            let now = Instant::now();
            let next = match self.idle_since().map(|since| since + keep_buffers) {
                Some(idle_at) if idle_at <= now => return Inactivity::Idle,
                Some(idle_at) => idle_at,
                None => now + keep_buffers.max(MIN_CHECK_INTERVAL),
            };
            if tokio::time::timeout_at(next, stalled.as_mut())
                .await
                .is_ok()
            {
                return Inactivity::Stalled;
            }
        }
    }

    /// Returns whether there is no request, no part of one and no unsent response.
    pub(super) fn is_idle(&self) -> bool {
        self.idle_since().is_some()
    }

    /// Returns the time since which there is no request, no part of one and no unsent response.
    fn idle_since(&self) -> Option<Instant> {
        let state = self.lock();
        let is_idle = state.running_requests == 0
            && state.unsent_responses == 0
            && state.head_since.is_none()
            && state.blocked_since.is_none();
        is_idle.then_some(state.idle_since)
    }

    fn deadline(&self) -> Option<Instant> {
        let state = self.lock();
        let write_deadline = state
            .blocked_since
            .map(|since| since + self.limits.write_timeout);
        let read_deadline = match state.head_since {
            _ if state.running_requests > 0 => None,
            Some(since) => Some(since + self.limits.header_timeout),
            None => Some(state.idle_since + self.limits.idle_timeout),
        };
        [write_deadline, read_deadline].into_iter().flatten().min()
    }

    pub(super) fn record_read(&self) {
        let mut state = self.lock();
        if state.running_requests == 0 && !state.is_http2 && state.head_since.is_none() {
            state.head_since = Some(Instant::now());
        }
    }

    fn record_write<T>(&self, poll: &Poll<T>) {
        let mut state = self.lock();
        if poll.is_ready() {
            state.blocked_since = None;
        } else if state.blocked_since.is_none() {
            state.blocked_since = Some(Instant::now());
        }
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionActivity> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kind of inactivity of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inactivity {
    /// The client has exceeded a limit.
    Stalled,
    /// The client may send another request.
    Idle,
}

/// A request whose response is not sent, until this is dropped.
#[derive(Debug)]
pub(super) struct RunningRequest {
    stall_guard: StallGuard,
    has_response: bool,
}

impl RunningRequest {
    /// Records the response: the request no longer runs, but its response is unsent.
    pub(super) fn record_response(&mut self) {
        let mut state = self.stall_guard.lock();
        state.running_requests -= 1;
        state.unsent_responses += 1;
        state.idle_since = Instant::now();
        self.has_response = true;
    }
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        let mut state = self.stall_guard.lock();
        if self.has_response {
            state.unsent_responses -= 1;
        } else {
            state.running_requests -= 1;
        }
        state.idle_since = Instant::now();
    }
}

/// A stream whose progress is recorded.
#[derive(Debug)]
pub(super) struct GuardedStream<S> {
    stream: S,
    stall_guard: StallGuard,
}

impl<S> GuardedStream<S> {
    pub(super) fn new(stream: S, stall_guard: StallGuard) -> Self {
        Self {
            stream,
            stall_guard,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for GuardedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.stall_guard.record_read();
        }
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for GuardedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.stall_guard.record_write(&poll);
        poll
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.stall_guard.record_write(&poll);
        poll
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // TLS takes bytes that the client does not accept yet.
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        self.stall_guard.record_write(&poll);
        poll
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
