//! Each example, started as a program and asked over HTTP.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::support::child::{Child, EndSignal};
use crate::support::client::Session;
use crate::support::http::Http;
use crate::support::server::Replica;
use crate::support::tool::root;
use crate::support::{Backend, poll, port, scratch, server};

mod own_cookies;
mod spa;

/// A running example, and the tokens that it printed by name.
struct Example {
    http: Http,
    tokens: HashMap<String, String>,
    _child: Child,
    _folder: TempDir,
}

impl Example {
    /// Starts an example on a free port and waits until it listens.
    fn start(name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program(name));
        command.arg("127.0.0.1:0").args(arguments);
        Self::run(&mut command)
    }

    fn run(command: &mut Command) -> Self {
        let folder = scratch::folder();
        let log = folder.path().join("log");
        command
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap());
        let mut child = Child::start(command, EndSignal::Kill);
        let printed = || std::fs::read_to_string(&log).unwrap();
        poll::until("the example to listen", || {
            assert!(child.ended().is_none(), "it ended at once: {}", printed());
            // The whole line: it is written in pieces.
            let printed = printed();
            let rest = printed.split_once("listening on ");
            rest.is_some_and(|(_, rest)| rest.contains('\n'))
        });
        let printed = printed();
        let address = printed
            .lines()
            .find_map(|line| line.strip_prefix("listening on "));
        let address = address.unwrap().trim_start_matches("socket://");
        let tokens = printed
            .lines()
            .filter_map(|line| line.strip_prefix("token ")?.split_once(' '))
            .map(|(name, token)| (name.to_owned(), token.to_owned()))
            .collect();
        Self {
            http: Http::new(format!("http://{address}")),
            tokens,
            _child: child,
            _folder: folder,
        }
    }

    /// Asks with the printed token of this name, and returns status and body.
    async fn ask(&self, method: &str, path: &str, token: &str) -> (u16, String) {
        self.show(method, path, &self.tokens[token]).await
    }

    async fn show(&self, method: &str, path: &str, token: &str) -> (u16, String) {
        let request = self.http.request(method, path).bearer(token);
        let answer = request.send().await;
        (answer.status, answer.text)
    }

    async fn stranger(&self, path: &str) -> (u16, String) {
        let answer = self.http.get(path).send().await;
        (answer.status, answer.text)
    }
}

/// Returns where cargo put an example, which it builds along with all tests but not with one alone.
fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let program = this.parent().unwrap().join("../examples").join(name);
    let sources = [
        format!("examples/{name}.rs"),
        format!("examples/{name}/api/main.rs"),
        format!("guard/examples/{name}.rs"),
    ];
    let age = |path: &Path| std::fs::metadata(path).and_then(|file| file.modified());
    let written = sources
        .iter()
        .find_map(|source| age(&root().join(source)).ok());
    assert!(
        age(&program).is_ok_and(|built| built >= written.unwrap()),
        "the example {name} is not built: run `cargo build --workspace --examples`"
    );
    program
}

#[test]
fn the_manual_describes_every_command_and_setting() {
    let folder = scratch::folder();
    let written = Command::new(program("manual")).arg(folder.path()).output();
    let written = written.unwrap();
    assert!(written.status.success(), "{written:?}");
    let read = |file: &str| std::fs::read_to_string(folder.path().join(file)).unwrap();
    let program = latchet::cli::command();

    let main_page = read("man/latchet.1");
    for option in program
        .get_arguments()
        .filter_map(|option| option.get_long())
    {
        let variable = format!("[env: LATCHET_{}]", option.to_uppercase().replace('-', "_"));
        assert!(main_page.contains(&variable), "{variable} is missing");
    }
    for command in program
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
    {
        let name = command.get_name();
        assert!(!read(&format!("man/latchet-{name}.1")).is_empty());
        for completions in ["latchet.bash", "_latchet", "latchet.fish"] {
            let file = format!("completions/{completions}");
            assert!(read(&file).contains(name), "{file} lacks {name}");
        }
    }
}

#[test]
fn every_example_is_run_here() {
    let tests = [
        include_str!("examples.rs"),
        include_str!("examples/own_cookies.rs"),
        include_str!("examples/spa.rs"),
        include_str!("python_client.rs"),
    ]
    .concat();
    let folders = ["examples", "guard/examples"];
    let files = folders.map(|folder| std::fs::read_dir(root().join(folder)).unwrap());
    let names: Vec<_> = files
        .into_iter()
        .flatten()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_owned())
        // APIs in other languages: `node_client.rs`.
        .filter(|name| name != "apis")
        .collect();

    assert!(names.len() >= 14, "{names:?}");
    for name in names {
        let started = format!("{name:?}");
        assert!(tests.contains(&started), "{started} is not started");
    }
}

fn ok(body: &str) -> (u16, String) {
    (200, body.to_owned())
}

