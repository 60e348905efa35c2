//! The client for pages (`web/client`): its rules, its bytes, and several tabs of Chromium.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::support::client::ADMIN;
use crate::support::tool::{assert_passes, assert_passes_in_browser, installed, root};
use crate::support::{Backend, scratch, server::Replica};

/// Returns the files of a folder by name.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read_to_string(entry.path()).unwrap())
        })
        .collect()
}

#[test]
fn the_page_client_passes_its_unit_tests() {
    assert_passes(
        Command::new("node")
            .arg("--test")
            .arg(root().join("web/client/tests/"))
            .env("TOOLS", installed("client/node_modules")),
    );
}

#[test]
fn the_served_page_client_is_built_from_its_source() {
    let client = root().join("web/client");
    let built = scratch::folder();

    assert_passes(
        Command::new("node")
            .arg(client.join("build.mjs"))
            .arg(built.path())
            .env("TOOLS", installed("client/node_modules")),
    );

    let (made, kept) = (files(built.path()), files(&client.join("dist")));
    assert!(made.contains_key("latchet.js"), "{:?}", made.keys());
    assert_eq!(
        made, kept,
        "run `npm ci` and `npm run build` in web/client, and check the files in"
    );
}

#[test]
fn client_and_server_have_one_version() {
    let manifest = std::fs::read_to_string(root().join("web/client/package.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();

    assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"));
    assert!(manifest.get("dependencies").is_none(), "{manifest}");
    let readme = std::fs::read_to_string(root().join("web/client/README.md")).unwrap();
    let kept = concat!("`/client/", env!("CARGO_PKG_VERSION"), "/latchet.js`");
    assert!(readme.contains(kept), "{kept}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tabs_share_a_session_and_its_end() {
    let backend = Backend::sqlite();
    let server = Replica::start(&backend).await;

    assert_passes_in_browser("client.mjs", &backend, &server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_loses_responses_signs_nobody_out() {
    // A machine under load may need longer than ten seconds for what a person does in one.
    let backend = Backend::sqlite().with("LATCHET_GRACE", "60s");
    let server = Replica::start(&backend).await;

    assert_passes_in_browser("campaign.mjs", &backend, &server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_after_a_lost_response_signs_nobody_out() {
    // The clock of tabs can be set, that of the server cannot: no grace is grace that is over.
    let backend = Backend::sqlite().with("LATCHET_GRACE", "0s");
    let server = Replica::start(&backend).await;

    assert_passes_in_browser("sleep.mjs", &backend, &server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_from_pages_of_another_origin_are_refused() {
    // Without grace a refresh that it brings about ends the session, and is noticed by that.
    let backend = Backend::sqlite().with("LATCHET_GRACE", "0s");
    let server = Replica::start(&backend).await;

    assert_passes_in_browser("attacker.mjs", &backend, &server);
}

/// Returns a script of `tests/interop` that runs a recipe of the client with a server.
fn recipe(script: &str, server: &Replica) -> Command {
    let mut command = Command::new("node");
    command
        .arg(root().join("tests/interop").join(script))
        .env("TOOLS", installed("client/node_modules"))
        .env("URL", server.http.base())
        .env("NAME", ADMIN.name)
        .env("PASSWORD", ADMIN.password);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_survives_a_crash_at_every_moment_of_a_refresh() {
    // Without grace only the stored key protects the session.
    let backend = Backend::sqlite().with("LATCHET_GRACE", "0s");
    let server = Replica::start(&backend).await;

    assert_passes(&mut recipe("expo.mjs", &server));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_next_renders_refreshes_no_token() {
    let next = root().join("web/client/recipes/next/node_modules/next");
    assert!(
        next.exists(),
        "its packages are missing; run the tests by `scripts/test`, which installs what they need"
    );
    // Without grace a refresh that it causes ends the session, and is noticed by that.
    let backend = Backend::sqlite().with("LATCHET_GRACE", "0s");
    let server = Replica::start(&backend).await;

    assert_passes(&mut recipe("next.mjs", &server));
}
