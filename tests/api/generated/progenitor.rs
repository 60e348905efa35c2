//! The client of progenitor: `tests/generated/progenitor`, which `scripts/test` builds.

use std::process::Command;

use super::assert_session;
use crate::support::tool::{installed, root};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rust_client_passes_without_warnings_and_serves_a_session() {
    let mut program = Command::new(installed("progenitor/debug/latchet-progenitor"));
    assert_session(program.arg(root().join("openapi.yaml"))).await;
}
