use std::sync::atomic::{AtomicUsize, Ordering};

use poem::{get, handler};

use super::*;

#[tokio::test]
async fn a_stopping_server_finishes_running_requests_and_accepts_no_connections() {
    let (started, proceed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let endpoint = {
        let (started, proceed) = (Arc::clone(&started), Arc::clone(&proceed));
        make(move |_| {
            let (started, proceed) = (Arc::clone(&started), Arc::clone(&proceed));
            async move {
                started.notify_one();
                proceed.notified().await;
                "done"
            }
        })
    };
    let server = TestServer::start(limits(), endpoint).await;
    let address = server.address;
    let lifecycle = server.lifecycle.clone();
    let mut socket = server.connect().await;
    socket
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    with_timeout(started.notified()).await;
    server.stop.send(()).unwrap();
    with_timeout(lifecycle.wait_until_closing()).await;
    assert!(lifecycle.is_draining());
    assert!(TcpStream::connect(address).await.is_err());

    proceed.notify_one();

    let response = read_until_closed(&mut socket).await;
    assert!(
        response.starts_with("HTTP/1.1 200") && response.ends_with("done"),
        "{response}"
    );
    with_timeout(server.stopped).await.unwrap();
}

#[tokio::test]
async fn a_stop_does_not_wait_for_idle_connections() {
    let server = TestServer::start(limits(), hello_endpoint()).await;
    let mut socket = server.connect().await;
    socket
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    assert!(read_response(&mut socket).await.starts_with("HTTP/1.1 200"));

    server.stop().await;

    assert_eq!(read_until_closed(&mut socket).await, "");
}

#[tokio::test]
async fn a_change_runs_to_completion_when_the_client_disconnects() {
    static FINISHED: AtomicUsize = AtomicUsize::new(0);
    static STARTED: Notify = Notify::const_new();
    static PROCEED: Notify = Notify::const_new();
    #[handler]
    async fn change() -> &'static str {
        STARTED.notify_one();
        PROCEED.notified().await;
        FINISHED.fetch_add(1, Ordering::SeqCst);
        "changed"
    }
    let lifecycle = Lifecycle::default();
    let layer = RequestLayer::new(&config(&[]), lifecycle.clone());
    let endpoint = Route::new().at("/", get(change).post(change)).with(layer);
    let server = TestServer::start(limits(), endpoint).await;
    let mut socket = server.connect().await;
    socket
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    with_timeout(STARTED.notified()).await;

    drop(socket);
    wait_until_processed(&server).await;
    PROCEED.notify_one();
    server.stop().await;

    lifecycle.start_closing();
    with_timeout(lifecycle.work_finished()).await;
    assert_eq!(FINISHED.load(Ordering::SeqCst), 1);
}
