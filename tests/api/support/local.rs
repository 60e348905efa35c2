//! The server in this process: the same routes and the same accept loop as the program's, with a
//! clock that tests may move.

use std::time::Duration;

use latchet::config::Config;
use latchet::serve::{ConnectionLimits, HttpServer, Lifecycle};
use latchet::{App, OpenError, routes};
use latchet_guard::clock::Clock;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::backend::Backend;
use super::http::Http;
use super::poll;

/// A server in this process. Dropping it stops it without waiting.
#[derive(Debug)]
pub(crate) struct InProcessServer {
    pub(crate) http: Http,
    app: App,
    stop: oneshot::Sender<()>,
    running: JoinSet<()>,
    _backend: Backend,
}

impl InProcessServer {
    /// Starts a server on `backend` and waits until it is ready.
    pub(crate) async fn start(backend: &Backend) -> Self {
        log();
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback can be bound");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let arguments = ["latchet".to_owned(), format!("--listen={address}")];
        let config = Config::load(arguments, backend.settings().clone())
            .unwrap_or_else(|error| panic!("the settings are refused: {error}"));
        // The tasks of a server that was dropped end a moment later, and hold the lock of its file until then.
        let app = poll::until_some("the server to open", async || {
            match App::open(config.clone(), Clock::system()).await {
                Err(OpenError::Lock(_)) => None,
                opened => Some(opened.expect("the server opens")),
            }
        })
        .await;
        app.accounts
            .create_configured_administrator(&app.config)
            .await
            .expect("the first administrator is created");

        let lifecycle = Lifecycle::default();
        let server = HttpServer {
            listener,
            tls: None,
            limits: ConnectionLimits::from(&app.config),
            lifecycle: lifecycle.clone(),
        };
        let (stop, stopped) = oneshot::channel();
        let endpoint = routes(&app, lifecycle);
        let mut running = app.spawn_background_tasks();
        running.spawn(server.run(endpoint, async {
            drop(stopped.await);
        }));
        let local = Self {
            http: Http::new(format!("http://{address}")),
            app,
            stop,
            running,
            _backend: backend.clone(),
        };
        local.http.ready().await;
        local
    }

    /// Lets `time` pass on the server's clock.
    pub(crate) fn pass(&self, time: Duration) {
        self.app
            .clock
            .shift(i64::try_from(time.as_millis()).expect("tests are shorter than that"));
    }

    /// Sets the clock back after [`Self::pass`].
    pub(crate) fn set_back(&self, time: Duration) {
        self.app
            .clock
            .shift(-i64::try_from(time.as_millis()).expect("tests are shorter than that"));
    }

    /// Returns the secret of the link that makes the first administrator.
    pub(crate) async fn setup_link(&self) -> String {
        let link = self
            .app
            .accounts
            .create_setup_link()
            .await
            .expect("the database answers");
        link.expect("there is no administrator yet")
    }

    /// Stops the server and waits until it listens no more.
    pub(crate) async fn stop(mut self) {
        self.stop.send(()).expect("the server runs");
        poll::until_some("the server to stop", async || {
            self.http
                .get("/livez")
                .try_send()
                .await
                .is_err()
                .then_some(())
        })
        .await;
        self.running.shutdown().await;
    }
}

/// Prints what the servers complain of beside the test that fails.
fn log() {
    let subscriber = tracing_subscriber::fmt()
        .with_test_writer()
        .with_max_level(tracing::Level::WARN);
    // Only the first call of a process can succeed.
    drop(subscriber.try_init());
}
