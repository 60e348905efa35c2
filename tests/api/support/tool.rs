//! Programs that are not servers: linters, fuzzers, a browser.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::Backend;
use super::child::program;
use super::client::ADMIN;
use super::server::Replica;

/// Returns the folder of this repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the path of a tool that `scripts/test` has installed.
pub(crate) fn installed(path: &str) -> PathBuf {
    let tool = root().join("target/tools").join(path);
    assert!(
        tool.exists(),
        "{} is missing; run the tests by `scripts/test`, which installs what they need",
        tool.display()
    );
    tool
}

/// Runs a script of `tests/browser` with a browser and a server; panics with its output when it
/// fails.
#[track_caller]
pub(crate) fn assert_passes_in_browser(script: &str, backend: &Backend, server: &Replica) {
    assert_passes_alone(
        browser_script(script, server.http.base())
            .env("PROFILE", backend.folder.path().join("profile")),
    );
}

/// Returns a script of `tests/browser` with a browser, and a site where the administrator of the
/// tests can sign in.
pub(crate) fn browser_script(script: &str, site: &str) -> Command {
    let mut command = Command::new("node");
    command
        .arg(root().join("tests/browser").join(script))
        .env("TOOLS", installed("node_modules"))
        .env("BROWSER", browser())
        .env("URL", site)
        .env("NAME", ADMIN.name)
        .env("PASSWORD", ADMIN.password);
    command
}

/// Runs a script with a browser to its end, when no other one runs; panics with its output when
/// it fails.
#[track_caller]
pub(crate) fn assert_passes_alone(script: &mut Command) {
    /// Two at once are too slow for the patience of either on a small machine.
    static ONE_BROWSER: Mutex<()> = Mutex::new(());
    let _turn = ONE_BROWSER.lock().unwrap_or_else(PoisonError::into_inner);
    assert_passes(script);
}

/// Returns a browser of the Chromium family.
fn browser() -> PathBuf {
    let applications = [
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    ];
    match applications
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
    {
        Some(path) => path,
        None => program("chromium"),
    }
}

/// Runs a program to its end; panics with its output when it fails.
#[track_caller]
pub(crate) fn assert_passes(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}:\n{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}
