//! A stream whose next bytes are read before hyper exists: they select the version of HTTP, and until they arrive
//! a connection needs no buffer.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::Bytes;
use poem::http::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// First bytes of an HTTP/2 connection (RFC 9113, 3.4).
const HTTP_2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes to read at once: enough for most heads, so that hyper's buffer need not grow.
const READ_AHEAD_BYTES: usize = 4 << 10;

/// A stream, and bytes that were read from it.
#[derive(Debug)]
pub(super) struct ReadAheadStream<S> {
    stream: S,
    ahead: Bytes,
    /// True once a client has sent something else than the preface of HTTP/2.
    is_http1: bool,
}

impl<S> ReadAheadStream<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            ahead: Bytes::new(),
            is_http1: false,
        }
    }

    /// Returns bytes to the stream that were read and not used.
    pub(super) fn put_back(&mut self, bytes: Bytes) {
        self.ahead = bytes;
    }

    /// Returns the version of the bytes so far, if they tell.
    fn version(&self) -> Option<Version> {
        if self.ahead.is_empty() {
            None
        } else if self.is_http1 {
            Some(Version::HTTP_11)
        } else if self.ahead.starts_with(HTTP_2_PREFACE) {
            Some(Version::HTTP_2)
        } else {
            let is_open = HTTP_2_PREFACE.starts_with(&self.ahead);
            (!is_open).then_some(Version::HTTP_11)
        }
    }
}

impl<S: AsyncRead + Unpin> ReadAheadStream<S> {
    /// Waits for the next bytes and returns their version of HTTP. Returns `None` at the end of the stream.
    ///
    /// # Errors
    /// When the stream cannot be read.
    pub(super) async fn next_version(&mut self) -> io::Result<Option<Version>> {
        let version = loop {
            if let Some(version) = self.version() {
                break version;
            }
            if poll_fn(|cx| self.poll_read_ahead(cx)).await? == 0 {
                if self.ahead.is_empty() {
                    return Ok(None);
                }
                break Version::HTTP_11;
            }
        };
        self.is_http1 = version != Version::HTTP_2;
        Ok(Some(version))
    }

    /// Reads some bytes, and returns how many.
    fn poll_read_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // On the stack: most polls read nothing.
        let mut bytes = [0; READ_AHEAD_BYTES];
        let mut buf = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
        self.ahead = Bytes::from([&self.ahead, buf.filled()].concat());
        Poll::Ready(Ok(buf.filled().len()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAheadStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let length = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead.split_to(length));
        if self.ahead.is_empty() {
            // What is empty may still hold the memory.
            self.ahead = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAheadStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
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