/// A Latchet whose name is its address, as a service would find it.
async fn latchet(backend: Backend) -> Replica {
    Replica::start(&backend.without("LATCHET_ISSUER")).await
}

async fn alice(server: &Replica) -> Session {
    server.http.person("alice").await.login().await
}

#[tokio::test]
async fn basic() {
    let example = Example::start("basic", &[]);
    let login = async |password: &str| {
        let body = json!({"username": "alice", "password": password});
        example.http.post("/login").json(&body).send().await
    };

    let token: String = login("wonderland").await.expect(200).field("access_token");

    assert_eq!(login("looking glass").await.status, 401);
    assert_eq!(example.show("GET", "/me", &token).await, ok("alice"));
    assert_eq!(example.stranger("/me").await.0, 401);
}

#[tokio::test]
async fn optional() {
    let example = Example::start("optional", &[]);

    assert_eq!(example.stranger("/").await, ok("hello, stranger"));
    assert_eq!(example.ask("GET", "/", "alice").await, ok("hello, alice"));
    assert_eq!(example.show("GET", "/", "forged").await.0, 401);
}

#[tokio::test]
async fn fresh() {
    let example = Example::start("fresh", &[]);

    for (token, status) in [
        ("fresh", 200),
        ("for-a-minute", 200),
        ("refreshed", 401),
        ("lapsed", 401),
    ] {
        assert_eq!(example.ask("GET", "/balance", token).await, ok("12.50"));
        let (seen, body) = example.ask("POST", "/transfer", token).await;
        assert_eq!(seen, status, "{token}: {body}");
        assert_eq!(body.contains("fresh_token_required"), status == 401);
    }
}

#[tokio::test]
async fn roles() {
    let example = Example::start("roles", &[]);

    for (method, path, token, status) in [
        ("GET", "/users", "root", 200),
        ("GET", "/users", "alice", 403),
        ("GET", "/mail", "alice", 200),
        ("GET", "/mail", "root", 403),
        ("DELETE", "/users", "root", 401),
        ("DELETE", "/users", "fresh-root", 200),
        ("GET", "/users/alice", "alice", 200),
        ("GET", "/users/alice", "root", 200),
        ("GET", "/users/root", "alice", 403),
    ] {
        let (seen, body) = example.ask(method, path, token).await;
        assert_eq!(seen, status, "{method} {path} by {token}: {body}");
    }
    assert_eq!(example.stranger("/users/alice").await.0, 401);
}

#[tokio::test]
async fn current_user() {
    let example = Example::start("current_user", &[]);

    let hello = ok("hello, Alice Liddell of Wonderland");
    assert_eq!(example.ask("GET", "/", "alice").await, hello);
    let (status, body) = example.ask("GET", "/", "gone").await;
    assert_eq!(status, 401);
    assert!(body.contains("unknown_user"), "{body}");
}

#[tokio::test]
async fn locations() {
    let example = Example::start("locations", &[]);
    let token = &example.tokens["alice"];
    let link = format!("/download?jwt={token}");

    let body = json!({ "access_token": token });
    let noted = example.http.post("/notes").json(&body).send().await;
    assert_eq!(noted.expect(200).text, "noted, by Json");
    let noted = ok("noted, by Header");
    assert_eq!(example.ask("POST", "/notes", "alice").await, noted);
    let by_query = example.http.post(&format!("/notes?jwt={token}"));
    assert_eq!(by_query.send().await.status, 401);
    assert_eq!(example.stranger(&link).await, ok("all notes of alice"));
    assert_eq!(example.ask("GET", "/download", "alice").await.0, 401);
}

#[tokio::test]
async fn refresh() {
    let example = Example::start("refresh", &[]);
    let body = json!({"username": "alice", "password": "wonderland"});
    let login = example.http.post("/login").json(&body).send().await;
    let login = login.expect(200);
    let (access, refresh) = (login.field("access_token"), login.field("refresh_token"));
    let me = async |token: &str| example.show("GET", "/me", token).await;

    let again = example.http.post("/refresh").bearer(&refresh).send().await;
    let again = again.expect(200).field("access_token");

    assert_eq!(me(&access).await, ok("alice"));
    assert_eq!(me(&again).await, ok("alice"));
    assert_eq!(me(&refresh).await.0, 401);
    assert_eq!(example.show("POST", "/refresh", &access).await.0, 401);
    let out = example.http.post("/logout").bearer(&again).send().await;
    out.expect(200);
    for (method, path, token) in [
        ("GET", "/me", &access),
        ("GET", "/me", &again),
        ("POST", "/refresh", &refresh),
    ] {
        let (status, body) = example.show(method, path, token).await;
        assert_eq!(status, 401, "{path}");
        assert!(body.contains("token_revoked"), "{path}: {body}");
    }
}

