//! Copies of a SQLite database: writing one while a server writes, and checking one before it is used.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, SqlxSqliteConnector, Statement};

use super::connection::{reading_options, require_file, sqlite_options};
use super::{StoreError, StoredSigningKey, issuer, signing_keys, suitability};
use crate::config::DatabaseUrl;
use latchet_guard::clock::Time;

/// Result codes of SQLite for a file that it did not write (`SQLITE_NOTADB`) or that is damaged
/// (`SQLITE_CORRUPT`).
const NOT_A_DATABASE: u32 = 26;
const CORRUPT: u32 = 11;

/// Most changes that are listed.
const MAX_CHANGES: u32 = 50;

/// Content of a backup with the schema of this program.
#[derive(Clone, Debug)]
pub struct BackupContent {
    /// Number of accounts.
    pub users: u64,
    /// Number of sessions that have not ended.
    pub live_sessions: u64,
    /// Time of the latest change in it; `None` if nothing has happened yet.
    pub latest_change: Option<Time>,
    /// The signing keys.
    pub keys: Vec<StoredSigningKey>,
}

/// A file that was checked and has no fault.
#[derive(Clone, Debug)]
pub enum CheckedBackup {
    /// It has the schema of this program.
    Current(BackupContent),
    /// An older version of the program made it.
    Older {
        /// Its newest migration.
        step: String,
    },
}

/// Fault of a file that should be a backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupFault {
    /// It is no SQLite database.
    #[error("it is not a SQLite database")]
    NotSqlite,
    /// SQLite finds it damaged.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// Another program made it.
    #[error("it is a database of another program, not of Latchet")]
    Foreign,
    /// A newer version of the program made it.
    #[error(
        "a newer version of Latchet wrote it (schema step {step} is unknown to this program): use that version"
    )]
    NewerSchema {
        /// First migration that this program does not know.
        step: String,
    },
    /// It cannot be read.
    #[error("it cannot be read")]
    Store(#[from] StoreError),
}

/// Security event that changed an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountChange {
    /// Time of the event.
    pub at: Time,
    /// Name of its kind.
    pub kind: String,
    /// User name, or the id of a user that does not exist any more, or of a credential of a service.
    pub user: String,
}

/// A SQLite file with one connection.
struct SqliteFile {
    pool: SqlitePool,
    db: DatabaseConnection,
}

impl SqliteFile {
    async fn open(options: SqliteConnectOptions) -> Result<Self, sea_orm::DbErr> {
        let pool = SqlitePoolOptions::new().max_connections(1);
        let pool = pool.connect_with(options).await;
        let pool = pool.map_err(super::database::connection_error)?;
        let db = SqlxSqliteConnector::from_sqlx_sqlite_pool(pool.clone());
        Ok(Self { pool, db })
    }

    async fn rows(&self, sql: &str) -> Result<Vec<sea_orm::QueryResult>, sea_orm::DbErr> {
        let statement = Statement::from_string(DbBackend::Sqlite, sql);
        self.db.query_all_raw(statement).await
    }
}

/// Writes a copy of the database into an empty file, as of one moment, while others read and write.
///
/// # Errors
/// [`StoreError::NoInstallation`] when there is none; others when it cannot be read, or the disk of the copy is
/// full.
pub async fn write_copy(url: &DatabaseUrl, copy: &Path) -> Result<(), StoreError> {
    require_file(url)?;
    let source = SqliteFile::open(sqlite_options(url.expose())?).await?;
    if migration::applied_migrations(&source.db).await?.is_empty() {
        return Err(StoreError::NoInstallation);
    }
    let name = copy
        .to_str()
        .ok_or_else(|| StoreError::Url("the name of the backup must be valid UTF-8".to_owned()))?;
    let values = [name.into()];
    let copied = Statement::from_sql_and_values(DbBackend::Sqlite, "VACUUM INTO $1", values);
    let copied = source.db.execute_raw(copied).await;
    source.pool.close().await;
    copied?;
    Ok(())
}

/// Checks a file that no process writes to, and reads what it contains. Changes nothing.
///
/// # Errors
/// When it is no database of Latchet, is damaged, or has a newer schema.
pub async fn check_backup(file: &Path, now: Time) -> Result<CheckedBackup, BackupFault> {
    // A file that cannot be read is reported below.
    let length = std::fs::metadata(file).map_or(0, |file| file.len());
    let opened = SqliteFile::open(reading_options(file)).await;
    let file = opened.map_err(fault)?;
    let checked = check_opened(&file, length, now).await;
    file.pool.close().await;
    checked
}

async fn check_opened(
    file: &SqliteFile,
    length: u64,
    now: Time,
) -> Result<CheckedBackup, BackupFault> {
    let rows = file.rows("PRAGMA integrity_check(1)").await;
    let found = rows.map_err(fault)?.into_iter().next();
    let found: Option<String> = found.and_then(|row| row.try_get_by_index(0).ok());
    let found = found.unwrap_or_default();
    if found != "ok" {
        return Err(BackupFault::Damaged(found));
    }
    let rows = file.rows("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size");
    let expected: i64 = first(&rows.await.map_err(fault)?)?;
    // The check above does not miss the end of a page that is empty there.
    if u64::try_from(expected).ok() != Some(length) {
        return Err(BackupFault::Damaged("its length is wrong".to_owned()));
    }
    let known = migration::known_migrations();
    let applied = migration::applied_migrations(&file.db).await;
    let applied = applied.map_err(fault)?;
    if !applied.iter().any(|step| known.contains(step)) {
        return Err(BackupFault::Foreign);
    }
    if let Some(step) = applied.iter().find(|step| !known.contains(step)) {
        let step = step.clone();
        return Err(BackupFault::NewerSchema { step });
    }
    if applied.len() < known.len() {
        let step = applied.into_iter().next_back().unwrap_or_default();
        return Ok(CheckedBackup::Older { step });
    }
    let absent = suitability::absent_tables(&file.db).await?;
    if !absent.is_empty() {
        return Err(BackupFault::Damaged(format!("it lacks tables: {absent}")));
    }
    Ok(CheckedBackup::Current(read_content(file, now).await?))
}

