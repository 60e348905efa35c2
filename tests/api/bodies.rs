//! Bodies that are never finished, over HTTP/2, where one connection carries many.

use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use hyper::body::Bytes;
use poem::http::Request;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::http::Http;
use crate::support::local::InProcessServer;
use crate::support::{Backend, on_both, poll};

on_both! {
    unfinished_bodies_share_one_budget_and_are_freed_with_their_connections,
    anonymous_requests_and_unknown_paths_get_a_response_before_their_bodies_arrive,
}

/// A connection, which breaks when this is dropped.
struct Connection {
    client: SendRequest<Bytes>,
    _running: JoinSet<()>,
}

impl Connection {
    async fn open(server: &Http) -> Self {
        let socket = TcpStream::connect(server.address()).await.unwrap();
        let (client, connection) = h2::client::handshake(socket).await.unwrap();
        let mut running = JoinSet::new();
        running.spawn(async move {
            let _ended = connection.await;
        });
        Self {
            client,
            _running: running,
        }
    }

    /// Sends the head of a request and a part of its body, as far as the server takes it.
    async fn begin(
        &self,
        (method, path): (&str, &str),
        part: usize,
    ) -> (SendStream<Bytes>, ResponseFuture) {
        let mut client = self.client.clone().ready().await.unwrap();
        let request = Request::builder()
            .method(method)
            .uri(format!("http://localhost{path}"))
            .header("content-type", "application/json")
            .body(())
            .unwrap();
        let (response, mut body) = client.send_request(request, false).unwrap();
        // It may have been answered and reset already.
        let _sent = body.send_data(Bytes::from(vec![b' '; part]), false);
        (body, response)
    }
}

/// More than the budget: bodies of 33 kB, which take 64 KiB each, on 10 connections of 32 streams.
async fn unfinished_bodies_share_one_budget_and_are_freed_with_their_connections(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let (mut connections, mut halves, mut answers) = (Vec::new(), Vec::new(), JoinSet::new());
    for _ in 0..10 {
        let connection = Connection::open(&server.http).await;
        for _ in 0..32 {
            let (body, response) = connection.begin(("POST", "/v1/login"), 33_000).await;
            halves.push(body);
            answers.spawn(response);
        }
        connections.push(connection);
    }

    // 320 of these bodies would take 20 MiB, and the budget is 16.
    let refused = poll::until_some("bodies to be refused", async || answers.try_join_next()).await;
    let refused = refused.unwrap().unwrap();
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(
        refused.headers()["content-type"],
        "application/problem+json"
    );
    let meanwhile = alice.try_login(&alice.password).await;
    let is_deferred = meanwhile.status == 503 && meanwhile.header("retry-after") == "1";
    assert!(meanwhile.status == 200 || is_deferred, "{}", meanwhile.text);

    drop((connections, halves, answers));

    poll::until_some("a body in two pieces to be taken again", async || {
        let connection = Connection::open(&server.http).await;
        let (mut body, response) = connection.begin(("POST", "/v1/login"), 40_000).await;
        body.send_data(Bytes::from_static(b"{}"), true).ok()?;
        (response.await.ok()?.status() == 400).then_some(())
    })
    .await;
    alice.login().await.check().await.expect(200);
}

/// The rest of these bodies never comes.
async fn anonymous_requests_and_unknown_paths_get_a_response_before_their_bodies_arrive(
    backend: Backend,
) {
    let server = InProcessServer::start(&backend).await;
    let connection = Connection::open(&server.http).await;
    let requests = [
        (("POST", "/nowhere"), 404),
        (("POST", "/v1/nowhere"), 404),
        (("PUT", "/v1/login"), 405),
        (("GET", "/livez"), 200),
        (("GET", "/v1/me"), 401),
        (("DELETE", "/v1/me/sessions/x"), 401),
        (("POST", "/v1/users"), 401),
        (("PUT", "/v1/users/x/roles"), 401),
    ];

    for (request, status) in requests {
        let (_body, response) = connection.begin(request, 10).await;

        assert_eq!(response.await.unwrap().status(), status, "{request:?}");
    }
}
