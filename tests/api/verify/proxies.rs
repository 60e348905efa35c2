//! nginx and Caddy as `docs/forward-auth.md` sets them up, in front of a service that checks nothing.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use poem::endpoint::make;
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::{IntoResponse, Request, Response, Server};
use serde_json::{Map, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::PAGE;
use crate::support::browser::Browser;
use crate::support::child::{Child, Ending, program};
use crate::support::http::{Answer, Http};
use crate::support::local::Local;
use crate::support::tool::root;
use crate::support::{Backend, poll, port, scratch};

/// Runs each test once behind nginx and once behind Caddy.
macro_rules! behind_both {
    ($($test:ident),+ $(,)?) => {
        mod nginx {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::Site::behind(super::Proxy::Nginx).await).await;
            })+
        }
        mod caddy {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::Site::behind(super::Proxy::Caddy).await).await;
            })+
        }
    };
}

behind_both! {
    who_has_a_token_is_passed_on_by_name,
    who_has_none_is_not_passed_on,
    a_logout_is_felt_by_the_next_request,
    what_clients_say_of_themselves_is_not_passed_on,
    people_are_sent_to_the_sign_in_page_and_see_it,
    bodies_are_passed_on_and_latchet_reads_none,
    without_latchet_nobody_is_passed_on,
}

#[derive(Clone, Copy)]
enum Proxy {
    Nginx,
    Caddy,
}

/// A service behind a proxy that asks Latchet.
struct Site {
    server: Local,
    proxy: Http,
    _service: JoinSet<()>,
    _child: Child,
    _folder: TempDir,
}

impl Site {
    async fn behind(proxy: Proxy) -> Self {
        let server = Local::start(&Backend::sqlite()).await;
        let (service, address) = service().await;
        let port = port::free();
        let snippet = proxy
            .snippet()
            .replace("127.0.0.1:8080", server.http.address())
            .replace("127.0.0.1:3000", &address)
            .replace("listen 80;", &format!("listen 127.0.0.1:{port};"))
            .replace("app.example.org {", &format!("http://127.0.0.1:{port} {{"));
        let folder = scratch::folder();
        let log = folder.path().join("log");
        let file = File::create(&log).unwrap();
        let mut command = proxy.command(folder.path(), &snippet);
        command.stdout(file.try_clone().unwrap()).stderr(file);
        let mut child = Child::start(&mut command, Ending::Kill);
        let http = Http::without_redirects(format!("http://127.0.0.1:{port}"));
        let said = || std::fs::read_to_string(&log).unwrap();
        poll::some("the proxy to answer", async || {
            assert!(child.ended().is_none(), "it ended at once: {}", said());
            http.get("/sign-in").try_send().await.ok()
        })
        .await;
        Self {
            server,
            proxy: http,
            _service: service,
            _child: child,
            _folder: folder,
        }
    }
}

impl Proxy {
    fn snippet(self) -> String {
        let text = std::fs::read_to_string(root().join("docs/forward-auth.md")).unwrap();
        let start = match self {
            Self::Nginx => "```nginx\n",
            Self::Caddy => "```caddyfile\n",
        };
        let (_, rest) = text.split_once(start).unwrap();
        rest.split("```").next().unwrap().to_owned()
    }