#[tokio::test]
async fn custom_errors() {
    let example = Example::start("custom_errors", &[]);
    let msg = |text: &str| json!({ "msg": text }).to_string();

    assert_eq!(example.ask("GET", "/", "good").await, ok("hello, alice"));
    let missing = (401, msg("Missing Authorization Header"));
    assert_eq!(example.stranger("/").await, missing);
    for (path, token, status, text) in [
        (
            "/",
            "expired",
            401,
            "alice, you have been away for too long",
        ),
        ("/", "revoked", 401, "Token has been revoked"),
        ("/", "refresh", 422, "Only non-refresh tokens are allowed"),
        ("/", "forged", 422, "it was not signed with a trusted key"),
        ("/secret", "good", 401, "Fresh token required"),
    ] {
        let seen = example.ask("GET", path, token).await;
        assert_eq!(seen, (status, msg(text)), "{token}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_issuer() {
    ask_about_each_token("from_issuer").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn axum() {
    ask_about_each_token("axum").await;
}

/// Checks a service that asks Latchet about each token, in either framework.
async fn ask_about_each_token(name: &str) {
    let server = latchet(Backend::sqlite()).await;
    let (session, other) = (alice(&server).await, server.http.person("bob").await);
    let other = other.login().await;
    let example = Example::start(name, &[server.http.base()]);
    let hello = |session: &Session| ok(&format!("hello, {}", session.user_id()));

    assert_eq!(
        example.show("GET", "/", &session.access).await,
        hello(&session)
    );
    assert_eq!(example.stranger("/").await.0, 401);
    assert_eq!(example.show("GET", "/", "forged").await.0, 401);

    session.logout().await.expect(204);
    // The last response counts for a second.
    poll::until_some("the logout to take effect", async || {
        let (status, body) = example.show("GET", "/", &session.access).await;
        let is_refused = status == 401 && body.contains("token_revoked");
        is_refused.then_some(())
    })
    .await;
    server.kill();
    let (status, body) = example.show("GET", "/", &other.access).await;
    assert_eq!(status, 503, "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoked_by_redis() {
    let backend = Backend::postgres();
    let server = latchet(backend.clone()).await;
    let session = alice(&server).await;
    let url = backend.redis().url();
    let example = Example::start("revoked_by_redis", &[server.http.base(), &url]);
    let hello = ok(&format!("hello, {}", session.user_id()));
    // The first connection and the first keys take a moment, and until then the response is 503.
    poll::until_some("the copy to be trusted", async || {
        let seen = example.show("GET", "/", &session.access).await;
        assert!(seen == hello || seen.0 == 503, "{seen:?}");
        (seen == hello).then_some(())
    })
    .await;

    session.logout().await.expect(204);

    let (status, body) = example.show("GET", "/", &session.access).await;
    assert_eq!(status, 401);
    assert!(body.contains("token_revoked"), "{body}");
    backend.redis().kill();
    assert_eq!(example.show("GET", "/", &session.access).await.0, 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn introspection() {
    let backend = Backend::sqlite();
    let server = latchet(backend.clone()).await;
    let session = alice(&server).await;
    let notes = server.http.person("notes").await;
    server::run(&backend, &["user", "roles", "notes", "introspect"]);
    let password = backend.folder.path().join("notes-password");
    std::fs::write(&password, &notes.password).unwrap();
    let example = Example::start(
        "introspection",
        &[server.http.base(), "notes", password.to_str().unwrap()],
    );
    let hello = ok(&format!("hello, {}", session.user_id()));
    poll::until_some("the keys to be fetched", async || {
        let seen = example.show("GET", "/", &session.access).await;
        assert!(seen == hello || seen.0 == 503, "{seen:?}");
        (seen == hello).then_some(())
    })
    .await;

    session.logout().await.expect(204);

    // The last response is cached for a second.
    poll::until_some("the logout to take effect", async || {
        let (status, _) = example.show("GET", "/", &session.access).await;
        (status == 401).then_some(())
    })
    .await;
    server.kill();
    let other = session.access;
    assert_eq!(
        example.show("GET", "/", &other).await.0,
        401,
        "it stays revoked"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mount_server() {
    let backend = Backend::sqlite();
    let address = format!("127.0.0.1:{}", port::free());
    let mut command = Command::new(program("mount_server"));
    command
        .env_clear()
        .envs(backend.settings())
        .env("LATCHET_LISTEN", &address)
        .current_dir(backend.folder.path());
    let example = Example::run(&mut command);
    let session = example.http.person("alice").await.login().await;

    let notes = format!("no notes of {} yet", session.user_id());
    assert_eq!(
        example.show("GET", "/notes", &session.access).await,
        ok(&notes)
    );
    assert_eq!(example.stranger("/notes").await.0, 401);
    session.logout().await.expect(204);
    let (status, body) = example.show("GET", "/notes", &session.access).await;
    assert_eq!(status, 401);
    assert!(body.contains("token_revoked"), "{body}");
}
