//! `openapi.yaml`: fresh, free of findings, and true of the running server.

use std::process::Command;

use crate::support::Backend;
use crate::support::server::{Replica, run};
use crate::support::tool::{assert_passes, installed, root};

#[test]
fn the_checked_in_document_is_what_the_program_prints() {
    let printed = run(&Backend::sqlite(), &["openapi"]);

    let checked_in = std::fs::read_to_string(root().join("openapi.yaml")).unwrap();

    assert!(
        printed == checked_in,
        "run: cargo run -- openapi > openapi.yaml"
    );
}

#[test]
fn redocly_finds_nothing() {
    assert_passes(
        Command::new(installed("node_modules/.bin/redocly"))
            .args(["lint", "--extends=recommended-strict", "openapi.yaml"])
            .env("REDOCLY_TELEMETRY", "off")
            .env("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true")
            .current_dir(root()),
    );
}

#[test]
fn spectral_finds_nothing() {
    assert_passes(
        Command::new(installed("node_modules/.bin/spectral"))
            .args([
                "lint",
                "--ruleset=tests/tools/spectral.yaml",
                "--fail-severity=hint",
                "openapi.yaml",
            ])
            .current_dir(root()),
    );
}

/// Thousands of requests, well-formed and not, made from the document: no 5xx, no undocumented
/// status, content type or body.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_keeps_to_its_document_under_fuzzing() {
    for backend in [Backend::sqlite(), Backend::postgres()] {
        let backend = backend
            .with("LATCHET_THROTTLE_IP", "100000/1s")
            .with("LATCHET_THROTTLE_ACCOUNT", "100000/1s");
        let server = Replica::start(&backend).await;
        let access = server.http.admin().login().await.access;
        // These end the session that the rest of the run lives on.
        let ending = [
            "/v1/logout",
            "/v1/me/password",
            "/v1/me/sessions/{id}",
            "/v1/users/{id}/sessions",
        ];
        let mut command = Command::new(installed("venv/bin/schemathesis"));
        command
            .arg("run")
            .arg(format!("{}/openapi.json", server.http.base()))
            .args(["--header", &format!("Authorization: Bearer {access}")])
            .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"])
            .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "25", "--seed", "1"])
            .args(["--generation-database", "none", "--no-color"])
            .current_dir(backend.folder.path());
        for path in ending {
            command.args(["--exclude-path", path]);
        }
        assert_passes(&mut command);
    }
}
