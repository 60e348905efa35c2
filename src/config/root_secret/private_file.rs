//! Files that only their owner can read, written so that no process reads half of one.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use latchet_guard::keys::random_id;

/// Creates the folder (0700) and the file (0600) if they are missing. The file is written under another
/// name and then linked, so that no process reads half of it or replaces the file of another one.
pub(super) fn create(path: &Path, text: &str) -> std::io::Result<()> {
    let draft = write_draft(path, text)?;
    let linked = match std::fs::hard_link(&draft, path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    };
    std::fs::remove_file(&draft).and(linked)
}

/// Replaces the file, or creates it. After an error, and after a power failure, it has its old content or the
/// new one.
pub(super) fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let draft = write_draft(path, text)?;
    let replaced = std::fs::rename(&draft, path).and_then(|()| match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    });
    if replaced.is_err() {
        // The first error is the one that matters.
        let _ = std::fs::remove_file(&draft);
    }
    replaced
}

/// Writes the text to the disk under another name beside the file, and returns that name.
fn write_draft(path: &Path, text: &str) -> std::io::Result<PathBuf> {
    #[cfg(unix)]
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

    let mut folder = std::fs::DirBuilder::new();
    folder.recursive(true);
    let mut file = std::fs::OpenOptions::new();
    file.write(true).create_new(true);
    #[cfg(unix)]
    {
        folder.mode(0o700);
        file.mode(0o600);
    }
    if let Some(parent) = path.parent() {
        folder.create(parent)?;
    }
    let draft = path.with_extension(random_id());
    let mut opened = file.open(&draft)?;
    let written = writeln!(opened, "{text}").and_then(|()| opened.sync_all());
    if let Err(error) = written {
        let _ = std::fs::remove_file(&draft);
        return Err(error);
    }
    Ok(draft)
}
