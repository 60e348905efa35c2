//! Bodies over HTTP/2, where one connection carries many.

use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use hyper::body::Bytes;
use poem::http::{Request, Response};

use super::*;
use crate::middleware::BodyBudget;

const BODY_LIMIT: usize = 64 << 10;

/// An HTTP/2 client that skips protocol negotiation.
struct Http2Client(SendRequest<Bytes>);

type OpenRequest = (SendStream<Bytes>, ResponseFuture);

impl Http2Client {
    async fn connect(server: &TestServer) -> Self {
        let (client, connection) = h2::client::handshake(server.connect().await).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "it ends with the client")]
        tokio::spawn(async move {
            let _ended = connection.await;
        });
        Self(client)
    }

    /// Sends the head of a request, and nothing of its body.
    async fn send_head(&mut self, method: &str, path: &str) -> OpenRequest {
        let request = Request::builder().method(method);
        let request = request.uri(format!("http://x{path}")).body(()).unwrap();
        self.0 = with_timeout(self.0.clone().ready()).await.unwrap();
        let (response, body) = self.0.send_request(request, false).unwrap();
        (body, response)
    }

    /// Sends a request with a body that is complete at once.
    async fn post(&mut self, path: &str, body: &'static str) -> Response<h2::RecvStream> {
        let (mut stream, response) = self.send_head("POST", path).await;
        stream
            .send_data(Bytes::from_static(body.as_bytes()), true)
            .unwrap();
        with_timeout(response).await.unwrap()
    }
}

/// Starts a server with this budget that echoes bodies at `/` and has a path `/none` that reads no body.
async fn start_server(budget: &BodyBudget) -> TestServer {
    let echo = make(|request: poem::Request| async move { request.into_body().into_bytes().await });
    let routes = Route::new()
        .at("/", poem::post(echo))
        .at("/none", poem::get(make_sync(|_| "none")));
    let layer =
        RequestLayer::new(&config(&[]), Lifecycle::default()).with_body_budget(budget.clone());
    TestServer::start(limits(), routes.with(layer)).await
}

async fn wait_until(what: &str, is_true: impl Fn() -> bool) {
    let waiting = async {
        while !is_true() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(TEST_TIMEOUT, waiting).await;
    assert!(waited.is_ok(), "waited for: {what}");
}

/// Waits for the status and `Retry-After` of a request whose body may still be incomplete.
async fn status(response: ResponseFuture) -> (u16, Option<String>) {
    let response = with_timeout(response).await.unwrap();
    let retry_after = response.headers().get("retry-after");
    let retry_after = retry_after.map(|value| value.to_str().unwrap().to_owned());
    (response.status().as_u16(), retry_after)
}

#[tokio::test]
async fn half_sent_bodies_of_all_connections_share_one_budget() {
    // Each body takes a kilobyte at least.
    let budget = BodyBudget::new(8 << 10);
    let server = start_server(&budget).await;
    let (mut clients, mut open_streams) = (Vec::new(), Vec::new());
    let mut responses = tokio::task::JoinSet::new();

    for _ in 0..3 {
        let mut client = Http2Client::connect(&server).await;
        for _ in 0..16 {
            let (mut stream, response) = client.send_head("POST", "/").await;
            stream.send_data(Bytes::from_static(b"x"), false).unwrap();
            open_streams.push(stream);
            responses.spawn(status(response));
        }
        clients.push(client);
    }

    for _ in 0..40 {
        let response = with_timeout(responses.join_next()).await.unwrap().unwrap();
        assert_eq!(response, (503, Some("1".to_owned())));
    }
    assert_eq!(budget.bytes_in_use(), 8 << 10);
    let mut other = Http2Client::connect(&server).await;
    let whole = other.post("/", "complete at once").await;
    assert_eq!(whole.status(), 200, "it takes nothing from the budget");

    drop((clients, open_streams, responses));
    wait_until("the budget to be free", || budget.bytes_in_use() == 0).await;
    let (mut stream, response) = other.send_head("POST", "/").await;
    stream
        .send_data(Bytes::from_static(b"in two "), false)
        .unwrap();
    wait_until("the first chunk to arrive", || budget.bytes_in_use() > 0).await;
    stream
        .send_data(Bytes::from_static(b"pieces"), true)
        .unwrap();
    assert_eq!(status(response).await.0, 200);
    wait_until("the budget to be free again", || budget.bytes_in_use() == 0).await;
}

#[tokio::test]
async fn a_request_that_needs_no_body_gets_its_response_before_the_body() {
    // Nothing can be buffered at all.
    let budget = BodyBudget::new(0);
    let server = start_server(&budget).await;
    let mut client = Http2Client::connect(&server).await;
    let table = [
        ("POST", "/nowhere", 404),
        ("PUT", "/", 405),
        ("GET", "/none", 200),
        ("DELETE", "/none", 405),
    ];

    // More requests than one connection may have open at once: refused ones must free their streams.
    for _ in 0..20 {
        for (method, path, expected) in table {
            let (mut stream, response) = client.send_head(method, path).await;
            let sent = stream.send_data(Bytes::from(vec![b'x'; 8 << 10]), false);
            // The server may have responded and reset the stream before.
            drop(sent);
            assert_eq!(status(response).await.0, expected, "{method} {path}");
        }
    }

    assert_eq!(client.post("/", "hello").await.status(), 200);
}

#[tokio::test]
async fn a_connection_has_few_streams_and_small_windows() {
    let server = start_server(&BodyBudget::new(BODY_LIMIT)).await;
    let mut client = Http2Client::connect(&server).await;

    let (mut stream, response) = client.send_head("POST", "/").await;
    stream.send_data(Bytes::from_static(b"x"), true).unwrap();
    assert_eq!(status(response).await.0, 200);

    let streams = client.0.current_max_send_streams();
    assert_eq!(
        streams,
        usize::try_from(MAX_STREAMS_PER_CONNECTION).unwrap()
    );
    assert!(streams <= 32);
    let (mut stream, _response) = client.send_head("POST", "/nowhere").await;
    stream.reserve_capacity(1 << 20);
    assert!(stream.capacity() <= usize::try_from(STREAM_WINDOW_BYTES).unwrap());
    stream.send_reset(Reason::CANCEL);
}

#[tokio::test]
async fn after_an_early_error_over_http_1_the_connection_is_usable() {
    let server = start_server(&BodyBudget::new(BODY_LIMIT)).await;
    let mut socket = server.connect().await;

    for _ in 0..2 {
        socket
            .write_all(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
            .await
            .unwrap();
        socket.write_all(b"12345").await.unwrap();
        assert!(read_response(&mut socket).await.starts_with("HTTP/1.1 404"));
    }
}
