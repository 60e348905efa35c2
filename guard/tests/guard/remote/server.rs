//! An HTTP server in this process that can be killed, with every connection, and restarted at the same
//! address.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use poem::listener::TcpAcceptor;
use poem::{Endpoint, EndpointExt, Server};
use tokio::runtime::{Builder, Runtime};

use test_support::port;

pub(crate) struct KillableServer {
    address: SocketAddr,
    /// Runs all tasks of the server, so that they end together.
    runtime: Option<Runtime>,
    request_count: Arc<AtomicUsize>,
}

impl KillableServer {
    /// Returns a site with an address at which nothing listens yet.
    pub(crate) fn new() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, port::free()).into(),
            runtime: None,
            request_count: Arc::default(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the number of requests so far.
    pub(crate) fn request_count(&self) -> usize {
        self.request_count.load(Ordering::SeqCst)
    }

    pub(crate) fn serve(&mut self, endpoint: impl Endpoint + 'static) {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let request_count = Arc::clone(&self.request_count);
        let endpoint = endpoint.before(move |request| {
            request_count.fetch_add(1, Ordering::SeqCst);
            async { Ok(request) }
        });
        // Bound here and not by the server: the next request must not be refused, and an address that is
        // still in use must fail the test.
        let listener = self.bind();
        listener.set_nonblocking(true).unwrap();
        let acceptor = {
            let _guard = runtime.enter();
            TcpAcceptor::from_std(listener).unwrap()
        };
        runtime.spawn(Server::new_with_acceptor(acceptor).run(endpoint));
        self.runtime = Some(runtime);
    }

    /// A child process that another test starts inherits open sockets until it executes its program, so
    /// the address may stay in use for a moment after the listener is closed.
    fn bind(&self) -> TcpListener {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match TcpListener::bind(self.address) {
                Ok(listener) => return listener,
                Err(error) => assert!(Instant::now() < deadline, "{}: {error}", self.address),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops the server, and returns when the listener and every connection are closed.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A runtime must not be dropped in asynchronous code.
            std::thread::spawn(move || drop(runtime)).join().unwrap();
        }
    }
}

impl Drop for KillableServer {
    fn drop(&mut self) {
        self.kill();
    }
}
