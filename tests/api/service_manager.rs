//! Messages to systemd, and the command that health checks of containers run.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::child::{Child, EndSignal};
use crate::support::http::Http;
use crate::support::server::{Replica, command};
use crate::support::tls::Authority;
use crate::support::{Backend, poll, port};

/// The socket on which systemd would receive messages.
struct Messages(UnixDatagram);

impl Messages {
    fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    /// Returns the lines of a message that has arrived.
    fn arrived(&self) -> Option<Vec<String>> {
        let mut buffer = [0; 4096];
        let length = match self.0.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) => panic!("{error}"),
        };
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        Some(text.lines().map(str::to_owned).collect())
    }

    /// Returns the lines of the next message.
    ///
    /// It polls, because a blocking read with a limit also ends when a signal arrives.
    fn next(&self) -> Vec<String> {
        let mut message = None;
        poll::until("a message of the server", || {
            message = self.arrived();
            message.is_some()
        });
        message.unwrap()
    }

    /// Returns the next message that is not about the watchdog.
    fn next_state(&self) -> Vec<String> {
        loop {
            let message = self.next();
            if message != ["WATCHDOG=1"] {
                return message;
            }
        }
    }
}

struct SupervisedServer {
    messages: Messages,
    child: Child,
    http: Http,
    address: String,
    backend: Backend,
}

impl SupervisedServer {
    fn start(backend: Backend, watchdog: Option<Duration>) -> Self {
        let socket = backend.folder.path().join("notify.sock");
        let messages = Messages::listen(&socket);
        let address = format!("127.0.0.1:{}", port::free());
        let mut command = command(&backend);
        command
            .env("LATCHET_LISTEN", &address)
            .env("NOTIFY_SOCKET", &socket);
        if let Some(limit) = watchdog {
            command.env("WATCHDOG_USEC", limit.as_micros().to_string());
        }
        Self {
            messages,
            child: Child::start(&mut command, EndSignal::Kill),
            http: Http::new(format!("http://{address}")),
            address,
            backend,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemd_learns_when_the_server_is_ready_reloads_and_stops() {
    let mut server = SupervisedServer::start(Backend::sqlite(), None);

    assert_eq!(server.messages.next(), ["READY=1"]);
    server.http.get("/readyz").send().await.expect(200);

    server.child.signal(Signal::HUP);
    let reloading = server.messages.next();
    let [state, time] = &*reloading else {
        panic!("{reloading:?}");
    };
    assert_eq!(state, "RELOADING=1");
    let time = time.strip_prefix("MONOTONIC_USEC=").unwrap();
    assert!(time.parse::<u64>().unwrap() > 0);
    assert_eq!(server.messages.next(), ["READY=1"]);

    server.child.signal(Signal::TERM);
    assert_eq!(server.messages.next(), ["STOPPING=1"]);
    assert!(server.child.wait(poll::DEADLINE).success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_open_its_database_is_never_reported_ready() {
    let missing = format!("postgres://nobody@127.0.0.1:{}/none", port::free());
    let backend = Backend::postgres_alone().with("DATABASE_URL", &missing);
    let mut server = SupervisedServer::start(backend, None);

    // What it does until systemd's patience ends: it waits for the database, or ends with an error.
    poll::until("the server to listen or to end", || {
        std::net::TcpStream::connect(&server.address).is_ok() || server.child.ended().is_some()
    });
    if server.child.ended().is_none() {
        server.child.signal(Signal::TERM);
        server.child.wait(poll::DEADLINE);
    }

    // All messages of a process that has ended have arrived.
    assert_eq!(server.messages.arrived(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_watchdog_hears_from_a_server_that_responds_and_from_no_other() {
    let limit = Duration::from_secs(3);
    let server = SupervisedServer::start(Backend::sqlite(), Some(limit));
    assert_eq!(server.messages.next_state(), ["READY=1"]);
    for _ in 0..3 {
        assert_eq!(server.messages.next(), ["WATCHDOG=1"]);
    }

    server.child.freeze();
    // What is left was sent before the server froze.
    while server.messages.arrived().is_some() {}
    std::thread::sleep(limit);
    assert_eq!(server.messages.arrived(), None);

    server.child.thaw();
    assert_eq!(server.messages.next(), ["WATCHDOG=1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_server_still_reports_that_it_is_alive() {
    let backend = Backend::sqlite().with("LATCHET_DRAIN_DELAY", "60s");
    let server = SupervisedServer::start(backend, Some(Duration::from_secs(2)));
    assert_eq!(server.messages.next_state(), ["READY=1"]);

    server.child.signal(Signal::TERM);

    assert_eq!(server.messages.next_state(), ["STOPPING=1"]);
    assert_eq!(server.messages.next(), ["WATCHDOG=1"]);
    let health = health(&server.backend, &server.address);
    assert!(!health.status.success());
    let reason = String::from_utf8_lossy(&health.stderr).into_owned();
    assert!(reason.contains("not ready; failing: serving"), "{reason}");
}

fn health(backend: &Backend, address: &str) -> Output {
    health_command(backend, address).output().unwrap()
}

fn health_command(backend: &Backend, address: &str) -> Command {
    let mut command = command(backend);
    command.env("LATCHET_LISTEN", address).arg("health");
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_succeeds_for_a_ready_server_only() {
    let backend = Backend::sqlite();
    let server = Replica::start(&backend).await;
    let address = server.http.address().to_owned();

    let ready = health(&backend, &address);
    assert!(ready.status.success(), "{ready:?}");
    let said = String::from_utf8(ready.stdout).unwrap();
    assert_eq!(said, format!("the server at {address} is ready\n"));

    server.kill();
    let gone = health(&backend, &address);
    assert_eq!(gone.status.code(), Some(1));
    let reason = String::from_utf8(gone.stderr).unwrap();
    assert!(reason.contains("cannot ask the server"), "{reason}");
    assert!(reason.contains("refused"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_asks_a_server_that_terminates_tls() {
    let backend = Backend::sqlite();
    let folder = backend.folder.path().to_owned();
    let certificate = Authority::new().sign("DNS:auth.example.org");
    std::fs::write(folder.join("chain.pem"), &certificate.chain).unwrap();
    std::fs::write(folder.join("key.pem"), &certificate.key).unwrap();
    let address = format!("127.0.0.1:{}", port::free());
    let with_tls = |mut command: Command| {
        command
            .env("LATCHET_LISTEN", &address)
            .env("LATCHET_PUBLIC_URL", "https://auth.example.org")
            .env("LATCHET_TLS_CERT", folder.join("chain.pem"))
            .env("LATCHET_TLS_KEY", folder.join("key.pem"));
        command
    };
    let mut serve = with_tls(command(&backend));
    let _server = Child::start(&mut serve, EndSignal::Kill);

    poll::until("the server to be ready", || {
        let mut health = with_tls(health_command(&backend, &address));
        health.output().unwrap().status.success()
    });

    let plain = health(&backend, &address);
    assert_eq!(plain.status.code(), Some(1), "{plain:?}");
}

#[test]
fn health_refuses_a_port_that_only_the_server_knows() {
    let refused = health(&Backend::sqlite(), "127.0.0.1:0");

    assert_eq!(refused.status.code(), Some(1));
    let reason = String::from_utf8(refused.stderr).unwrap();
    assert!(reason.contains("LATCHET_LISTEN"), "{reason}");
}