async fn read_content(file: &SqliteFile, now: Time) -> Result<BackupContent, StoreError> {
    let users = file.rows("SELECT count(*) FROM users").await?;
    let users: i64 = first(&users)?;
    let latest: Option<i64> = first(&file.rows(LATEST_CHANGE).await?)?;
    Ok(BackupContent {
        users: u64::try_from(users).map_err(StoreError::malformed)?,
        live_sessions: issuer::live_sessions(&file.db, now).await?,
        latest_change: latest.map(Time::from_millis),
        keys: signing_keys::all_keys(&file.db).await?,
    })
}

fn first<T: sea_orm::TryGetable>(rows: &[sea_orm::QueryResult]) -> Result<T, StoreError> {
    let row = rows.first().ok_or(StoreError::NotFound)?;
    Ok(row.try_get_by_index(0)?)
}

const LATEST_CHANGE: &str = "
    SELECT MAX(at) FROM (
        SELECT MAX(created_at) AS at FROM users
        UNION ALL SELECT MAX(rotated_at) FROM sessions
        UNION ALL SELECT MAX(created_at) FROM revocations
        UNION ALL SELECT MAX(created_at) FROM keys
        UNION ALL SELECT MAX(at) FROM events)";

/// Returns the error of a statement on a file that may be anything.
fn fault(error: sea_orm::DbErr) -> BackupFault {
    let code = super::error::sqlite_code(&error);
    match code {
        Some(NOT_A_DATABASE) => BackupFault::NotSqlite,
        Some(CORRUPT) => BackupFault::Damaged("the structure of the file is broken".to_owned()),
        _ => BackupFault::Store(error.into()),
    }
}

/// Writes the journal of a database into its file, which is then the whole database unless another process has
/// it open. Returns false if the database is damaged: the file stays as it is.
///
/// # Errors
/// When the file cannot be read or written.
pub async fn complete_file(file: &Path) -> Result<bool, StoreError> {
    if !begins_like_a_database(file) {
        // SQLite takes it for a new file, and deletes its journal.
        return Ok(false);
    }
    let options = SqliteConnectOptions::new().filename(file);
    let completed = match SqliteFile::open(options).await {
        Ok(opened) => {
            let done = opened.rows("PRAGMA wal_checkpoint(TRUNCATE)").await;
            // The last process that closes a database removes its journal.
            opened.pool.close().await;
            done.map(drop)
        }
        Err(error) => Err(error),
    };
    match completed {
        Ok(()) => Ok(true),
        Err(error) => match super::error::sqlite_code(&error) {
            Some(NOT_A_DATABASE | CORRUPT) => Ok(false),
            _ => Err(error.into()),
        },
    }
}

/// Returns whether a file has the header of SQLite, and the page that begins with it.
fn begins_like_a_database(file: &Path) -> bool {
    let read = || -> std::io::Result<bool> {
        let mut file = File::open(file)?;
        let mut header = [0; 18];
        file.read_exact(&mut header)?;
        // The number 1 stands for 65,536.
        let page = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 1 << 16,
            bytes => u64::from(bytes),
        };
        Ok(header.starts_with(b"SQLite format 3\0") && file.metadata()?.len() >= page)
    };
    read().unwrap_or(false)
}

/// Returns the changes of accounts after `time`, the earliest first, in a file that no process writes to.
///
/// # Errors
/// When the file is no database of this version, or is damaged.
pub async fn account_changes_after(
    file: &Path,
    time: Time,
) -> Result<Vec<AccountChange>, StoreError> {
    let file = SqliteFile::open(reading_options(file)).await?;
    let values = [time.millis().into(), MAX_CHANGES.into()];
    let found = Statement::from_sql_and_values(DbBackend::Sqlite, ACCOUNT_CHANGES, values);
    let rows = file.db.query_all_raw(found).await;
    file.pool.close().await;
    let changes = rows?.into_iter().map(|row| {
        Ok(AccountChange {
            at: Time::from_millis(row.try_get_by_index(0)?),
            kind: row.try_get_by_index(1)?,
            user: row.try_get_by_index(2)?,
        })
    });
    changes.collect()
}

const ACCOUNT_CHANGES: &str = "
    SELECT events.at, events.kind, COALESCE(users.username, events.user_id, events.session_id, '')
    FROM events LEFT JOIN users ON users.id = events.user_id
    WHERE events.at > $1 AND events.kind IN ('password_changed', 'password_reset', 'user_created',
        'user_disabled', 'user_enabled', 'roles_changed', 'first_administrator',
        'service_credential_ended', 'user_deleted')
    ORDER BY events.id LIMIT $2";
