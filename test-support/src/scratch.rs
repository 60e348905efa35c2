//! Folders for data that must not outlive the test run, however that ends.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use tempfile::TempDir;

/// Holds all folders of this test run. Values in statics are never dropped and a killed process
/// drops nothing, so a child that sees this process end removes it.
static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = tempfile::Builder::new()
        .prefix("latchet-tests-")
        .tempdir()
        .expect("the temporary folder is writable")
        .keep();
    // PostgreSQL runs as another user when the tests run as root, and must reach its folder.
    std::fs::set_permissions(&root, PermissionsExt::from_mode(0o711)).expect("the folder is ours");
    let remover = Command::new("sh")
        .args(["-c", "cat; sleep 2; rm -rf \"$0\""])
        .arg(&root)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("`sh` starts");
    // Its standard input must stay open for as long as this process lives.
    std::mem::forget(remover);
    root
});

/// Returns a new folder, removed when dropped and at the latest with the test run.
pub fn folder() -> TempDir {
    tempfile::tempdir_in(&*ROOT).expect("the temporary folder is writable")
}
