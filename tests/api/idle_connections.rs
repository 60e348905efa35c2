//! Memory of connections that wait for the next request, by Linux's files.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::Backend;
use crate::support::poll;
use crate::support::server::Replica;

/// Few enough for the usual limit on open files.
const CONNECTIONS: u64 = 400;
/// Three times the memory of a connection without buffers, and half of that with the buffers of a request.
const KIB_OF_IDLE_CONNECTION: u64 = 12;
/// Memory that the runtime and the allocator may keep of a connection that has left.
const KIB_OF_CLOSED_CONNECTION: u64 = 3;

/// Memory of the server that is not read from files, in KiB.
fn memory_kib(server: &Replica) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.unwrap().split_whitespace().next();
    number.unwrap().parse().unwrap()
}

async fn connect_and_ask(server: &Replica) -> TcpStream {
    let mut socket = TcpStream::connect(server.http.address()).await.unwrap();
    let request = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    socket.write_all(request).await.unwrap();
    let mut response = [0; 1024];
    let length = socket.read(&mut response).await.unwrap();
    assert!(response[..length].starts_with(b"HTTP/1.1 200 OK\r\n"));
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_need_little_memory_and_give_it_back() {
    // The allocator returns freed memory at once, not within ten seconds.
    let backend = Backend::sqlite().with("_RJEM_MALLOC_CONF", "dirty_decay_ms:0");
    let server = Replica::start(&backend).await;
    drop(connect_and_ask(&server).await);
    let before = memory_kib(&server);
    let grew_at_most = async |kib: u64| {
        let what = format!("at most {kib} KiB for each of {CONNECTIONS} connections");
        poll::until_some(&what, async || {
            (memory_kib(&server) <= before + kib * CONNECTIONS).then_some(())
        })
        .await;
    };

    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(connect_and_ask(&server).await);
    }
    grew_at_most(KIB_OF_IDLE_CONNECTION).await;

    for socket in &mut connections {
        let request = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
        socket.write_all(request).await.unwrap();
        assert!(socket.read(&mut [0; 1024]).await.unwrap() > 0);
    }
    drop(connections);
    grew_at_most(KIB_OF_CLOSED_CONNECTION).await;
}
