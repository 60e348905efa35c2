//! The command line beside a running server.

use std::time::Duration;

use crate::support::client::{Person, Session, header};
use crate::support::local::InProcessServer;
use crate::support::server::{BINARY, command, run};
use crate::support::{Backend, on_both, poll};

on_both! {
    an_administrator_is_added_by_the_command_line,
    keys_rotate_without_refusing_anyone,
    a_link_of_the_command_line_sets_a_new_password,
}

async fn an_administrator_is_added_by_the_command_line(backend: Backend) {
    use std::io::Write;
    let server = InProcessServer::start(&backend).await;
    let mut add = command(&backend)
        .args(["user", "add", "grace", "--admin"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    add.stdin
        .take()
        .unwrap()
        .write_all(b"a long password of grace\n")
        .unwrap();
    assert!(add.wait().unwrap().success());

    let grace = Person {
        http: server.http.clone(),
        name: "grace".to_owned(),
        password: "a long password of grace".to_owned(),
    };
    let session = grace.login().await;
    server
        .http
        .get("/v1/users")
        .bearer(&session.access)
        .send()
        .await
        .expect(200);
    let listed = run(&backend, &["user", "list"]);
    assert!(listed.contains("grace"), "{listed}");
}

async fn keys_rotate_without_refusing_anyone(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let session = alice.login().await;
    let old = kid(&session);

    run(&backend, &["key", "rotate"]);
    published(&server, "the new key to be published", |kids| {
        kids.len() == 2
    })
    .await;
    assert_eq!(
        kid(&alice.login().await),
        old,
        "no cache of the key set knows the new one yet"
    );

    server.pass(Duration::from_mins(10));
    let newer = alice.login().await;
    assert_ne!(kid(&newer), old);
    session.check().await.expect(200);

    server.pass(Duration::from_hours(1));
    published(&server, "the old key to go", |kids| !kids.contains(&old)).await;
    assert_eq!(kid(&session.rotate().await), kid(&newer));
}

async fn a_link_of_the_command_line_sets_a_new_password(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let new = "another long password of alice";

    let printed = run(&backend, &["user", "reset-link", "alice"]);
    let (_, link) = printed.split_once("/reset#").expect("a link");
    let body = serde_json::json!({"link": link.trim(), "password": new});
    let request = server.http.post("/v1/password/reset").json(&body);
    request.send().await.expect(204);

    alice.try_login(new).await.expect(200);
}

fn kid(session: &Session) -> String {
    header(&session.access)["kid"]
        .as_str()
        .expect("tokens name their key")
        .to_owned()
}

async fn published(server: &InProcessServer, what: &str, is_so: impl Fn(&[String]) -> bool) {
    poll::until_some(what, async || {
        let jwks = server
            .http
            .get("/.well-known/jwks.json")
            .send()
            .await
            .expect(200)
            .json();
        let keys = jwks["keys"].as_array().expect("a list");
        let kids: Vec<_> = keys
            .iter()
            .map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect();
        is_so(&kids).then_some(())
    })
    .await;
}

#[test]
fn a_secret_is_strong_and_new_each_time() {
    let backend = Backend::sqlite();

    let (one, other) = (run(&backend, &["secret"]), run(&backend, &["secret"]));

    assert!(one.trim().len() >= 43, "{one}");
    assert_ne!(one, other);
}

#[test]
fn every_command_explains_itself() {
    let backend = Backend::sqlite();

    for arguments in [
        &["--help"][..],
        &["serve", "--help"],
        &["migrate", "--help"],
        &["openapi", "--help"],
        &["user", "--help"],
        &["user", "add", "--help"],
        &["key", "--help"],
        &["secret", "--help"],
        &["doctor", "--help"],
    ] {
        assert!(run(&backend, arguments).contains("Usage"), "{arguments:?}");
    }
    assert!(run(&backend, &["--version"]).contains(env!("CARGO_PKG_VERSION")));
}

/// Opens a terminal; returns the end of its user, and the path of the end for programs.
#[cfg(target_os = "linux")]
fn terminal() -> (std::os::fd::OwnedFd, String) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&near).unwrap();
    unlockpt(&near).unwrap();
    let name = ptsname(&near, Vec::new()).unwrap().into_string().unwrap();
    (near, name)
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_prompt_leaves_a_terminal_that_echoes() {
    use rustix::process::Signal;
    use rustix::termios::{LocalModes, tcgetattr};

    use crate::support::child::{Child, EndSignal};
    for signal in [Signal::INT, Signal::TERM, Signal::QUIT] {
        let (_near, name) = terminal();
        let far = std::fs::File::open(&name).unwrap();
        let echoes = || {
            let modes = tcgetattr(&far).unwrap().local_modes;
            modes.contains(LocalModes::ECHO)
        };
        assert!(echoes());
        let backend = Backend::sqlite();
        let mut add = std::process::Command::new("/bin/sh");
        add.args(["-c", "exec \"$0\" user add grace <\"$1\""])
            .args([BINARY, &name])
            .env_clear()
            .envs(backend.settings())
            .current_dir(backend.folder.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        let mut child = Child::start(&mut add, EndSignal::Kill);
        poll::until("the password to be read", || !echoes());

        child.signal(signal);

        let status = child.wait(poll::DEADLINE);
        assert_eq!(status.code(), Some(130), "{signal:?}");
        assert!(echoes(), "{signal:?}");
    }
}
