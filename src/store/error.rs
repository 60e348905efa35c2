//! Errors of the store, one variant for each kind that callers handle differently.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use sea_orm::{DbErr, RuntimeErr, SqlErr, sqlx};

use super::UnsuitableDatabase;

/// Error of the store. It can be cloned, because one failed batch fails many callers.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database did not respond, or it is unknown whether it committed. Retryable: every function of the
    /// store may be called again.
    #[error("the database is unavailable")]
    Unavailable(#[source] Option<Arc<dyn Error + Send + Sync>>),
    /// Another row has that name, or the row changed since it was read.
    #[error("the row conflicts with another")]
    Conflict,
    /// The user has as many rows of the kind as a user may have.
    #[error("the user has the most rows of this kind")]
    TooMany,
    /// The actor is not an enabled administrator now.
    #[error("the actor is not an enabled administrator")]
    NotAdministrator,
    /// The access token of the actor, or its session, was revoked since the request began.
    #[error("the token of the actor was revoked")]
    ActorRevoked,
    /// The rights of the actor have changed since the request began.
    #[error("the token of the actor is outdated")]
    ActorOutdated,
    /// The change would leave no enabled administrator.
    #[error("no enabled administrator would be left")]
    LastAdministrator,
    /// No row has that id.
    #[error("there is no such row")]
    NotFound,
    /// A newer version of the program has migrated the schema.
    #[error(
        "the database has schema {found}, and this program knows schemas up to {known}: a newer version of Latchet has migrated it; start that version or a later one, or restore the backup from before the upgrade"
    )]
    NewerSchema {
        /// Newest migration of the database.
        found: String,
        /// Newest migration that this program knows.
        known: String,
    },
    /// The database is reachable, but some work of the server would fail.
    #[error(transparent)]
    Unsuitable(#[from] UnsuitableDatabase),
    /// There is no database, or it is empty.
    #[error(
        "no Latchet installation found: set LATCHET_DATA_DIR to its folder or DATABASE_URL to its database, or create a new one with `latchet migrate`"
    )]
    NoInstallation,
    /// The URL is not one of a SQLite file or a PostgreSQL database.
    #[error("the database URL cannot be used: {0}")]
    Url(String),
    /// The folder or file of a SQLite database cannot be created.
    #[error("cannot create {}", path.display())]
    File {
        /// Path of the folder or file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// A statement or a row is wrong: a bug in this program or a database that was edited by hand.
    #[error("unexpected response from the database")]
    Internal(#[source] Arc<dyn Error + Send + Sync>),
}

impl StoreError {
    /// Returns the error for a database that did not respond in time.
    pub(crate) fn unavailable() -> Self {
        Self::Unavailable(None)
    }

    /// Returns whether PostgreSQL did not give a statement the lock of a table in time, or ended it because of
    /// a deadlock.
    pub(super) fn is_lock_conflict(&self) -> bool {
        let Self::Unavailable(Some(source)) = self else {
            return false;
        };
        let error = source.downcast_ref::<DbErr>();
        error.is_some_and(|error| is_deadlock(error) || has_code(error, LOCK_NOT_AVAILABLE))
    }

    /// Returns the error for a row with an invalid value.
    pub(super) fn malformed(source: impl Error + Send + Sync + 'static) -> Self {
        Self::Internal(Arc::new(source))
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) {
            return Self::Conflict;
        }
        if is_transient(&error) {
            return Self::Unavailable(Some(Arc::new(error)));
        }
        Self::Internal(Arc::new(error))
    }
}

/// Returns whether the same call may succeed later without a change of the program.
fn is_transient(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            match &**error {
                sqlx::Error::Database(error) => {
                    error.code().is_some_and(|code| is_transient_code(&code))
                }
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed => true,
                _ => false,
            }
        }
        _ => false,
    }
}

/// SQLSTATE of a missing privilege, which may be granted later.
const MISSING_PRIVILEGE: &str = "42501";

/// SQLSTATE of a lock that was not granted within `lock_timeout`.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Returns whether an SQLSTATE of PostgreSQL (five characters) or a result code of SQLite (a number) means a
/// transient error: connection, deadlock, resources, shutdown; busy, locked, out of memory, read-only
/// file system, I/O, disk full, file missing.
fn is_transient_code(code: &str) -> bool {
    if code.len() == 5 {
        let is_transient = ["08", "25", "40", "53", "55", "57", "58"].contains(&&code[..2]);
        return is_transient || code == MISSING_PRIVILEGE;
    }
    // The low byte is the primary result code; the other bits give details.
    let primary = code.parse::<u32>().map_or(0, |code| code & 0xff);
    [5, 6, 7, 8, 10, 13, 14, 15].contains(&primary)
}

/// Returns whether PostgreSQL aborted this statement because of a deadlock or a serialization conflict.
pub(super) fn is_deadlock(error: &DbErr) -> bool {
    has_code(error, "40P01") || has_code(error, "40001")
}

/// Returns whether the database refused this statement with `code`.
fn has_code(error: &DbErr, code: &str) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) =
        error
    else {
        return false;
    };
    matches!(&**error, sqlx::Error::Database(error)
        if error.code().is_some_and(|found| found == code))
}

/// Returns the primary result code of SQLite, if the error has one.
pub(super) fn sqlite_code(error: &DbErr) -> Option<u32> {
    let (DbErr::Conn(RuntimeErr::SqlxError(error))
    | DbErr::Exec(RuntimeErr::SqlxError(error))
    | DbErr::Query(RuntimeErr::SqlxError(error))) = error
    else {
        return None;
    };
    let code = error.as_database_error()?.code()?;
    code.parse::<u32>().ok().map(|code| code & 0xff)
}
