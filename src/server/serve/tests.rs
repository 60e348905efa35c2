use poem::endpoint::{make, make_sync};
use poem::{EndpointExt, Route};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};

use super::*;
use crate::server::envelope::Envelope;

mod bodies;
mod stopping;
mod tls;

const SHORT: Duration = Duration::from_millis(100);
/// Far longer than anything here takes; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(20);

fn limits() -> Limits {
    Limits {
        header_timeout: PATIENCE,
        write_timeout: PATIENCE,
        idle_timeout: PATIENCE,
        max_connections: 100,
        drain_delay: Duration::ZERO,
        drain_timeout: PATIENCE,
    }
}

struct Running {
    address: SocketAddr,
    lifecycle: Lifecycle,
    stop: oneshot::Sender<()>,
    stopped: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn start(limits: Limits, endpoint: impl Endpoint + 'static) -> Self {
        Self::start_with(None, limits, endpoint).await
    }

    async fn start_with(
        tls: Option<TlsAcceptor>,
        limits: Limits,
        endpoint: impl Endpoint + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let lifecycle = Lifecycle::default();
        let server = Server {
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
        patiently(self.stopped).await.unwrap();
    }
}

async fn patiently<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE * 3, future).await.unwrap()
}

/// Returns everything that the server sends until it closes the connection.
async fn rest(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = patiently(socket.read_to_end(&mut bytes)).await;
    assert!(read.is_ok() || bytes.is_empty(), "{read:?}");
    String::from_utf8(bytes).unwrap()
}

async fn answer(socket: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4096];
    let length = patiently(socket.read(&mut bytes)).await.unwrap();
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

fn hello() -> impl Endpoint + 'static {
    Route::new().at("/", make_sync(|_| "hello"))
}

#[tokio::test]
async fn a_head_that_is_never_finished_is_cut_off() {
    let limits = Limits {
        header_timeout: SHORT,
        ..limits()
    };
    let server = Running::start(limits, hello()).await;
    let mut socket = server.connect().await;

    socket
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n")
        .await
        .unwrap();

    assert_eq!(rest(&mut socket).await, "");
}

#[tokio::test]
async fn a_second_head_that_is_never_finished_is_cut_off_before_the_idle_time() {
    let limits = Limits {
        header_timeout: SHORT,
        ..limits()
    };
    let server = Running::start(limits, hello()).await;
    let mut socket = server.connect().await;
    socket
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    assert!(answer(&mut socket).await.starts_with("HTTP/1.1 200"));

    socket.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();

    assert_eq!(rest(&mut socket).await, "");
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_cut_off() {
    let limits = Limits {
        header_timeout: SHORT,
        ..limits()
    };
    let server = Running::start(limits, hello()).await;
    let mut socket = server.connect().await;

    assert_eq!(rest(&mut socket).await, "");
}

#[tokio::test]
async fn a_connection_may_rest_longer_than_a_head_may_take_but_not_for_ever() {
    let limits = Limits {
        header_timeout: SHORT,
        idle_timeout: SHORT * 20,
        ..limits()
    };
    let server = Running::start(limits, hello()).await;
    let mut socket = server.connect().await;

    for _ in 0..2 {
        socket
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        assert!(answer(&mut socket).await.starts_with("HTTP/1.1 200"));
        tokio::time::sleep(SHORT * 2).await;
    }

    assert_eq!(rest(&mut socket).await, "");
}

#[tokio::test]
async fn a_body_that_is_never_finished_is_answered_408() {
    let config = config(&[("LATCHET_REQUEST_TIMEOUT", "100ms")]);
    let read = make(|request: poem::Request| async move { request.into_body().into_bytes().await });
    let endpoint = read.with(Envelope::new(&config, Lifecycle::default()));
    let server = Running::start(limits(), endpoint).await;
    let mut socket = server.connect().await;

    socket
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12")
        .await
        .unwrap();

    let answer = rest(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains(r#""code":"request_timeout""#), "{answer}");
}

/// Returns once the server has handled all earlier input, such as the end of another connection.
async fn all_is_seen(server: &Running) {
    let mut socket = server.connect().await;
    socket
        .write_all(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    assert!(answer(&mut socket).await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn a_client_that_has_said_all_is_answered() {
    static GO_ON: Notify = Notify::const_new();
    let slow = make(|_| async {
        GO_ON.notified().await;
        "late"
    });
    let server = Running::start(limits(), Route::new().at("/", slow)).await;
    let mut socket = server.connect().await;
    socket
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();

    socket.shutdown().await.unwrap();
    all_is_seen(&server).await;
    GO_ON.notify_one();

    let answer = rest(&mut socket).await;
    assert!(answer.ends_with("late"), "{answer}");
}

/// Connects with a small receive buffer: the kernel would buffer many megabytes for a client that does not
/// read.
async fn with_little_room(address: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address).await.unwrap()
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_is_cut_off() {
    let limits = Limits {
        write_timeout: SHORT,
        header_timeout: SHORT,
        ..limits()
    };
    let endpoint = make_sync(|_| "x".repeat(32 << 20));
    let server = Running::start(limits, endpoint).await;
    let mut socket = with_little_room(server.address).await;
    socket
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(socket.read_u8().await.unwrap(), b'H');

    patiently(server.lifecycle.work_is_complete()).await;
    let mut bytes = Vec::new();
    let _ = patiently(socket.read_to_end(&mut bytes)).await;
    assert!(bytes.len() < 32 << 20);
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_a_slot() {
    let limits = Limits {
        max_connections: 1,
        ..limits()
    };
    let server = Running::start(limits, hello()).await;
    let mut first = server.connect().await;
    first
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    assert!(answer(&mut first).await.starts_with("HTTP/1.1 200"));
    let mut second = server.connect().await;
    second
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut byte = [0];
    let waited = tokio::time::timeout(SHORT, second.read(&mut byte)).await;
    assert!(waited.is_err(), "the second connection was served too");

    drop(first);

    assert!(answer(&mut second).await.starts_with("HTTP/1.1 200"));
}

fn config(env: &[(&str, &str)]) -> Config {
    let env = env
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Config::load(["latchet"], env).unwrap()
}
