//! Reasons for which a reachable database is unsuitable.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::StoreError;
use super::connection::{require_writable, sqlite_file};
use crate::config::DatabaseUrl;

/// Reason for which work on a database would fail, found without writing to it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UnsuitableDatabase {
    /// A standby follows another server.
    #[error("the database takes no writes: it is a standby, in recovery")]
    Standby,
    /// A setting of the role, the database or the server.
    #[error("the database takes no writes: default_transaction_read_only is on")]
    ReadOnly,
    /// Some names cannot be stored.
    #[error("the encoding of the database is {0}, which cannot represent every name")]
    Encoding(String),
    /// Privileges that the role lacks, such as `INSERT on users`.
    #[error("the role of the database lacks privileges: {0}")]
    Privileges(String),
    /// Tables that are missing although the schema is complete, as after an incomplete restore or under another
    /// `search_path`.
    #[error("the database lacks tables: {0}")]
    Tables(String),
    /// The file is not writable.
    #[error("the database file {} cannot be written to", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// The files that SQLite keeps beside its database cannot be written: the disk is full, a quota is used
    /// up, or the folder belongs to somebody else.
    #[error("nothing can be written beside the database file {}", path.display())]
    NoRoom {
        /// The database file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<std::io::Error>,
    },
}

impl UnsuitableDatabase {
    /// Returns the way to fix it.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Standby => {
                "set DATABASE_URL to the primary, or to all servers: postgres://host1,host2/latchet"
            }
            Self::ReadOnly => {
                "run ALTER ROLE … RESET default_transaction_read_only, and the same for the database; if the disk is full, free space"
            }
            Self::Encoding(_) => {
                "create a database with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and move the data there with pg_dump"
            }
            Self::Privileges(_) => {
                "make the role the owner of the database and its tables, or GRANT it the missing privileges"
            }
            Self::Tables(_) => {
                "restore the whole database from a backup; if the tables are in another schema, set the search_path of the role"
            }
            Self::File { .. } => "give the file and its folder to the user that runs the server",
            Self::NoRoom { .. } => {
                "free space on that file system, and give the folder to the user that runs the server"
            }
        }
    }
}

/// The tables of the newest schema.
const TABLES: [&str; 16] = [
    "users",
    "sessions",
    "revocations",
    "keys",
    "throttles",
    "setup_links",
    "denylist_epoch",
    "events",
    "reset_links",
    "access_lifetimes",
    "installation",
    "service_credentials",
    "emails",
    "codes",
    "outbox",
    "seaql_migrations",
];

/// One column for each check: encoding, recovery, read-only, missing tables, missing privileges on the others,
/// and the privilege to create tables.
static SUITABILITY_CHECKS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH ours AS (SELECT unnest(ARRAY['{}']) AS name)
        SELECT current_setting('server_encoding') AS encoding,
            pg_is_in_recovery() AS is_standby,
            current_setting('transaction_read_only') = 'on' AS is_read_only,
            (SELECT string_agg(name, ', ') FROM ours WHERE to_regclass(name) IS NULL) AS absent,
            (SELECT string_agg(needed || ' on ' || name, ', ')
                FROM ours, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS needed
                WHERE to_regclass(name) IS NOT NULL
                    AND (name <> 'seaql_migrations' OR needed = 'SELECT')
                    AND NOT has_table_privilege(to_regclass(name)::oid, needed)) AS missing,
            COALESCE(has_schema_privilege(current_schema()::text, 'CREATE'), false) AS may_create",
        TABLES.join("','")
    )
});

/// Refuses a database on which work would fail. `missing_migrations` is the number of migrations still to be applied;
/// `None` while it is not known.
pub(super) async fn require_suitable<C: ConnectionTrait>(
    url: &DatabaseUrl,
    db: &C,
    missing_migrations: Option<usize>,
) -> Result<(), StoreError> {
    if db.get_database_backend() == DbBackend::Postgres {
        return require_suitable_postgres(db, missing_migrations).await;
    }
    let path = sqlite_file(url.expose())?;
    // A disk that hangs must not keep a thread of the runtime.
    let checked = tokio::task::spawn_blocking(move || require_file(&path)).await;
    checked.map_err(|_| StoreError::unavailable())??;
    if missing_migrations != Some(0) {
        return Ok(());
    }
    let absent = absent_tables(db).await?;
    if !absent.is_empty() {
        return Err(UnsuitableDatabase::Tables(absent).into());
    }
    Ok(())
}

