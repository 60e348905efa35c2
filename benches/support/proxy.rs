//! A proxy between a server and PostgreSQL: it delays what passes, and counts round trips.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

/// Such a proxy, which ends when dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    to: SocketAddr,
    round_trips: Arc<AtomicU64>,
    _runtime: Runtime,
}

/// Bytes, and when they are due at the other side.
type Delayed = (Instant, Vec<u8>);

impl Proxy {
    /// Starts one on a thread of its own that delivers everything this much later, each way.
    pub(crate) fn start(to: SocketAddr, delay: Duration) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("the system gives threads");
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let listener = listener.expect("there are free ports");
        let address = listener.local_addr().expect("it is bound");
        let round_trips = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&round_trips);
        let inside = runtime.handle().clone();
        runtime.spawn(async move {
            loop {
                let (client, _) = listener.accept().await.expect("there are descriptors");
                let counter = Arc::clone(&counter);
                inside.spawn(async move {
                    // Either side may be gone at the end of a bench.
                    if let Ok(server) = TcpStream::connect(to).await {
                        connect(client, server, delay, &counter).await;
                    }
                });
            }
        });
        Self {
            address,
            to,
            round_trips,
            _runtime: runtime,
        }
    }

    /// Returns the URL of a database that is reached through the proxy.
    pub(crate) fn url(&self, database: &str) -> String {
        database.replace(&self.to.to_string(), &self.address.to_string())
    }

    /// Returns how often a response followed a request, on all connections together. Requests that are
    /// sent without waiting for each other's responses are one round trip.
    pub(crate) fn round_trips(&self) -> u64 {
        self.round_trips.load(Ordering::SeqCst)
    }
}

async fn connect(client: TcpStream, server: TcpStream, delay: Duration, round_trips: &AtomicU64) {
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("TCP has this option");
    }
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let (requests, requests_due) = unbounded_channel();
    let (responses, responses_due) = unbounded_channel();
    let is_asked = AtomicBool::new(false);
    tokio::join!(
        read(client_read, requests, delay, || is_asked
            .store(true, Ordering::SeqCst)),
        write(server_write, requests_due),
        read(server_read, responses, delay, || {
            if is_asked.swap(false, Ordering::SeqCst) {
                round_trips.fetch_add(1, Ordering::SeqCst);
            }
        }),
        write(client_write, responses_due),
    );
}

/// Reads until the other side ends or is gone; dropping the sender then ends the writer.
async fn read(
    mut from: impl AsyncRead + Unpin,
    to: UnboundedSender<Delayed>,
    delay: Duration,
    on_bytes: impl Fn(),
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        on_bytes();
        if to
            .send((Instant::now() + delay, buffer[..length].to_vec()))
            .is_err()
        {
            return;
        }
    }
}

async fn write(mut to: impl AsyncWrite + Unpin, mut due: UnboundedReceiver<Delayed>) {
    while let Some((at, bytes)) = due.recv().await {
        tokio::time::sleep_until(at).await;
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
