//! A faulty network: a small TCP proxy in front of any server.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// Treatment of new bytes by the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkFault {
    /// Passes everything on.
    Fair,
    /// Passes requests on and swallows the answers, then cuts the connection.
    LoseAnswers,
    /// Keeps connections open and passes nothing on, in either direction.
    Hang,
    /// Cuts every connection, old and new.
    Cut,
    /// Passes everything on after a pause.
    Slow(Duration),
}

/// A proxy on its own port. Dropping it cuts every connection.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    target: String,
    weather: watch::Sender<NetworkFault>,
    lost: Mutex<Vec<u8>>,
    more_lost: Notify,
}

impl Proxy {
    /// Starts a proxy before `target`, in fair weather.
    pub async fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback can be bound");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            target: target.to_owned(),
            weather: watch::Sender::new(NetworkFault::Fair),
            lost: Mutex::default(),
            more_lost: Notify::new(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            _tasks: tasks,
        }
    }

    /// Returns host and port.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Sets the fault for all new bytes.
    pub fn set(&self, weather: NetworkFault) {
        self.shared.weather.send_replace(weather);
    }

    /// Waits until a response was swallowed and returns its first part.
    pub async fn lost(&self) -> String {
        let wait = async {
            loop {
                let more = self.shared.more_lost.notified();
                let bytes = self.shared.lost.lock().expect("no holder panics").clone();
                if !bytes.is_empty() {
                    return String::from_utf8_lossy(&bytes).into_owned();
                }
                more.await;
            }
        };
        tokio::time::timeout(crate::poll::DEADLINE, wait)
            .await
            .expect("an answer comes and is lost")
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener
            .accept()
            .await
            .expect("loopback can be accepted from");
        if *shared.weather.borrow() != NetworkFault::Cut {
            connections.spawn(connect(client, Arc::clone(&shared)));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(client: TcpStream, shared: Arc<Shared>) {
    let Ok(server) = TcpStream::connect(&shared.target).await else {
        return;
    };
    drop((client.set_nodelay(true), server.set_nodelay(true)));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut weather = shared.weather.subscribe();
    tokio::select! {
        () = pass(from_client, to_server, &shared, Direction::Request) => {}
        () = pass(from_server, to_client, &shared, Direction::HttpResponse) => {}
        _ = weather.wait_for(|now| *now == NetworkFault::Cut) => {}
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Request,
    HttpResponse,
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    shared: &Shared,
    direction: Direction,
) {
    let mut weather = shared.weather.subscribe();
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let now = *weather.borrow_and_update();
        match now {
            NetworkFault::LoseAnswers if direction == Direction::HttpResponse => {
                shared
                    .lost
                    .lock()
                    .expect("no holder panics")
                    .extend_from_slice(&buffer[..count]);
                shared.more_lost.notify_waiters();
                return;
            }
            NetworkFault::Hang => {
                drop(weather.wait_for(|now| *now != NetworkFault::Hang).await);
            }
            NetworkFault::Slow(pause) => tokio::time::sleep(pause).await,
            NetworkFault::Fair | NetworkFault::LoseAnswers | NetworkFault::Cut => {}
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
