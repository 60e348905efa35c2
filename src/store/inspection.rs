//! Inspection of a database without changing it, for `latchet doctor`.

use super::connection::{DEFAULT_CONNECTIONS, StoreConnections, missing_migrations};
use super::{
    StoreError, StoredSigningKey, UnsuitableDatabase, database_time, issuer, sealed_values,
    signing_keys, suitability, with_deadline,
};
use crate::config::DatabaseUrl;
use latchet_guard::clock::Time;

/// State of a database.
#[derive(Clone, Debug)]
pub struct DatabaseInspection {
    /// Number of migrations that the next start will apply.
    pub missing_migrations: usize,
    /// Clock of the database server; `None` for SQLite, which has no own clock.
    pub time: Option<Time>,
    /// True if the database server confirms a commit before it is on disk.
    pub may_lose_commits: bool,
    /// Reason for which work would fail.
    pub unsuitable: Option<UnsuitableDatabase>,
    /// The signing keys; none where the schema is older.
    pub keys: Vec<StoredSigningKey>,
    /// End of the last session whose refresh token the previous root secret may have signed.
    pub previous_secret_needed_until: Time,
    /// `iss` of the tokens that servers of this database issued most recently.
    pub issuer: Option<String>,
    /// Sessions that have not ended.
    pub live_sessions: u64,
}

/// Connects, reads the state and disconnects.
///
/// # Errors
/// As [`super::Store::open`].
pub async fn inspect_database(
    url: &DatabaseUrl,
    now: Time,
) -> Result<DatabaseInspection, StoreError> {
    let connections = StoreConnections::without_migrating(url, DEFAULT_CONNECTIONS).await?;
    with_deadline(async {
        let db = &connections.reader;
        let mut found = DatabaseInspection {
            missing_migrations: 0,
            time: database_time::read_database_time(db).await?,
            may_lose_commits: suitability::may_lose_commits(db).await?,
            unsuitable: reason_of_unsuitability(
                suitability::require_suitable(url, db, None).await,
            )?,
            keys: Vec::new(),
            previous_secret_needed_until: now,
            issuer: None,
            live_sessions: 0,
        };
        if matches!(found.unsuitable, Some(UnsuitableDatabase::Privileges(_))) {
            return Ok(found);
        }
        found.missing_migrations = missing_migrations(db).await?;
        if found.unsuitable.is_none() {
            found.unsuitable = reason_of_unsuitability(
                suitability::require_suitable(url, db, Some(found.missing_migrations)).await,
            )?;
        }
        if matches!(found.unsuitable, Some(UnsuitableDatabase::Tables(_))) {
            return Ok(found);
        }
        if found.missing_migrations == 0 {
            found.keys = signing_keys::all_keys(db).await?;
            found.previous_secret_needed_until =
                sealed_values::previous_secret_needed_until(db, now).await?;
            found.issuer = issuer::read(db).await?;
            found.live_sessions = issuer::live_sessions(db, now).await?;
        }
        Ok(found)
    })
    .await
}

fn reason_of_unsuitability(
    checked: Result<(), StoreError>,
) -> Result<Option<UnsuitableDatabase>, StoreError> {
    match checked {
        Ok(()) => Ok(None),
        Err(StoreError::Unsuitable(unsuitable)) => Ok(Some(unsuitable)),
        Err(error) => Err(error),
    }
}
