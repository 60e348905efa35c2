//! Opening a SQLite file.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::SqlxSqliteConnector;
use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sea_orm::sqlx::{ConnectOptions, Connection, Error};

use super::super::database::DatabaseHandle;
use super::super::{StoreError, suitability};
use super::{ACQUIRE_TIMEOUT, StoreConnections, connection_error};

/// Time for which SQLite waits until another process, such as the command line, has finished writing. Shorter
/// than the time limit of a statement, so that the error names the cause.
pub(in crate::store) const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(4);

/// Number of read connections besides the only writer; each is a thread.
const SQLITE_READERS: u32 = 4;

pub(in crate::store) fn sqlite_options(url: &str) -> Result<SqliteConnectOptions, StoreError> {
    if url.contains(":memory:") {
        return Err(StoreError::Url(
            "a database in memory is separate for each connection; name a file".to_owned(),
        ));
    }
    url.parse()
        .map_err(|_| StoreError::Url("write it like sqlite://data/latchet.db".to_owned()))
}

/// Returns the options to read a file that no process writes to: SQLite then creates no file beside it.
pub(in crate::store) fn reading_options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .read_only(true)
        .immutable(true)
}

/// Returns the path of the file in a SQLite URL.
///
/// # Errors
/// [`StoreError::Url`] when it names none.
pub fn sqlite_file(url: &str) -> Result<PathBuf, StoreError> {
    Ok(sqlite_options(url)?.get_filename().to_owned())
}

pub(super) async fn open(url: &str) -> Result<StoreConnections, StoreError> {
    let options = sqlite_options(url)?;
    require_private_file(options.get_filename())?;
    let options = options
        .create_if_missing(false)
        .foreign_keys(true)
        .busy_timeout(SQLITE_BUSY_TIMEOUT)
        .journal_mode(SqliteJournalMode::Wal)
        // With NORMAL, a power failure may lose a committed logout.
        .synchronous(SqliteSynchronous::Full)
        // Frees the disk space that a burst of writes used.
        .pragma("journal_size_limit", "67108864")
        // Overwrites what is deleted: nothing of a deleted account remains in the file.
        .pragma("secure_delete", "on")
        .disable_statement_logging();
    let writer = sqlite_writer(&options).await?;
    let options = options.pragma("query_only", "on");
    let readers = |count| {
        let pool = SqlitePoolOptions::new()
            .max_connections(count)
            .max_lifetime(None)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .connect_lazy_with(options.clone());
        DatabaseHandle::Sqlite(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
    };
    Ok(StoreConnections {
        writer: DatabaseHandle::Sqlite(SqlxSqliteConnector::from_sqlx_sqlite_pool(writer)),
        reader: readers(SQLITE_READERS),
        reserved: readers(1),
        connector: None,
    })
}

/// Opens the only connection that writes. The first one switches a new file to WAL, which needs exclusive
/// access; other processes that start at the same time receive "busy" at once, whatever the busy timeout, and
/// retry.
async fn sqlite_writer(options: &SqliteConnectOptions) -> Result<SqlitePool, StoreError> {
    let began = Instant::now();
    loop {
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .after_release(|connection, _| {
                Box::pin(async move {
                    // A rollback may still be running. It fails if SQLite has rolled back by itself, for
                    // example because the disk was full at the commit, and the connection would then treat
                    // each later transaction as part of one that never ends.
                    connection.ping().await?;
                    Ok(!connection.is_in_transaction())
                })
            });
        match pool.connect_with(options.clone()).await {
            Err(error) if is_busy(&error) && began.elapsed() < SQLITE_BUSY_TIMEOUT => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            connected => return connected.map_err(connection_error),
        }
    }
}

/// Returns whether another process has locked the file: the result code `SQLITE_BUSY`, in its low byte.
fn is_busy(error: &Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.and_then(|code| code.parse::<u32>().ok())
        .is_some_and(|code| code & 0xff == 5)
}

/// Creates the file where it is missing, and refuses one that cannot be written to: SQLite would report an error
/// of the disk. A file that exists is not opened, for the reason that [`require_writable`] gives.
pub(in crate::store) fn require_private_file(path: &Path) -> Result<(), StoreError> {
    if !path.exists() {
        make_private_file(path)?;
    }
    Ok(suitability::require_file(path)?)
}

/// Creates the file and its folder, readable by their owner only. SQLite gives its companion files (`-wal`,
/// `-shm`) the permissions of the file.
fn make_private_file(path: &Path) -> Result<(), StoreError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source: std::io::Error| StoreError::File {
            path,
            source: Arc::new(source),
        }
    };
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed(folder))?;
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(failed(path))?;
    Ok(())
}

/// Refuses a file that this process may not write to.
///
/// The file is not opened: when a process closes any descriptor of a file, the kernel releases all POSIX
/// locks that the process has on that file, those of SQLite included. The next command to close the
/// database would then take itself for its last user, and delete the journal that the server still
/// writes to: commits would be lost, and the file damaged (<https://sqlite.org/howtocorrupt.html>, 2.2).
///
/// # Errors
/// When the file is missing, is on a read-only file system, or belongs to somebody else.
pub fn require_writable(path: &Path) -> std::io::Result<()> {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    Ok(accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS)?)
}
