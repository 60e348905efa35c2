//! The package for services in Node (`clients/node`), and the APIs in Node that use it or do without it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::scratch;
use crate::support::server::BINARY;
use crate::support::tool::{assert_passes, root};
use crate::web_client::files;

/// Returns a folder of Node, where `scripts/test` has installed its packages.
fn folder(path: &str) -> PathBuf {
    let folder = root().join(path);
    assert!(
        folder.join("node_modules/express").exists(),
        "the packages of {path} are missing; run the tests by `scripts/test`, which installs what they need"
    );
    folder
}

/// Runs the tests of a folder in Node, with the program built by this run.
#[track_caller]
fn assert_tests_pass(folder: &Path) {
    assert_passes(
        Command::new("node")
            .arg("--test")
            .current_dir(folder)
            .env("LATCHET", BINARY),
    );
}

#[test]
fn the_node_package_passes_its_tests() {
    assert_tests_pass(&folder("clients/node"));
}

#[test]
fn apis_in_node_refuse_and_admit_as_their_pages_say() {
    assert_tests_pass(&folder("examples/apis/node"));
}

#[test]
fn the_node_package_is_built_from_its_source() {
    let folder = folder("clients/node");
    let built = scratch::folder();

    assert_passes(
        Command::new("node")
            .arg("node_modules/typescript/bin/tsc")
            .arg("--outDir")
            .arg(built.path())
            .current_dir(&folder),
    );

    let (made, kept) = (files(built.path()), files(&folder.join("dist")));
    assert!(made.contains_key("index.js"), "{:?}", made.keys());
    assert_eq!(
        made, kept,
        "run `npm ci` and `npm run build` in clients/node, and check the files in"
    );
}

#[test]
fn node_package_and_server_have_one_version() {
    let manifest = std::fs::read_to_string(root().join("clients/node/package.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();

    assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"));
    assert!(manifest.get("dependencies").is_none(), "{manifest}");
}
