//! Reasons why a database that answers cannot serve.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::StoreError;
use super::connection::{require_writable, sqlite_file};
use crate::server::config::DatabaseUrl;

/// Reason why work on a database would fail, found without writing to it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UnfitDatabase {
    /// A standby follows another server.
    #[error("the database takes no writes: it is a standby, in recovery")]
    Standby,
    /// Role, database or server are set so.
    #[error("the database takes no writes: default_transaction_read_only is on")]
    ReadOnly,
    /// Some names cannot be stored.
    #[error("the encoding of the database is {0}, which cannot hold every name")]
    Encoding(String),
    /// Privileges that the role lacks, such as `INSERT on users`.
    #[error("the role of the database lacks privileges: {0}")]
    Privileges(String),
    /// Tables that are not there although the schema is complete, as after half a restore or under another
    /// `search_path`.
    #[error("the database lacks tables: {0}")]
    Tables(String),
    /// The file cannot be written to.
    #[error("the database file {} cannot be written to", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
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

impl UnfitDatabase {
    /// Returns what to do about it.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Standby => {
                "let DATABASE_URL name the primary, or all servers: postgres://host1,host2/latchet"
            }
            Self::ReadOnly => {
                "ALTER ROLE … RESET default_transaction_read_only, and the same for the database; where a full disk is the reason, make room"
            }
            Self::Encoding(_) => {
                "make a database with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and move the data there with pg_dump"
            }
            Self::Privileges(_) => {
                "let the role own the database and its tables, or GRANT it what is missing"
            }
            Self::Tables(_) => {
                "restore the whole database from a backup; where the tables are in another schema, let the search_path of the role lead there"
            }
            Self::File { .. } => "give the file and its folder to the user that runs the server",
            Self::NoRoom { .. } => {
                "make room on that file system, and give the folder to the user that runs the server"
            }
        }
    }
}

/// The tables of the newest schema.
const TABLES: [&str; 12] = [
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
    "seaql_migrations",
];

/// Each answer is one column: encoding, recovery, read-only, our tables that are not there, what the role may
/// not do with the others, and whether it may make tables.
static LOOK: LazyLock<String> = LazyLock::new(|| {
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

/// Refuses a database that would fail later. `missing_steps` of the schema have yet to be applied; `None` while
/// nobody has looked.
pub(super) async fn require<C: ConnectionTrait>(
    url: &DatabaseUrl,
    db: &C,
    missing_steps: Option<usize>,
) -> Result<(), StoreError> {
    if db.get_database_backend() == DbBackend::Postgres {
        return require_postgres(db, missing_steps).await;
    }
    require_file(&sqlite_file(url.expose())?)?;
    let look = "SELECT name FROM sqlite_schema WHERE type = 'table'";
    let look = Statement::from_string(DbBackend::Sqlite, look);
    let rows = db.query_all_raw(look).await?;
    let there = rows.iter().map(|row| row.try_get("", "name"));
    let there: Vec<String> = there.collect::<Result<_, _>>()?;
    let mut absent = TABLES.to_vec();
    absent.retain(|name| !there.iter().any(|table| table == name));
    if missing_steps == Some(0) && !absent.is_empty() {
        return Err(UnfitDatabase::Tables(absent.join(", ")).into());
    }
    Ok(())
}

/// Returns whether a commit may be undone when the machine of a database server fails. On SQLite each is synced.
pub(super) async fn may_lose_commits<C: ConnectionTrait>(db: &C) -> Result<bool, StoreError> {
    if db.get_database_backend() == DbBackend::Sqlite {
        return Ok(false);
    }
    let look = "SELECT current_setting('synchronous_commit') = 'off' AS is_lazy";
    let look = Statement::from_string(DbBackend::Postgres, look);
    let row = db.query_one_raw(look).await?.ok_or(StoreError::NotFound)?;
    Ok(row.try_get("", "is_lazy")?)
}

/// Refuses a SQLite file that cannot be written to, or beside which there is no room.
pub(super) fn require_file(path: &Path) -> Result<(), UnfitDatabase> {
    require_writable(path).map_err(|source| UnfitDatabase::File {
        path: path.to_owned(),
        source: Arc::new(source),
    })?;
    write_beside(path).map_err(|source| UnfitDatabase::NoRoom {
        path: path.to_owned(),
        source: Arc::new(source),
    })
}

/// Writes as much as a small transaction takes, and removes it. It is not synced: only whether there is room
/// matters. Of two processes that do this at once, each is content with what the other has left.
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

async fn require_postgres<C: ConnectionTrait>(
    db: &C,
    missing_steps: Option<usize>,
) -> Result<(), StoreError> {
    let look = Statement::from_string(DbBackend::Postgres, LOOK.as_str());
    let row = db.query_one_raw(look).await?.ok_or(StoreError::NotFound)?;
    let encoding: String = row.try_get("", "encoding")?;
    if encoding != "UTF8" {
        return Err(UnfitDatabase::Encoding(encoding).into());
    }
    if row.try_get("", "is_standby")? {
        return Err(UnfitDatabase::Standby.into());
    }
    if row.try_get("", "is_read_only")? {
        return Err(UnfitDatabase::ReadOnly.into());
    }
    let absent: Option<String> = row.try_get("", "absent")?;
    if let Some(absent) = absent.filter(|_| missing_steps == Some(0)) {
        return Err(UnfitDatabase::Tables(absent).into());
    }
    let missing: Option<String> = row.try_get("", "missing")?;
    if let Some(missing) = missing {
        return Err(UnfitDatabase::Privileges(missing).into());
    }
    if missing_steps.is_some_and(|steps| steps > 0) && !row.try_get::<bool>("", "may_create")? {
        return Err(UnfitDatabase::Privileges("CREATE on the schema".to_owned()).into());
    }
    Ok(())
}
