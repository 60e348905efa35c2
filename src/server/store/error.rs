//! Why a statement failed, as far as somebody acts on it differently.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use sea_orm::{DbErr, RuntimeErr, SqlErr, sqlx};

use super::UnfitDatabase;

/// Why the store could not do what was asked. Cloned, because one failed batch fails many callers.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database did not answer, or it is unknown whether it committed. Retryable: every
    /// function of the store may be called again.
    #[error("the database is unavailable")]
    Unavailable(#[source] Option<Arc<dyn Error + Send + Sync>>),
    /// Another row has that name, or the row changed since it was read.
    #[error("the row conflicts with another")]
    Conflict,
    /// The user who acts is no enabled administrator any more.
    #[error("the actor is no enabled administrator")]
    NotAdministrator,
    /// The access token of the actor, or its session, was revoked since the request began.
    #[error("the token of the actor was revoked")]
    ActorRevoked,
    /// Something has changed what the actor may do since the request began.
    #[error("the token of the actor is outdated")]
    ActorOutdated,
    /// The change would leave no enabled administrator.
    #[error("no enabled administrator would be left")]
    LastAdministrator,
    /// No row has that id.
    #[error("there is no such row")]
    NotFound,
    /// A newer version of the program has changed the schema.
    #[error(
        "the database has a newer schema (step {step}) than this program knows; upgrade the program"
    )]
    NewerSchema {
        /// The first step that this program does not know.
        step: String,
    },
    /// The database answers, but something that the server does would fail.
    #[error(transparent)]
    Unfit(#[from] UnfitDatabase),
    /// There is no database, or it is empty.
    #[error(
        "there is no Latchet here: name its folder by LATCHET_DATA_DIR or its database by DATABASE_URL, or make a new one with `latchet migrate`"
    )]
    NoInstallation,
    /// The URL is not one of a SQLite file or a PostgreSQL database.
    #[error("the database URL cannot be used: {0}")]
    Url(String),
    /// The folder or file of a SQLite database cannot be made.
    #[error("cannot make {}", path.display())]
    File {
        /// What could not be made.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// A statement or a row is wrong: a fault of this program or of a hand-edited database.
    #[error("the database answered something unexpected")]
    Internal(#[source] Arc<dyn Error + Send + Sync>),
}

impl StoreError {
    /// Returns the error for a database that was waited for in vain.
    pub(crate) fn unavailable() -> Self {
        Self::Unavailable(None)
    }

    /// Returns the error for a row that cannot be read.
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

/// Returns whether the same call may succeed later without anybody changing the program.
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

/// SQLSTATE of a role that may not do something; somebody may grant it.
const MISSING_PRIVILEGE: &str = "42501";

/// Returns whether an SQLSTATE of PostgreSQL (five characters) or a result code of SQLite
/// (a number) names a passing trouble: connection, deadlock, resources, shutdown; busy, locked,
/// out of memory, read-only file system, I/O, disk full, file gone.
fn is_transient_code(code: &str) -> bool {
    if code.len() == 5 {
        let is_transient = ["08", "25", "40", "53", "55", "57", "58"].contains(&&code[..2]);
        return is_transient || code == MISSING_PRIVILEGE;
    }
    // The low byte is the primary result code, the rest tells where it arose.
    let primary = code.parse::<u32>().map_or(0, |code| code & 0xff);
    [5, 6, 7, 8, 10, 13, 14, 15].contains(&primary)
}

/// Returns whether PostgreSQL ended this statement to free another that waited for the same rows.
pub(super) fn is_deadlock(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) =
        error
    else {
        return false;
    };
    matches!(&**error, sqlx::Error::Database(error)
        if error.code().is_some_and(|code| code == "40P01" || code == "40001"))
}
