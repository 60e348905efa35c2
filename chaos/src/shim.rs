//! Libraries between a process and the kernel, by `LD_PRELOAD`. They exist on Linux alone, whose calls
//! they know.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use test_support::scratch;

/// Environment variables of a process that select its libraries, by name.
pub(crate) type Environment = BTreeMap<&'static str, String>;

/// Names the libraries to load before all others.
pub(crate) const PRELOAD: &str = "LD_PRELOAD";

/// Returns a folder for a library and its control file. PostgreSQL may run as another user, and reads both.
pub(crate) fn folder() -> TempDir {
    let folder = scratch::folder();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o711))
        .expect("the folder is ours");
    folder
}

/// Builds a library of `chaos/shim/`, by the `cc` that links programs in Rust too.
pub(crate) fn build(source: &str, library: &Path) {
    let source = format!("{}/shim/{source}", env!("CARGO_MANIFEST_DIR"));
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]);
    cc.arg(library).args([&source, "-ldl"]);
    let status = cc.status().expect("`cc` is there");
    assert!(status.success(), "{source} cannot be compiled");
}

/// Writes a control file atomically, since the library may read it at any time.
pub(crate) fn write_control_file(file: &Path, text: &str) {
    let draft = file.with_extension("draft");
    std::fs::write(&draft, text).expect("the folder is ours");
    std::fs::rename(draft, file).expect("the folder is ours");
}

/// Adds one library's variables to those of others: a process may have several.
pub(crate) fn add(environment: &mut Environment, other: Environment) {
    for (name, value) in other {
        match environment.get_mut(name) {
            Some(libraries) if name == PRELOAD => *libraries = format!("{libraries}:{value}"),
            _ => drop(environment.insert(name, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_libraries_are_loaded_side_by_side() {
        let mut environment = Environment::from([(PRELOAD, "a".to_owned())]);

        let other = [(PRELOAD, "b".to_owned()), ("OF_B", "1".to_owned())];
        add(&mut environment, Environment::from(other));

        assert_eq!(environment[PRELOAD], "a:b");
        assert_eq!(environment["OF_B"], "1");
    }
}
