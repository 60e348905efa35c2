//! The black-box suite of `refresh-conformance`: this server passes all of it, and it can fail.

use std::process::Command;

use serde_json::Value;

use crate::support::client::Person;
use crate::support::server::Replica;
use crate::support::tool::{assert_passes, root};
use crate::support::{Backend, on_both};

on_both! {
    the_server_passes_all_fifteen_cases,
    without_grace_a_retry_fails_four_cases,
}

/// Live sessions after each case and its fifty parallel refreshes: one, or none where the session has ended.
const LEFT_ALIVE: [u64; 15] = [1, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];

/// Returns the suite, to be run against a server with an account of this user.
fn suite(person: &Person, grace: &str) -> Command {
    let suite = root().join("refresh-conformance");
    let mut command = Command::new(suite.join("run"));
    command
        .arg("--adapter")
        .arg(suite.join("adapters/latchet.json"))
        .args(["--grace", grace, "--json"])
        .args(["--base", person.http.base()])
        .args(["--user", &person.name, "--password", &person.password]);
    command
}

/// Returns the verdicts of the suite, and the live sessions left, in the order of the cases.
fn read(said: &[u8]) -> Vec<(String, Option<u64>)> {
    let cases: Vec<Value> = serde_json::from_slice(said).unwrap();
    let verdict = |case: &Value| case["verdict"].as_str().unwrap().to_owned();
    cases
        .iter()
        .map(|case| (verdict(case), case["alive"].as_u64()))
        .collect()
}

async fn the_server_passes_all_fifteen_cases(backend: Backend) {
    // The suite waits for grace to pass, so it is short; the suite repeats cases that took longer.
    let server = Replica::start(&backend.with("LATCHET_GRACE", "1s")).await;
    let alice = server.http.person("alice").await;

    let said = assert_passes(&mut suite(&alice, "1"));

    let expected = LEFT_ALIVE.map(|left| ("pass".to_owned(), Some(left)));
    assert_eq!(read(said.as_bytes()), expected, "{said}");
}

async fn without_grace_a_retry_fails_four_cases(backend: Backend) {
    let server = Replica::start(&backend.with("LATCHET_GRACE", "0s")).await;
    let alice = server.http.person("alice").await;

    let output = suite(&alice, "0")
        .args(["--case", "2", "--case", "3", "--case", "4", "--case", "5"])
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let expected = [(); 4].map(|()| ("fail".to_owned(), Some(0)));
    assert_eq!(read(&output.stdout), expected, "{output:?}");
}

#[test]
fn the_conformance_suite_finds_faulty_servers_and_its_recorded_table_is_current() {
    assert_passes(
        Command::new("python3")
            .args(["-B", "-m", "unittest", "discover", "-t", ".", "-s", "tests"])
            .current_dir(root().join("refresh-conformance")),
    );
}
