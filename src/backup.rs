//! Backups of a SQLite database, and the restore of any database. The statements are in [`store`](super::store).

mod draft;
mod target;

pub(crate) use draft::{DraftFile, journals_beside};
pub(crate) use target::{ReplaceError, RestoreTarget};
