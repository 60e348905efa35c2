use std::net::SocketAddr;

use poem::endpoint::{make, make_sync};
use poem::{EndpointExt, Route};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};

use super::*;
use crate::middleware::RequestLayer;

mod bodies;
mod idle;
mod stopping;
mod tls;

const SHORT_TIMEOUT: Duration = Duration::from_millis(100);
/// Far longer than anything here takes; only a failing test waits that long.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);

fn limits() -> ConnectionLimits {
    ConnectionLimits {
        header_timeout: TEST_TIMEOUT,
        write_timeout: TEST_TIMEOUT,
        idle_timeout: TEST_TIMEOUT,
        // Every test frees and creates the buffers often.
        keep_buffers: Duration::ZERO,
        max_connections: 100,
        drain_delay: Duration::ZERO,
        drain_timeout: TEST_TIMEOUT,
    }
}

struct TestServer {
    address: SocketAddr,
    lifecycle: Lifecycle,
    stop: oneshot::Sender<()>,
    stopped: tokio::task::JoinHandle<()>,
}

impl TestServer {
    async fn start(limits: ConnectionLimits, endpoint: impl Endpoint + 'static) -> Self {
        Self::start_with(None, limits, endpoint).await
    }

    async fn start_with(
        tls: Option<TlsAcceptor>,
        limits: ConnectionLimits,
        endpoint: impl Endpoint + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let lifecycle = Lifecycle::default();
        let server = HttpServer {
            listener,
            tls,
            limits,
            lifecycle: lifecycle.clone(),
        };
        let (stop, stopping) = oneshot::channel::<()>();
        #[expect(clippy::disallowed_methods, reason = "`stopped` is awaited")]
        let stopped = tokio::spawn(server.run(endpoint, async {
            let _ = stopping.await;
        }));
        Self {
            address,
            lifecycle,
            stop,
            stopped,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        with_timeout(self.stopped).await.unwrap();
    }
}

async fn with_timeout<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(TEST_TIMEOUT * 3, future)
        .await
        .unwrap()
}

/// Returns everything that the server sends until it closes the connection.
async fn read_until_closed(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = with_timeout(socket.read_to_end(&mut bytes)).await;
    assert!(read.is_ok() || bytes.is_empty(), "{read:?}");
    String::from_utf8(bytes).unwrap()
}

async fn read_response(socket: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4096];
    let length = with_timeout(socket.read(&mut bytes)).await.unwrap();
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

fn hello_endpoint() -> impl Endpoint + 'static {
    Route::new().at("/", make_sync(|_| "hello"))
}

#[tokio::test]
async fn an_incomplete_head_times_out() {
    let limits = ConnectionLimits {
        header_timeout: SHORT_TIMEOUT,
        ..limits()
    };
    let server = TestServer::start(limits, hello_endpoint()).await;
    let mut socket = server.connect().await;

    socket
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n")
        .await
        .unwrap();

    assert_eq!(read_until_closed(&mut socket).await, "");
}

#[tokio::test]
async fn an_incomplete_second_head_times_out_before_the_idle_timeout() {
    let limits = ConnectionLimits {
        header_timeout: SHORT_TIMEOUT,
        ..limits()
    };
    let server = TestServer::start(limits, hello_endpoint()).await;
    let mut socket = server.connect().await;
    socket
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    assert!(read_response(&mut socket).await.starts_with("HTTP/1.1 200"));

    socket.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();

    assert_eq!(read_until_closed(&mut socket).await, "");
}

#[tokio::test]
async fn a_silent_connection_times_out() {
    let limits = ConnectionLimits {
        header_timeout: SHORT_TIMEOUT,
        ..limits()
    };
    let server = TestServer::start(limits, hello_endpoint()).await;
    let mut socket = server.connect().await;

    assert_eq!(read_until_closed(&mut socket).await, "");
}

