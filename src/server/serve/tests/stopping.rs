use std::sync::atomic::{AtomicUsize, Ordering};

use poem::{get, handler};

use super::*;

#[tokio::test]
async fn a_stop_lets_a_running_request_finish_and_takes_no_new_connections() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let endpoint = {
        let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
        make(move |_| {
            let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
            async move {
                begun.notify_one();
                go_on.notified().await;
                "done"
            }
        })
    };
    let server = Running::start(limits(), endpoint).await;
    let address = server.address;
    let lifecycle = server.lifecycle.clone();
    let mut socket = server.connect().await;
    socket
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    patiently(begun.notified()).await;
    server.stop.send(()).unwrap();
    patiently(lifecycle.closing()).await;
    assert!(lifecycle.is_draining());
    assert!(TcpStream::connect(address).await.is_err());

    go_on.notify_one();

    let answer = rest(&mut socket).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"),
        "{answer}"
    );
    patiently(server.stopped).await.unwrap();
}

#[tokio::test]
async fn a_stop_does_not_wait_for_resting_connections() {
    let server = Running::start(limits(), hello()).await;
    let mut socket = server.connect().await;
    socket
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    assert!(answer(&mut socket).await.starts_with("HTTP/1.1 200"));

    server.stop().await;

    assert_eq!(rest(&mut socket).await, "");
}

#[tokio::test]
async fn what_changes_something_is_finished_when_the_client_hangs_up() {
    static FINISHED: AtomicUsize = AtomicUsize::new(0);
    static BEGUN: Notify = Notify::const_new();
    static GO_ON: Notify = Notify::const_new();
    #[handler]
    async fn change() -> &'static str {
        BEGUN.notify_one();
        GO_ON.notified().await;
        FINISHED.fetch_add(1, Ordering::SeqCst);
        "changed"
    }
    let lifecycle = Lifecycle::default();
    let envelope = Envelope::new(&config(&[]), lifecycle.clone());
    let endpoint = Route::new()
        .at("/", get(change).post(change))
        .with(envelope);
    let server = Running::start(limits(), endpoint).await;
    let mut socket = server.connect().await;
    socket
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    patiently(BEGUN.notified()).await;

    drop(socket);
    all_is_seen(&server).await;
    GO_ON.notify_one();
    server.stop().await;

    lifecycle.close();
    patiently(lifecycle.finished()).await;
    assert_eq!(FINISHED.load(Ordering::SeqCst), 1);
}
