//! `/docs` as a person uses it, in Chromium.

use std::process::Command;

use crate::support::client::ADMIN;
use crate::support::tool::{assert_passes, browser, installed, root};
use crate::support::{Backend, server::Replica};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_in_calls_reloads_calls_and_signs_out() {
    let backend = Backend::sqlite().with("LATCHET_ACCESS_TTL", "30s");
    let server = Replica::start(&backend).await;

    assert_passes(
        Command::new("node")
            .arg(root().join("tests/browser/docs.mjs"))
            .env("TOOLS", installed("node_modules"))
            .env("BROWSER", browser())
            .env("URL", server.http.base())
            .env("NAME", ADMIN.name)
            .env("PASSWORD", ADMIN.password)
            .env("PROFILE", backend.folder.path().join("profile")),
    );
}
