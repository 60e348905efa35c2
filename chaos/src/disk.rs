//! A disk that is full or broken, for one process: a library of `chaos/shim/` between it and the kernel.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::scratch;

const SHIM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/shim/disk.c");

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ill {
    /// `ENOSPC` at everything that takes room.
    Full,
    /// `EIO` at everything that writes, `fsync` included.
    Broken,
}

/// The disk below one folder. It needs neither root nor a file system of its own.
#[derive(Debug)]
pub(crate) struct Disk {
    /// Holds the library, and while the disk is ill a file that says so.
    folder: TempDir,
}

impl Disk {
    /// Builds the library, by the `cc` that links programs in Rust too. There is none but on Linux,
    /// whose calls the library knows.
    pub(crate) fn build() -> Option<Self> {
        if !cfg!(target_os = "linux") {
            return None;
        }
        let disk = Self {
            folder: scratch::folder(),
        };
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]);
        cc.arg(disk.shim()).args([SHIM, "-ldl"]);
        let status = cc.status().expect("`cc` is there");
        assert!(status.success(), "{SHIM} cannot be compiled");
        Some(disk)
    }

    fn shim(&self) -> PathBuf {
        self.folder.path().join("disk.so")
    }

    fn control(&self) -> PathBuf {
        self.folder.path().join("ill")
    }

    /// Returns the environment of a process whose files below `folder` are on this disk.
    pub(crate) fn environment(&self, folder: &Path) -> [(&'static str, String); 3] {
        let text = |path: &Path| path.display().to_string();
        [
            ("LD_PRELOAD", text(&self.shim())),
            ("DISK_FOLDER", text(folder)),
            ("DISK_FAULT", text(&self.control())),
        ]
    }

    /// From now on writing fails.
    pub(crate) fn fall(&self, ill: Ill) {
        let word = match ill {
            Ill::Full => "full",
            Ill::Broken => "broken",
        };
        // Whole at once: the library reads it at any time.
        let draft = self.folder.path().join("draft");
        std::fs::write(&draft, word).expect("the folder is ours");
        std::fs::rename(draft, self.control()).expect("the folder is ours");
    }

    /// From now on writing works again.
    pub(crate) fn mend(&self) {
        std::fs::remove_file(self.control()).expect("it had fallen ill");
    }
}
