//! A disk that is full or broken, for one process.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::shim::{self, Environment};

/// Fault of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskFault {
    /// `ENOSPC` at everything that takes room.
    Full,
    /// `EIO` at everything that writes, `fsync` included.
    Broken,
}

/// The disk below one folder. It needs neither root nor a file system of its own.
#[derive(Debug)]
pub(crate) struct Disk {
    /// Holds the library, and during a fault a file that names it.
    folder: TempDir,
}

impl Disk {
    /// Creates a disk without a fault.
    pub(crate) fn build() -> Option<Self> {
        if !cfg!(target_os = "linux") {
            return None;
        }
        let disk = Self {
            folder: shim::folder(),
        };
        shim::build("disk.c", &disk.shim());
        Some(disk)
    }

    fn shim(&self) -> PathBuf {
        self.folder.path().join("disk.so")
    }

    fn control(&self) -> PathBuf {
        self.folder.path().join("fault")
    }

    /// Returns the environment of a process whose files below `folder` are on this disk.
    pub(crate) fn environment(&self, folder: &Path) -> Environment {
        let text = |path: &Path| path.display().to_string();
        Environment::from([
            (shim::PRELOAD, text(&self.shim())),
            ("DISK_FOLDER", text(folder)),
            ("DISK_FAULT", text(&self.control())),
        ])
    }

    /// From now on writing fails.
    pub(crate) fn inject(&self, fault: DiskFault) {
        let word = match fault {
            DiskFault::Full => "full",
            DiskFault::Broken => "broken",
        };
        shim::write_control_file(&self.control(), word);
    }

    /// From now on writing works again.
    pub(crate) fn repair(&self) {
        std::fs::remove_file(self.control()).expect("it had fallen fault");
    }
}