#[tokio::test]
async fn an_idle_connection_has_its_own_longer_timeout() {
    let limits = ConnectionLimits {
        header_timeout: SHORT_TIMEOUT,
        idle_timeout: SHORT_TIMEOUT * 20,
        ..limits()
    };
    let server = TestServer::start(limits, hello_endpoint()).await;
    let mut socket = server.connect().await;

    for _ in 0..2 {
        socket
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        assert!(read_response(&mut socket).await.starts_with("HTTP/1.1 200"));
        tokio::time::sleep(SHORT_TIMEOUT * 2).await;
    }

    assert_eq!(read_until_closed(&mut socket).await, "");
}

#[tokio::test]
async fn an_incomplete_body_gets_408() {
    let config = config(&[("LATCHET_REQUEST_TIMEOUT", "100ms")]);
    let read = make(|request: poem::Request| async move { request.into_body().into_bytes().await });
    let endpoint = read.with(RequestLayer::new(&config, Lifecycle::default()));
    let server = TestServer::start(limits(), endpoint).await;
    let mut socket = server.connect().await;

    socket
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12")
        .await
        .unwrap();

    let response = read_until_closed(&mut socket).await;
    assert!(response.starts_with("HTTP/1.1 408"), "{response}");
    assert!(
        response.contains(r#""code":"request_timeout""#),
        "{response}"
    );
}

/// Returns once the server has handled all earlier input, such as the end of another connection.
async fn wait_until_processed(server: &TestServer) {
    let mut socket = server.connect().await;
    socket
        .write_all(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    assert!(read_response(&mut socket).await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn a_client_that_closes_its_side_gets_its_response() {
    static PROCEED: Notify = Notify::const_new();
    let slow = make(|_| async {
        PROCEED.notified().await;
        "late"
    });
    let server = TestServer::start(limits(), Route::new().at("/", slow)).await;
    let mut socket = server.connect().await;
    socket
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();

    socket.shutdown().await.unwrap();
    wait_until_processed(&server).await;
    PROCEED.notify_one();

    let response = read_until_closed(&mut socket).await;
    assert!(response.ends_with("late"), "{response}");
}

/// Connects with a small receive buffer: the kernel would buffer many megabytes for a client that does not
/// read.
async fn connect_with_small_buffer(address: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address).await.unwrap()
}

#[tokio::test]
async fn a_client_that_does_not_read_its_responses_is_disconnected() {
    let limits = ConnectionLimits {
        write_timeout: SHORT_TIMEOUT,
        header_timeout: SHORT_TIMEOUT,
        ..limits()
    };
    let endpoint = make_sync(|_| "x".repeat(32 << 20));
    let server = TestServer::start(limits, endpoint).await;
    let mut socket = connect_with_small_buffer(server.address).await;
    socket
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(socket.read_u8().await.unwrap(), b'H');

    with_timeout(server.lifecycle.close_and_finish_work()).await;
    let mut bytes = Vec::new();
    let _ = with_timeout(socket.read_to_end(&mut bytes)).await;
    assert!(bytes.len() < 32 << 20);
}

#[tokio::test]
async fn connections_above_the_limit_wait_for_a_slot() {
    let limits = ConnectionLimits {
        max_connections: 1,
        ..limits()
    };
    let server = TestServer::start(limits, hello_endpoint()).await;
    let mut first = server.connect().await;
    first
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    assert!(read_response(&mut first).await.starts_with("HTTP/1.1 200"));
    let mut second = server.connect().await;
    second
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut byte = [0];
    let waited = tokio::time::timeout(SHORT_TIMEOUT, second.read(&mut byte)).await;
    assert!(waited.is_err(), "the second connection was served too");

    drop(first);

    assert!(read_response(&mut second).await.starts_with("HTTP/1.1 200"));
}

fn config(env: &[(&str, &str)]) -> Config {
    let env = env
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Config::load(["latchet"], env).unwrap()
}
