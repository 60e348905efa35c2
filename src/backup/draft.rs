//! Files that are complete before they get their name.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use latchet_guard::keys::random_id;

/// Endings of the files that SQLite keeps beside a database.
pub(super) const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A file under a temporary name beside its final one, readable by its owner only. It is removed when this
/// value is dropped before it gets its final name.
#[derive(Debug)]
pub(crate) struct DraftFile {
    path: PathBuf,
    target: PathBuf,
}

impl DraftFile {
    /// Creates an empty file beside `target`.
    ///
    /// # Errors
    /// When the folder is missing or cannot be written to.
    pub(crate) fn create(target: &Path) -> Result<Self> {
        Self::open(target).map(|(draft, _)| draft)
    }

    /// Creates a copy of `source` beside `target`.
    ///
    /// # Errors
    /// When the source cannot be read or the copy cannot be written.
    pub(crate) fn copy(source: &Path, target: &Path) -> Result<Self> {
        let (draft, mut file) = Self::open(target)?;
        std::io::copy(&mut File::open(source)?, &mut file)?;
        Ok(draft)
    }

    fn open(target: &Path) -> Result<(Self, File)> {
        let path = with_suffix(target, &format!(".part-{}", &random_id()[..8]));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let target = target.to_owned();
        Ok((Self { path, target }, file))
    }

    /// Returns the temporary path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its final name, unless another file has it.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] when another file has the name; others when the system does not confirm
    /// that the file is on disk.
    pub(crate) fn persist_new(self) -> Result<()> {
        File::open(&self.path)?.sync_all()?;
        link_new(&self.path, &self.target)?;
        sync_folder(&self.target)
    }

    /// Gives the file its final name, in place of the file that has it.
    ///
    /// # Errors
    /// When the system does not confirm that the file is on disk.
    pub(crate) fn replace(self) -> Result<()> {
        File::open(&self.path)?.sync_all()?;
        std::fs::rename(&self.path, &self.target)?;
        sync_folder(&self.target)
    }
}

impl Drop for DraftFile {
    fn drop(&mut self) {
        // After a rename there is nothing to remove.
        let _ = std::fs::remove_file(&self.path);
        for companion in COMPANIONS {
            let _ = std::fs::remove_file(with_suffix(&self.path, companion));
        }
    }
}

/// Returns the paths of journals beside a database file that are not empty: the file alone is not complete.
pub(crate) fn journals_beside(file: &Path) -> Vec<PathBuf> {
    let has_content = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|file| file.len() > 0);
    let journals = ["-wal", "-journal"].map(|suffix| with_suffix(file, suffix));
    journals.into_iter().filter(has_content).collect()
}

/// Gives a file a second name, which no file may have.
pub(super) fn link_new(path: &Path, name: &Path) -> Result<()> {
    match std::fs::hard_link(path, name) {
        Err(error) if has_no_links(&error) => {}
        linked => return linked,
    }
    // A file system without links, such as those of memory cards: the copy exists completely or not at all,
    // except after a power failure.
    let mut copy = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(name)?;
    let copied = std::io::copy(&mut File::open(path)?, &mut copy).and_then(|_| copy.sync_all());
    if copied.is_err() {
        let _ = std::fs::remove_file(name);
    }
    copied
}

/// Returns whether the file system has no hard links.
fn has_no_links(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unsupported | ErrorKind::PermissionDenied
    )
}

/// Returns the path with more letters at its end.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Writes the names of a folder to disk.
pub(super) fn sync_folder(file: &Path) -> Result<()> {
    File::open(folder(file))?.sync_all()
}

/// Returns the folder of a file.
pub(super) fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