/// Returns the names of the tables that a SQLite database lacks; empty if it has all.
pub(super) async fn absent_tables<C: ConnectionTrait>(db: &C) -> Result<String, StoreError> {
    let statement = "SELECT name FROM sqlite_schema WHERE type = 'table'";
    let statement = Statement::from_string(DbBackend::Sqlite, statement);
    let rows = db.query_all_raw(statement).await?;
    let present = rows.iter().map(|row| row.try_get("", "name"));
    let present: Vec<String> = present.collect::<Result<_, _>>()?;
    let mut absent = TABLES.to_vec();
    absent.retain(|name| !present.iter().any(|table| table == name));
    Ok(absent.join(", "))
}

/// Returns true when a power failure of the database server may undo a commit. SQLite syncs each commit.
pub(super) async fn may_lose_commits<C: ConnectionTrait>(db: &C) -> Result<bool, StoreError> {
    if db.get_database_backend() == DbBackend::Sqlite {
        return Ok(false);
    }
    let statement = "SELECT current_setting('synchronous_commit') = 'off' AS is_lazy";
    let statement = Statement::from_string(DbBackend::Postgres, statement);
    let row = db
        .query_one_raw(statement)
        .await?
        .ok_or(StoreError::NotFound)?;
    Ok(row.try_get("", "is_lazy")?)
}

/// Refuses a SQLite file that cannot be written to, or beside which there is no room.
pub(super) fn require_file(path: &Path) -> Result<(), UnsuitableDatabase> {
    require_writable(path).map_err(|source| UnsuitableDatabase::File {
        path: path.to_owned(),
        source: Arc::new(source),
    })?;
    write_beside(path).map_err(|source| UnsuitableDatabase::NoRoom {
        path: path.to_owned(),
        source: Arc::new(source),
    })
}

/// Writes as much as a small transaction needs, and removes it. It is not synced: only the free space matters.
/// When two processes do this at once, one may remove the file of the other, which is no error.
fn write_beside(path: &Path) -> std::io::Result<()> {
    static SMALL: [u8; 8 << 10] = [0; 8 << 10];
    let mut name = path.as_os_str().to_owned();
    name.push("-room");
    let beside = PathBuf::from(name);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    let written = file.write_all(&SMALL);
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => written.and(Err(error)),
        _ => written,
    }
}

async fn require_suitable_postgres<C: ConnectionTrait>(
    db: &C,
    missing_migrations: Option<usize>,
) -> Result<(), StoreError> {
    let statement = Statement::from_string(DbBackend::Postgres, SUITABILITY_CHECKS.as_str());
    let row = db
        .query_one_raw(statement)
        .await?
        .ok_or(StoreError::NotFound)?;
    let encoding: String = row.try_get("", "encoding")?;
    if encoding != "UTF8" {
        return Err(UnsuitableDatabase::Encoding(encoding).into());
    }
    if row.try_get("", "is_standby")? {
        return Err(UnsuitableDatabase::Standby.into());
    }
    if row.try_get("", "is_read_only")? {
        return Err(UnsuitableDatabase::ReadOnly.into());
    }
    let absent: Option<String> = row.try_get("", "absent")?;
    if let Some(absent) = absent.filter(|_| missing_migrations == Some(0)) {
        return Err(UnsuitableDatabase::Tables(absent).into());
    }
    let missing: Option<String> = row.try_get("", "missing")?;
    if let Some(missing) = missing {
        return Err(UnsuitableDatabase::Privileges(missing).into());
    }
    if missing_migrations.is_some_and(|steps| steps > 0)
        && !row.try_get::<bool>("", "may_create")?
    {
        return Err(UnsuitableDatabase::Privileges("CREATE on the schema".to_owned()).into());
    }
    Ok(())
}
