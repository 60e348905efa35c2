//! nginx and Caddy, the real programs, set up by the snippets of a document.

use std::fs::File;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use poem::endpoint::make;
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::{IntoResponse, Request, Response, Server};
use serde_json::{Map, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::child::{Child, EndSignal, program};
use super::{poll, scratch};
use crate::readme::snippets;

/// Reverse proxy in front of the server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gateway {
    /// nginx.
    Nginx,
    /// Caddy.
    Caddy,
}

/// A gateway that listens; it ends when dropped.
#[derive(Debug)]
pub(crate) struct RunningGateway {
    _child: Child,
    _folder: TempDir,
}

impl Gateway {
    /// Returns the snippets of a page for this program, in order.
    pub(crate) fn snippets(self, page: &str) -> Vec<String> {
        snippets(
            page,
            match self {
                Self::Nginx => "nginx",
                Self::Caddy => "caddyfile",
            },
        )
    }

    /// Starts the program with a snippet as its settings, and waits until it listens on `port`.
    pub(crate) fn start(self, snippet: &str, port: u16) -> RunningGateway {
        let folder = scratch::folder();
        let log = folder.path().join("log");
        let file = File::create(&log).expect("the folder is ours");
        let mut command = self.command(folder.path(), snippet);
        command
            .stdout(file.try_clone().expect("files can be cloned"))
            .stderr(file);
        let mut child = Child::start(&mut command, EndSignal::Kill);
        poll::until("the gateway to listen", || {
            let said = || std::fs::read_to_string(&log).expect("the log is ours");
            assert!(child.ended().is_none(), "it ended at once: {}", said());
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        RunningGateway {
            _child: child,
            _folder: folder,
        }
    }

    /// Returns the program with the snippet as its settings and all that it writes in `folder`.
    fn command(self, folder: &Path, snippet: &str) -> Command {
        let settings = folder.join("settings");
        let write = |text: String| std::fs::write(&settings, text).expect("the folder is ours");
        match self {
            Self::Nginx => {
                let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                    .map(|kind| format!("{kind}_temp_path {kind};\n"))
                    .concat();
                // One process: it keeps the user that runs the tests, root or not.
                write(format!(
                    "daemon off; master_process off; pid pid; error_log stderr;\n\
                     events {{}}\n\
                     http {{ access_log off; types {{ text/html html; }}\n{temporary}{snippet}}}\n"
                ));
                let mut command = Command::new(program("nginx"));
                command.arg("-p").arg(folder).arg("-c").arg(&settings);
                command.args(["-e", "stderr"]);
                command
            }
            Self::Caddy => {
                write(format!(
                    "{{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}}\n{snippet}"
                ));
                let mut command = Command::new(program("caddy"));
                command.args(["run", "--adapter", "caddyfile", "--config"]);
                command
                    .arg(&settings)
                    .env_clear()
                    .env("HOME", folder)
                    .env("XDG_CONFIG_HOME", folder)
                    .env("XDG_DATA_HOME", folder);
                command
            }
        }
    }
}

/// Starts a service that checks nothing and repeats what it was sent, and returns its address.
pub(crate) async fn service() -> (JoinSet<()>, String) {
    let acceptor = TcpListener::bind("127.0.0.1:0")
        .into_acceptor()
        .await
        .expect("loopback can be bound");
    let address = acceptor.local_addr()[0].clone();
    let address = address
        .as_socket_addr()
        .expect("it is a socket")
        .to_string();
    let server = Server::new_with_acceptor(acceptor);
    let mut running = JoinSet::new();
    running.spawn(async move {
        server.run(make(repeat)).await.expect("the service runs");
    });
    (running, address)
}

async fn repeat(mut request: Request) -> poem::Result<Response> {
    let body = request.take_body().into_bytes().await?;
    let mut headers = Map::new();
    for (name, value) in request.headers() {
        // As WSGI, CGI and many others read them.
        let name = name.as_str().replace('_', "-");
        let text = value.to_str().expect("headers are ASCII");
        let known = headers.entry(name).or_insert_with(|| "".into());
        *known = format!("{}{text}", known.as_str().unwrap_or_default()).into();
    }
    let said = json!({
        "method": request.method().as_str(),
        "path": request.uri().path(),
        "headers": headers,
        "length": body.len(),
    });
    Ok(said.to_string().into_response())
}

/// Runs each test, an `async fn` that takes a [`Gateway`], once behind nginx and once behind Caddy.
macro_rules! behind_both {
    ($($test:ident),+ $(,)?) => {
        mod nginx {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::support::gateway::Gateway::Nginx).await;
            })+
        }
        mod caddy {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::support::gateway::Gateway::Caddy).await;
            })+
        }
    };
}
pub(crate) use behind_both;
