//! The black-box suite of `refresh-conformance`: this server passes all of it, and it can fail.

use std::process::Command;

use serde_json::Value;

use crate::support::server::Replica;
use crate::support::tool::{assert_passes, root};
use crate::support::{Backend, on_both};

on_both! {
    the_server_passes_all_fifteen_cases,
}

/// What fifty parallel refreshes leave alive after each case: a session, or none where it is over.
const LEFT_ALIVE: [u64; 15] = [1, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];

async fn the_server_passes_all_fifteen_cases(backend: Backend) {
    // The suite waits for grace to pass, so it is short; what takes longer is run anew by the suite.
    let server = Replica::start(&backend.with("LATCHET_GRACE", "1s")).await;
    let alice = server.http.person("alice").await;
    let suite = root().join("refresh-conformance");

    let said = assert_passes(
        Command::new(suite.join("run"))
            .arg("--adapter")
            .arg(suite.join("adapters/latchet.json"))
            .args(["--grace", "1", "--json"])
            .args(["--base", server.http.base()])
            .args(["--user", &alice.name, "--password", &alice.password]),
    );

    let cases: Vec<Value> = serde_json::from_str(&said).unwrap();
    let passed = cases.iter().filter(|case| case["verdict"] == "pass");
    assert_eq!(passed.count(), 15, "{said}");
    let left: Vec<_> = cases.iter().map(|case| case["alive"].as_u64()).collect();
    assert_eq!(left, LEFT_ALIVE.map(Some), "{said}");
}

#[test]
fn the_suite_tells_good_servers_from_bad_ones_and_its_table_is_what_was_recorded() {
    assert_passes(
        Command::new("python3")
            .args(["-B", "-m", "unittest", "discover", "-t", ".", "-s", "tests"])
            .current_dir(root().join("refresh-conformance")),
    );
}
