//! Responses to requests whose head cannot be read.
//!
//! hyper sends them itself, as a status without a body, and calls no handler. [`HeadErrorStream`] is the stream
//! below hyper: it recognises such a response, replaces it with one that describes the fault, and writes a
//! log line. Afterwards it reads and discards what the client still sends, for a moment: if the connection
//! were closed while the client still sends, the client might never see the response.

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use poem::http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::middleware::unreadable_head_response;

/// Time for the rest of a refused head to arrive.
const DISCARD_TIMEOUT: Duration = Duration::from_millis(250);
/// Bytes that are discarded at a time.
const DISCARD_CHUNK_BYTES: usize = 8 << 10;

/// A stream that adds a body to hyper's responses to unreadable heads.
#[derive(Debug)]
pub(super) struct HeadErrorStream<S> {
    stream: S,
    peer: IpAddr,
    /// True once the request line has arrived: until then it is the URI that is too long.
    has_first_line: bool,
    error_response: Option<ErrorResponse>,
}

/// The response that replaces hyper's.
#[derive(Debug)]
struct ErrorResponse {
    bytes: Vec<u8>,
    sent: usize,
    discarding: Option<Pin<Box<Sleep>>>,
}

impl<S> HeadErrorStream<S> {
    pub(super) fn new(stream: S, peer: IpAddr) -> Self {
        Self {
            stream,
            peer,
            has_first_line: false,
            error_response: None,
        }
    }

    fn error_response(&self, status: StatusCode) -> ErrorResponse {
        let status = match status {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE if !self.has_first_line => {
                StatusCode::URI_TOO_LONG
            }
            status => status,
        };
        ErrorResponse {
            bytes: unreadable_head_response(status, self.peer),
            sent: 0,
            discarding: None,
        }
    }
}

impl<S: AsyncWrite + Unpin> HeadErrorStream<S> {
    /// Sends the rest of the response, and then reports that `replaced` bytes of hyper's were sent.
    fn poll_error_response(
        &mut self,
        cx: &mut Context<'_>,
        replaced: usize,
    ) -> Poll<io::Result<usize>> {
        let Some(error_response) = &mut self.error_response else {
            return Poll::Ready(Ok(replaced));
        };
        while error_response.sent < error_response.bytes.len() {
            let rest = &error_response.bytes[error_response.sent..];
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => error_response.sent += sent,
            }
        }
        Poll::Ready(Ok(replaced))
    }
}

/// Returns the status of a response that hyper generated itself: it has no body, and no request id as ours
/// have.
fn hyper_error_status(response: &[u8]) -> Option<StatusCode> {
    let status = response.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let status = StatusCode::from_bytes(status).ok()?;
    let is_of_head = matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::URI_TOO_LONG
            | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
    let head = std::str::from_utf8(response).ok().filter(|_| is_of_head)?;
    let head = head.strip_suffix("\r\n\r\n")?;
    let is_ours = head.contains("\r\n\r\n") || head.contains("\r\nx-request-id:");
    (!is_ours).then_some(status)
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadErrorStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(cx, buf);
        if !self.has_first_line {
            self.has_first_line = buf.filled()[before..].contains(&b'\n');
        }
        poll
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for HeadErrorStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.error_response.is_none() {
            let Some(status) = hyper_error_status(bytes) else {
                self.has_first_line = false;
                return Pin::new(&mut self.stream).poll_write(cx, bytes);
            };
            self.error_response = Some(self.error_response(status));
        }
        self.poll_error_response(cx, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut filled = slices.iter().filter(|slice| !slice.is_empty());
        if let (Some(only), None) = (filled.next(), filled.next()) {
            return self.poll_write(cx, only);
        }
        self.has_first_line = false;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
        let this = &mut *self;
        let Some(error_response) = &mut this.error_response else {
            return Poll::Ready(shut);
        };
        let discarding = error_response
            .discarding
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(DISCARD_TIMEOUT)));
        let mut chunk = [0; DISCARD_CHUNK_BYTES];
        while discarding.as_mut().poll(cx).is_pending() {
            let mut buf = ReadBuf::new(&mut chunk);
            let read = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buf));
            if read.is_err() || buf.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(shut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_responses_of_hyper_are_recognized() {
        for (response, status) in [
            (
                "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
                Some(431),
            ),
            (
                "HTTP/1.1 414 URI Too Long\r\ncontent-length: 0\r\n\r\n",
                Some(414),
            ),
            (
                "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
                Some(400),
            ),
            (
                "HTTP/1.1 400 Bad Request\r\nx-request-id: a\r\ncontent-length: 0\r\n\r\n",
                None,
            ),
            (
                "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}",
                None,
            ),
            ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\n\r\n", None),
            ("", None),
            ("\0\0\0", None),
        ] {
            let found = hyper_error_status(response.as_bytes());

            assert_eq!(found.map(|status| status.as_u16()), status, "{response}");
        }
    }
}
