//! The command line beside a running server.

use serde_json::Value;

use crate::support::client::{Person, header};
use crate::support::local::Local;
use crate::support::server::{command, run};
use crate::support::{Backend, on_both};

on_both! {
    an_administrator_is_added_by_the_command_line,
    keys_rotate_without_refusing_anyone,
}

async fn an_administrator_is_added_by_the_command_line(backend: Backend) {
    use std::io::Write;
    let server = Local::start(&backend).await;
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
    let server = Local::start(&backend).await;
    let alice = server.http.person("alice").await;
    let before = alice.login().await;
    let old = header(&before.access)["kid"].clone();

    run(&backend, &["key", "rotate"]);
    server.stop().await;
    let server = Local::start(&backend).await;

    // Published at once, used for signing only when every cache of the key set has seen it.
    let jwks = server
        .http
        .get("/.well-known/jwks.json")
        .send()
        .await
        .expect(200)
        .json();
    let published: Vec<Value> = jwks["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["kid"].clone())
        .collect();
    assert_eq!(published.len(), 2, "{jwks}");
    assert!(published.contains(&old));
    before.at(&server.http).check().await.expect(200);
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
