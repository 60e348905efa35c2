//! An HTTP server in this process that can be killed, with every connection, and restarted at the same
//! address.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use poem::listener::TcpAcceptor;
use poem::{Endpoint, EndpointExt, Server};
use tokio::runtime::{Builder, Runtime};

use crate::port;

pub(crate) struct Site {
    address: SocketAddr,
    /// Runs all tasks of the server, so that they end together.
    runtime: Option<Runtime>,
    asked: Arc<AtomicUsize>,
}

impl Site {
    /// Returns a site with an address at which nothing listens yet.
    pub(crate) fn new() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, port::free()).into(),
            runtime: None,
            asked: Arc::default(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the number of requests so far.
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

impl Drop for Site {
    fn drop(&mut self) {
        self.kill();
    }
}
