//! The database file that a restore replaces.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::draft::{COMPANIONS, DraftFile, folder, link_new, sync_folder, with_suffix};
use crate::store::{self, StoreError};
use latchet_guard::clock::Time;
use latchet_guard::keys::random_id;

/// Reason for which the database file cannot be replaced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplaceError {
    /// Another process, such as a command, has the database open.
    #[error(
        "another program has {} open: let it end, then repeat the restore; nothing was changed",
        .0.display()
    )]
    InUse(PathBuf),
    /// The journal of the database cannot be written into its file.
    #[error("cannot complete the present database; it was not changed")]
    Incomplete(#[from] StoreError),
    /// A call to the operating system failed.
    #[error("cannot {attempt}; {state}")]
    Failed {
        attempt: String,
        state: &'static str,
        #[source]
        source: std::io::Error,
    },
}

const UNCHANGED: &str = "the database was not changed";
const UNCERTAIN: &str =
    "the database is the previous or the restored one, and is whole; repeat the restore";

/// The previous database, under its new name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptDatabase {
    /// The file, complete unless it was damaged.
    pub(crate) path: PathBuf,
}

/// Path of the database file, with links resolved. The file need not exist.
#[derive(Clone, Debug)]
pub(crate) struct RestoreTarget {
    path: PathBuf,
}

impl RestoreTarget {
    /// Returns the target at this path.
    ///
    /// # Errors
    /// When a folder of the path cannot be read.
    pub(crate) fn find(path: &Path) -> std::io::Result<Self> {
        let resolved = match path.canonicalize() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let folder = match folder(path).canonicalize() {
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        std::path::absolute(folder(path))?
                    }
                    folder => folder?,
                };
                folder.join(path.file_name().unwrap_or_default())
            }
            resolved => resolved?,
        };
        Ok(Self { path: resolved })
    }

    /// Returns the path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Creates the folder, readable by its owner only.
    ///
    /// # Errors
    /// When it cannot be created.
    pub(crate) fn create_folder(&self) -> std::io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder(&self.path))
    }

    /// Returns whether a database is to be replaced.
    pub(crate) fn has_database(&self) -> bool {
        let length = std::fs::metadata(&self.path).map(|file| file.len());
        length.is_ok_and(|length| length > 0) || !self.companions().is_empty()
    }

    /// Returns the names of journals that SQLite would apply to any file with the name of the database.
    pub(crate) fn companions(&self) -> Vec<&'static str> {
        let exists = |suffix: &&str| with_suffix(&self.path, suffix).exists();
        COMPANIONS.into_iter().filter(exists).collect()
    }

    /// Gives a draft the owner of the database, or of its folder: the server may run as another user than
    /// this program.
    ///
    /// # Errors
    /// When this user may not do that.
    pub(crate) fn give_owner(&self, draft: &DraftFile) -> std::io::Result<()> {
        let owner =
            std::fs::metadata(&self.path).or_else(|_| std::fs::metadata(folder(&self.path)))?;
        let present = std::fs::metadata(draft.path())?;
        if owner.uid() == present.uid() {
            return Ok(());
        }
        std::os::unix::fs::chown(draft.path(), Some(owner.uid()), Some(owner.gid()))
    }

    /// Puts a complete draft in the place of the database. Whenever the process or the machine ends, one of
    /// the two has the name of the database, and is whole:
    ///
    /// 1. The journal of the previous database becomes part of its file.
    /// 2. That file gets a second name.
    /// 3. The draft takes the first name, in one step of the file system.
    ///
    /// A damaged database keeps its journals, under the second name too.
    ///
    /// # Errors
    /// The text says whether the database was changed.
    pub(crate) async fn replace(
        &self,
        draft: DraftFile,
        now: Time,
    ) -> Result<Option<KeptDatabase>, ReplaceError> {
        let kept = if self.has_database() {
            // Journals without a database belong to nothing.
            let is_complete = self.path.exists() && store::complete_file(&self.path).await?;
            if is_complete && !self.companions().is_empty() {
                return Err(ReplaceError::InUse(self.path.clone()));
            }
            let kept = self.keep(now).map_err(|source| ReplaceError::Failed {
                attempt: format!("give {} a second name", self.path.display()),
                state: UNCHANGED,
                source,
            })?;
            Some(kept)
        } else {
            None
        };
        draft.replace().map_err(|source| ReplaceError::Failed {
            attempt: format!("replace {}", self.path.display()),
            state: UNCERTAIN,
            source,
        })?;
        Ok(kept)
    }

    /// Gives the database, and its journals, a second name. Then removes the journals from the first name.
    fn keep(&self, now: Time) -> std::io::Result<KeptDatabase> {
        let time: String = now
            .to_string()
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        let mut path = with_suffix(&self.path, &format!(".replaced-{time}"));
        if path.exists() {
            path = with_suffix(&path, &format!("-{}", &random_id()[..8]));
        }
        if self.path.exists() {
            link_new(&self.path, &path)?;
        }
        let companions = self.companions();
        for suffix in &companions {
            link_new(
                &with_suffix(&self.path, suffix),
                &with_suffix(&path, suffix),
            )?;
        }
        sync_folder(&self.path)?;
        for suffix in companions {
            std::fs::remove_file(with_suffix(&self.path, suffix))?;
        }
        sync_folder(&self.path)?;
        Ok(KeptDatabase { path })
    }
}
