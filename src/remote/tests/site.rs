//! An HTTP server in this process that can be killed, with every connection, and started again at the
//! same address.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use poem::listener::TcpListener;
use poem::{Endpoint, EndpointExt, Server};
use tokio::runtime::{Builder, Runtime};

pub(crate) struct Site {
    address: SocketAddr,
    /// Everything of the server runs on this, so that it all dies together.
    runtime: Option<Runtime>,
    asked: Arc<AtomicUsize>,
}

impl Site {
    /// Returns a site with an address at which nothing answers yet.
    pub(crate) fn new() -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            runtime: None,
            asked: Arc::default(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns how many requests have come in.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn serve(&mut self, endpoint: impl Endpoint + 'static) {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let asked = Arc::clone(&self.asked);
        let endpoint = endpoint.before(move |request| {
            asked.fetch_add(1, Ordering::SeqCst);
            async { Ok(request) }
        });
        let server = Server::new(TcpListener::bind(self.address));
        runtime.spawn(server.run(endpoint));
        // Whoever asks next must not be told that nobody listens.
        while std::net::TcpStream::connect(self.address).is_err() {
            std::thread::yield_now();
        }
        self.runtime = Some(runtime);
    }

    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A runtime may not be dropped where code is asynchronous.
impl Drop for Site {
    fn drop(&mut self) {
        self.kill();
    }
}
