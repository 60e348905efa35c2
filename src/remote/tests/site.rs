//! An HTTP server in this process that can be killed, with every connection, and started again at the
//! same address.

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
    /// Everything of the server runs on this, so that it all dies together.
    runtime: Option<Runtime>,
    asked: Arc<AtomicUsize>,
}

impl Site {
    /// Returns a site with an address at which nothing answers yet.
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
        // Bound here and not by the server: whoever asks next must not be told that nobody listens,
        // and an address that is still taken must fail the test.
        let listener = self.bind();
        listener.set_nonblocking(true).unwrap();
        let acceptor = {
            let _guard = runtime.enter();
            TcpAcceptor::from_std(listener).unwrap()
        };
        runtime.spawn(Server::new_with_acceptor(acceptor).run(endpoint));
        self.runtime = Some(runtime);
    }

    /// A process that another test is starting has what was open here until it runs its own program,
    /// so the address may be taken for a moment longer than the listener lived.
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

    /// Returns once the listener and every connection are closed.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A runtime may not be waited for where code is asynchronous.
            std::thread::spawn(move || drop(runtime)).join().unwrap();
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.kill();
    }
}
