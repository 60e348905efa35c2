//! Connections whose buffers are freed between requests.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use tokio::io::AsyncWrite;

use super::super::stall_guard::{GuardedStream, StallGuard};
use super::*;

/// Sends `parts` one after the other, each when the server has processed the previous one, and returns the first
/// response.
async fn send_in_parts(server: &TestServer, parts: &[&[u8]]) -> (TcpStream, Vec<u8>) {
    let mut socket = server.connect().await;
    for part in parts {
        socket.write_all(part).await.unwrap();
        wait_until_processed(server).await;
    }
    let mut response = vec![0; 4096];
    let length = with_timeout(socket.read(&mut response)).await.unwrap();
    response.truncate(length);
    (socket, response)
}

#[tokio::test]
async fn a_connection_without_buffers_serves_the_next_request() {
    let server = TestServer::start(limits(), hello_endpoint()).await;
    let mut socket = server.connect().await;

    for _ in 0..3 {
        socket
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();

        let response = read_response(&mut socket).await;
        assert!(response.ends_with("\r\n\r\nhello"), "{response}");
        wait_until_processed(&server).await;
    }
}

#[tokio::test]
async fn the_beginning_of_the_next_request_outlives_the_buffers() {
    let server = TestServer::start(limits(), hello_endpoint()).await;
    let begun = b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HT";
    let (mut socket, first) = send_in_parts(&server, &[begun]).await;
    assert!(first.starts_with(b"HTTP/1.1 200"));
    wait_until_processed(&server).await;

    socket
        .write_all(b"TP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();

    let second = read_response(&mut socket).await;
    assert!(second.ends_with("\r\n\r\nhello"), "{second}");
}

#[tokio::test]
async fn the_beginning_of_the_next_request_has_the_timeout_of_a_head() {
    let limits = ConnectionLimits {
        header_timeout: SHORT_TIMEOUT,
        ..limits()
    };
    let server = TestServer::start(limits, hello_endpoint()).await;
    let begun = b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HT";
    let mut socket = server.connect().await;
    socket.write_all(begun).await.unwrap();

    let all = tokio::time::timeout(limits.idle_timeout, read_until_closed(&mut socket)).await;

    assert!(all.unwrap().starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_request_may_begin_like_the_preface_of_http_2() {
    let server = TestServer::start(limits(), hello_endpoint()).await;

    let (_socket, response) =
        send_in_parts(&server, &[b"P", b"RI / HTTP/1.1\r\nHost: x\r\n\r\n"]).await;

    assert!(response.starts_with(b"HTTP/1.1 "));
}

#[tokio::test]
async fn the_preface_of_http_2_may_arrive_in_parts() {
    let server = TestServer::start(limits(), hello_endpoint()).await;
    // The second frame is an empty one of settings.
    let rest = b" * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    let (_socket, response) = send_in_parts(&server, &[b"P", b"RI", rest]).await;

    let is_settings_frame = response.get(3) == Some(&4);
    assert!(is_settings_frame, "{response:?}");
}

#[tokio::test]
async fn a_connection_of_http_1_does_not_become_one_of_http_2() {
    let server = TestServer::start(limits(), hello_endpoint()).await;
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let (mut socket, _) = send_in_parts(&server, &[request]).await;

    socket
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();

    assert_eq!(read_until_closed(&mut socket).await, "");
}

/// A stream that takes bytes and cannot send them, as TLS does while its client does not read.
struct UnsentStream;

impl AsyncWrite for UnsentStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn a_connection_is_not_idle_before_its_response_is_flushed() {
    let stall_guard = StallGuard::new(limits());
    let mut stream = GuardedStream::new(UnsentStream, stall_guard.clone());
    drop(stall_guard.start_request(false));
    assert!(stall_guard.is_idle());

    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    assert!(stream.flush().now_or_never().is_none());

    assert!(!stall_guard.is_idle());
}
