//! `openapi.yaml`: fresh, free of findings, and true of the running server.

use std::process::Command;

use crate::support::client::Session;
use crate::support::server::{Replica, run};
use crate::support::tool::{assert_passes, installed, root};
use crate::support::{Backend, on_both};

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

on_both! {
    responses_to_fuzzed_requests_conform_to_the_api_document,
}

/// Requests made from the document, well-formed and not: no 5xx, no undocumented status, content
/// type or body.
async fn responses_to_fuzzed_requests_conform_to_the_api_document(backend: Backend) {
    let backend = backend
        .with("LATCHET_REGISTRATION", "open")
        .with("LATCHET_THROTTLE_IP", "100000/1s")
        .with("LATCHET_THROTTLE_ACCOUNT", "100000/1s")
        .with("LATCHET_THROTTLE_ACCOUNT_IP", "100000/1s")
        .with("LATCHET_THROTTLE_REGISTRATION", "100000/1s");
    let server = Replica::start(&backend).await;

    let (admin, other) = (
        server.http.admin(),
        server.http.administrator("other").await,
    );
    let third = server.http.administrator("third").await;

    // These end sessions or take away roles, which the rest would not survive.
    let ending = [
        "/v1/logout",
        "/v1/logout/all",
        "/v1/me/password",
        "/v1/me/sessions/{id}",
        "/v1/users/{id}/disable",
        "/v1/users/{id}/roles",
        "/v1/users/{id}/sessions",
        "/v1/sessions/{id}",
    ];
    let rest = ending.map(|path| ["--exclude-path", path]).concat();
    let deletions = DELETIONS.map(|id| ["--exclude-operation-id", id]).concat();
    let rest = [&rest[..], &deletions, &["--exclude-path", KEY_ROTATION]].concat();
    fuzz(&admin.login().await, &backend, &rest);
    let ending = ending.map(|path| ["--include-path", path]).concat();
    fuzz(&other.login().await, &backend, &ending);
    let deletions = DELETIONS.map(|id| ["--include-operation-id", id]).concat();
    fuzz(&third.login().await, &backend, &deletions);
    let last = ["--include-path", KEY_ROTATION];
    fuzz(&admin.login().await, &backend, &last);
}

/// These delete the account of the token.
const DELETIONS: [&str; 2] = ["deleteMe", "deleteUser"];

/// Ends the token it is asked with, when a key is said to have leaked.
const KEY_ROTATION: &str = "/v1/keys/rotate";

fn fuzz(session: &Session, backend: &Backend, selection: &[&str]) {
    let checks = [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
    ];
    assert_passes(
        Command::new(installed("venv/bin/schemathesis"))
            .arg("run")
            .arg(format!("{}/openapi.json", session.http.base()))
            .args([
                "--header",
                &format!("Authorization: Bearer {}", session.access),
            ])
            .args(["--checks", &checks.join(",")])
            .args([
                "--phases",
                "examples,coverage,fuzzing",
                "--max-examples",
                "20",
            ])
            .args(["--seed", "1", "--generation-database", "none", "--no-color"])
            .args(selection)
            .current_dir(backend.folder.path()),
    );
}
