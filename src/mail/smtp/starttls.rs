//! The connection on which STARTTLS begins TLS.
//!
//! lettre reads ahead, and takes what it has read before TLS as responses inside TLS. Anyone on the network path could
//! add such responses, and a mail would count as accepted. So nothing is read ahead here: until TLS begins, a read
//! returns one byte. Added responses become a part of the TLS handshake, which fails.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// First byte of TLS (RFC 8446, section 5.1). No SMTP command begins with it.
const TLS_HANDSHAKE: u8 = 22;

/// A connection without TLS at first.
#[derive(Debug)]
pub(super) struct StartTlsStream {
    tcp: TcpStream,
    has_tls_begun: bool,
}

impl StartTlsStream {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self {
            tcp,
            has_tls_begun: false,
        }
    }
}

impl AsyncTokioStream for StartTlsStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.peer_addr()
    }
}

impl AsyncRead for StartTlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.has_tls_begun || buffer.remaining() == 0 {
            return Pin::new(&mut this.tcp).poll_read(context, buffer);
        }
        let mut byte = [0];
        let mut one = ReadBuf::new(&mut byte);
        ready!(Pin::new(&mut this.tcp).poll_read(context, &mut one))?;
        buffer.put_slice(one.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for StartTlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.has_tls_begun |= bytes.first() == Some(&TLS_HANDSHAKE);
        Pin::new(&mut this.tcp).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn nothing_is_read_ahead_before_tls() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connected, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let mut stream = StartTlsStream::new(connected.unwrap());
        let (mut server, _) = accepted.unwrap();
        server.write_all(b"220 ready\r\n250 added").await.unwrap();
        let mut buffer = [0; 64];

        for byte in b"220 ready\r\n" {
            assert_eq!(stream.read(&mut buffer).await.unwrap(), 1);
            assert_eq!(buffer[0], *byte);
        }
        stream.write_all(&[TLS_HANDSHAKE]).await.unwrap();
        let length = stream.read(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"250 added");
    }
}
