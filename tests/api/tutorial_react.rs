//! The tutorial of a React page with an API in Node or Python, followed from an empty folder and used in Chromium.

use crate::support::server::BINARY;
use crate::support::tool::{assert_passes_alone, browser_script, installed, root};

#[test]
fn the_tutorial_of_react_works_with_an_api_in_node_and_in_python() {
    // The script chooses the ports.
    let mut script = browser_script("tutorial.mjs", "http://127.0.0.1:");
    script
        .arg(root().join("docs/tutorials/react-with-an-api.md"))
        .arg(root())
        .arg(BINARY)
        .env("PACKAGES", installed("tutorial"))
        .env("WHEELS", installed("python-client/wheels"));

    assert_passes_alone(&mut script);
}
