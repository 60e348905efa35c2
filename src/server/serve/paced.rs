//! Detects stalled connections: a client that sends half a request, leaves its responses unread or stays
//! idle for too long is disconnected. Otherwise a few thousand such clients would hold every slot.
//!
//! [`Paced`] wraps the stream and records when bytes move, the server records when requests begin and end,
//! and [`Pace::overdue`] checks these records periodically. There is no timer per request.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::Limits;

/// Activity of one connection, and its limits. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    limits: Limits,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// Requests without a complete response.
    running: usize,
    /// HTTP/2 also sends frames that begin no request, so received bytes alone are no sign of one.
    is_http2: bool,
    /// End of the last request, or start of the connection.
    resting_since: Instant,
    /// Start of an incomplete request head. A new connection is expected to send one.
    head_since: Option<Instant>,
    /// Time since which the client reads nothing.
    blocked_since: Option<Instant>,
}

impl Pace {
    pub(super) fn new(limits: Limits) -> Self {
        let now = Instant::now();
        Self {
            limits,
            state: Arc::new(Mutex::new(State {
                running: 0,
                is_http2: false,
                resting_since: now,
                head_since: Some(now),
                blocked_since: None,
            })),
        }
    }

    /// Records that a request head is complete. The request runs until the returned value is dropped.
    pub(super) fn begin(&self, is_http2: bool) -> Running {
        let mut state = self.lock();
        state.running += 1;
        state.is_http2 = is_http2;
        state.head_since = None;
        drop(state);
        Running(self.clone())
    }

    pub(super) fn is_busy(&self) -> bool {
        self.lock().running > 0
    }

    /// Resolves when the client has exceeded a limit, up to half a header timeout late.
    pub(super) async fn overdue(&self) {
        loop {
            let now = Instant::now();
            let deadline = self.deadline();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return;
            }
            let next = now + (self.limits.header_timeout / 2).max(Duration::from_millis(10));
            tokio::time::sleep_until(deadline.map_or(next, |deadline| deadline.min(next))).await;
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let state = self.lock();
        let unread = state
            .blocked_since
            .map(|since| since + self.limits.write_timeout);
        let unsent = match state.head_since {
            _ if state.running > 0 => None,
            Some(since) => Some(since + self.limits.header_timeout),
            None => Some(state.resting_since + self.limits.idle_timeout),
        };
        [unread, unsent].into_iter().flatten().min()
    }

    fn received(&self) {
        let mut state = self.lock();
        if state.running == 0 && !state.is_http2 && state.head_since.is_none() {
            state.head_since = Some(Instant::now());
        }
    }

    fn sent<T>(&self, poll: &Poll<T>) {
        let mut state = self.lock();
        if poll.is_ready() {
            state.blocked_since = None;
        } else if state.blocked_since.is_none() {
            state.blocked_since = Some(Instant::now());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running request, until this is dropped.
#[derive(Debug)]
pub(super) struct Running(Pace);

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.running -= 1;
        state.resting_since = Instant::now();
    }
}

/// A stream whose progress is recorded.
#[derive(Debug)]
pub(super) struct Paced<S> {
    stream: S,
    pace: Pace,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S, pace: Pace) -> Self {
        Self { stream, pace }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.pace.received();
        }
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.pace.sent(&poll);
        poll
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.pace.sent(&poll);
        poll
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