    /// Returns the program with the snippet as its settings and all that it writes in `folder`.
    fn command(self, folder: &Path, snippet: &str) -> Command {
        let settings = folder.join("settings");
        match self {
            Self::Nginx => {
                let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                    .map(|kind| format!("{kind}_temp_path {kind};\n"))
                    .concat();
                // One process: it keeps the user that runs the tests, root or not.
                let text = format!(
                    "daemon off; master_process off; pid pid; error_log stderr;\n\
                     events {{}}\n\
                     http {{ access_log off;\n{temporary}{snippet}}}\n"
                );
                std::fs::write(&settings, text).unwrap();
                let mut command = Command::new(program("nginx"));
                command.arg("-p").arg(folder).arg("-c").arg(&settings);
                command.args(["-e", "stderr"]);
                command
            }
            Self::Caddy => {
                let text = format!("{{\n\tadmin off\n}}\n{snippet}");
                std::fs::write(&settings, text).unwrap();
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
async fn service() -> (JoinSet<()>, String) {
    let acceptor = TcpListener::bind("127.0.0.1:0")
        .into_acceptor()
        .await
        .unwrap();
    let address = acceptor.local_addr()[0].clone();
    let address = address.as_socket_addr().unwrap().to_string();
    let server = Server::new_with_acceptor(acceptor);
    let mut running = JoinSet::new();
    running.spawn(async move {
        server.run(make(repeat)).await.unwrap();
    });
    (running, address)
}

async fn repeat(mut request: Request) -> poem::Result<Response> {
    let body = request.take_body().into_bytes().await?;
    let mut headers = Map::new();
    for (name, value) in request.headers() {
        // As WSGI, CGI and many others read them.
        let name = name.as_str().replace('_', "-");
        let text = value.to_str().unwrap();
        let known = headers.entry(name).or_insert_with(|| "".into());
        *known = format!("{}{text}", known.as_str().unwrap()).into();
    }
    let said = json!({
        "method": request.method().as_str(),
        "path": request.uri().path(),
        "headers": headers,
        "length": body.len(),
    });
    Ok(said.to_string().into_response())
}

/// Returns a header as the service got it; empty when it did not, which means the same.
#[track_caller]
fn got(answer: &Answer, name: &str) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let value = &answer.json()["headers"][name];
    value.as_str().unwrap_or_default().to_owned()
}

async fn who_has_a_token_is_passed_on_by_name(site: Site) {
    let zoe = site.server.http.administrator("zoë").await.login().await;

    for method in ["GET", "POST", "PUT", "DELETE"] {
        let request = site.proxy.request(method, "/orders").bearer(&zoe.access);
        let answer = request.send().await;

        assert_eq!(got(&answer, "remote-user"), "zo%C3%AB", "{method}");
        assert_eq!(got(&answer, "remote-roles"), "admin");
        assert_eq!(got(&answer, "remote-session"), zoe.id);
        assert_eq!(got(&answer, "authorization"), "");
        assert_eq!(answer.json()["method"], method);
        assert_eq!(answer.json()["path"], "/orders");
    }
    let head = site.proxy.request("HEAD", "/orders").bearer(&zoe.access);
    head.send().await.expect(200);
}

async fn who_has_none_is_not_passed_on(site: Site) {
    let alice = site.server.http.person("alice").await;
    let session = alice.login().await;
    let browser = Browser {
        http: site.proxy.clone(),
        ..Browser::login(&alice).await
    };

    let none = site.proxy.get("/orders").send().await.expect(401);
    assert_eq!(none.header("www-authenticate"), "Bearer realm=\"latchet\"");
    for method in ["GET", "POST", "HEAD", "OPTIONS"] {
        let request = site.proxy.request(method, "/orders");
        request.send().await.expect(401);
    }
    let refresh = site.proxy.get("/orders").bearer(&session.refresh);
    refresh.send().await.expect(401);
    browser.page("GET", "/orders").send().await.expect(401);
}

async fn a_logout_is_felt_by_the_next_request(site: Site) {
    let alice = site.server.http.person("alice").await.login().await;
    let ask = async || {
        let request = site.proxy.get("/orders").bearer(&alice.access);
        request.send().await
    };
    ask().await.expect(200);

    alice.logout().await.expect(204);

    let refused = ask().await.expect(401);
    assert!(refused.header("www-authenticate").contains("invalid_token"));
}

async fn what_clients_say_of_themselves_is_not_passed_on(site: Site) {
    let alice = site.server.http.person("alice").await.login().await;
    let lies = ["Remote-User", "remote_user", "Remote-Roles", "Remote_Roles"];
    let lies = [&lies[..], &["REMOTE-SESSION", "remote_session"]].concat();

    for lie in lies {
        for path in ["/orders", "/sign-in"] {
            let request = site.proxy.get(path).header(lie, "admin");
            let answer = request.bearer(&alice.access).send().await;

            let honest = match path {
                "/orders" => ["alice", "", &alice.id],
                _ => ["", "", ""],
            };
            let names = ["remote-user", "remote-roles", "remote-session"];
            assert_eq!(names.map(|name| got(&answer, name)), honest, "{lie} {path}");
        }
    }
}

async fn people_are_sent_to_the_sign_in_page_and_see_it(site: Site) {
    for method in ["GET", "POST"] {
        let request = site.proxy.request(method, "/orders");
        let sent = request.header("accept", PAGE).send().await.expect(303);
        assert_eq!(sent.header("location"), "/sign-in", "{method}");
    }

    let page = site.proxy.get("/sign-in").header("accept", PAGE);

    assert_eq!(page.send().await.expect(200).json()["path"], "/sign-in");
}

async fn bodies_are_passed_on_and_latchet_reads_none(site: Site) {
    let alice = site.server.http.person("alice").await.login().await;
    // Latchet itself takes 64 KiB.
    let body = vec![b'x'; 200_000];

    let request = site.proxy.post("/orders").bearer(&alice.access);
    let answer = request.body("text/plain", body).send().await;

    assert_eq!(answer.expect(200).json()["length"], 200_000);
}

async fn without_latchet_nobody_is_passed_on(site: Site) {
    let alice = site.server.http.person("alice").await.login().await;
    let request = site.proxy.get("/orders").bearer(&alice.access);
    request.send().await.expect(200);

    site.server.stop().await;

    let request = site.proxy.get("/orders").bearer(&alice.access);
    let answer = request.send().await;
    assert!(answer.status >= 500, "{}: {}", answer.status, answer.text);
    site.proxy.get("/sign-in").send().await.expect(200);
}
