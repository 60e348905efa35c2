//! Lock of a SQLite file: one server at a time.
//!
//! The server on a SQLite file checks tokens against a denylist in its own memory, which a second server
//! would not update. The command line works beside the server without the lock: it waits until the server has
//! read its revocations.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::StoreError;
use super::connection::{require_private_file, sqlite_file};
use crate::config::{DatabaseKind, DatabaseUrl};

/// A lock that one process holds until it drops this value or ends, even by a crash. PostgreSQL needs none.
#[derive(Debug)]
pub struct ServerLock {
    /// The kernel frees the lock with the last descriptor of this file.
    _file: Option<File>,
}

/// Reason for which a server may not use a SQLite file.
#[derive(Debug, thiserror::Error)]
pub enum ServerLockError {
    /// Another server uses it.
    #[error(
        "another server{} uses {} already: stop it first, or use a separate database; several servers can share a PostgreSQL database, but not a SQLite file",
        holder.map(|id| format!(" (process {id})")).unwrap_or_default(),
        database.display()
    )]
    HeldByServer {
        /// Path of the database file, with links resolved.
        database: PathBuf,
        /// Process id of the other server, where it can be read.
        holder: Option<u32>,
    },
    /// Locking failed, so another server may be using the file.
    #[error(
        "cannot lock {}: the database must be on a local file system that supports locks, in a folder that this server can write to",
        path.display()
    )]
    Failed {
        /// Path of the lock file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// The database file cannot be found or created.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ServerLock {
    /// Takes the lock of the file that `url` names, by whatever path. Creates the file if it is missing.
    ///
    /// # Errors
    /// [`ServerLockError::HeldByServer`] while another process, or another server of this one, holds it.
    pub fn take(url: &DatabaseUrl) -> Result<Self, ServerLockError> {
        if url.kind() == DatabaseKind::Postgres {
            return Ok(Self { _file: None });
        }
        let database = sqlite_file(url.expose())?;
        require_private_file(&database)?;
        // One file has one lock, also when it is reached through a link or from another folder.
        let database = database.canonicalize().map_err(failed(&database))?;
        Self::take_for(&database)
    }

    /// Takes the lock of a database file, which need not exist; links in its path must be resolved.
    ///
    /// # Errors
    /// As [`ServerLock::take`].
    pub fn take_for(database: &Path) -> Result<Self, ServerLockError> {
        let file = lock(database)?;
        Ok(Self { _file: Some(file) })
    }

    /// Returns once no server holds the lock of a database file. Creates and changes nothing.
    ///
    /// # Errors
    /// [`ServerLockError::HeldByServer`] while a server holds it.
    pub fn check_free(database: &Path) -> Result<(), ServerLockError> {
        let path = lock_path(database);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(failed(&path))?,
        };
        match file.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => Err(held(database, &mut file)),
            Err(TryLockError::Error(source)) => Err(failed(&path)(source)),
        }
    }
}

fn lock_path(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

fn held(database: &Path, file: &mut File) -> ServerLockError {
    ServerLockError::HeldByServer {
        database: database.to_owned(),
        holder: holder(file),
    }
}

fn lock(database: &Path) -> Result<File, ServerLockError> {
    let path = lock_path(database);
    // The lock file is never removed: removing it could remove the file that the next process has locked.
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(held(database, &mut file));
        }
        Err(TryLockError::Error(source)) => return Err(failed(&path)(source)),
    }
    let named = file
        .set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    named.map_err(failed(&path))?;
    Ok(file)
}

/// Reads the process id of the lock's holder. The holder may not have written it yet.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> ServerLockError {
    let path = path.to_owned();
    |source| ServerLockError::Failed { path, source }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn take(path: &Path) -> Result<ServerLock, ServerLockError> {
        let url = format!("sqlite://{}", path.display());
        ServerLock::take(&url.parse().unwrap())
    }

    fn holder_of(path: &Path) -> Option<u32> {
        match take(path) {
            Err(ServerLockError::HeldByServer { holder, .. }) => holder,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_file_has_one_lock_and_its_holder_is_named() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("data/latchet.db");

        let first = take(&path).unwrap();

        assert_eq!(holder_of(&path), Some(std::process::id()));
        drop(first);
        take(&path).unwrap();
    }

    #[test]
    fn other_paths_of_the_file_lead_to_the_same_lock() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("data/latchet.db");
        let _first = take(&path).unwrap();
        let link = folder.path().join("link.db");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        std::os::unix::fs::symlink(path.parent().unwrap(), folder.path().join("linked")).unwrap();

        for other in [
            link,
            folder.path().join("linked/latchet.db"),
            folder.path().join("data/../data/./latchet.db"),
        ] {
            assert_eq!(holder_of(&other), Some(std::process::id()), "{other:?}");
        }
    }

    #[test]
    fn other_files_have_other_locks() {
        let folder = TempDir::new().unwrap();
        let _first = take(&folder.path().join("one.db")).unwrap();

        take(&folder.path().join("other.db")).unwrap();
    }

    #[test]
    fn an_error_names_the_file_that_cannot_be_locked() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("latchet.db");
        std::fs::create_dir(folder.path().join("latchet.db.lock")).unwrap();

        let error = take(&path).unwrap_err();

        assert!(error.to_string().contains("latchet.db.lock"), "{error}");
    }

    #[test]
    fn postgres_needs_no_lock() {
        let url = "postgres://localhost/latchet".parse().unwrap();

        let (one, other) = (ServerLock::take(&url), ServerLock::take(&url));

        assert!(one.is_ok() && other.is_ok());
    }
}
