//! Inspection of a database without changing it, for `latchet doctor`.

use super::connection::{Connections, DEFAULT_CONNECTIONS, missing_steps};
use super::{
    StoreError, StoredKey, UnfitDatabase, condition, database_time, issuer, keys, limited,
};
use crate::clock::Time;
use crate::server::config::DatabaseUrl;

/// State of a database.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Number of migrations that the next start will apply.
    pub missing_steps: usize,
    /// Clock of the database server; `None` for SQLite, which has no own clock.
    pub time: Option<Time>,
    /// True if the database server confirms a commit before it is on disk.
    pub may_lose_commits: bool,
    /// Reason for which work would fail.
    pub unfit: Option<UnfitDatabase>,
    /// The signing keys; none where the schema is older.
    pub keys: Vec<StoredKey>,
    /// `iss` of the tokens that servers of this database issued most recently.
    pub issuer: Option<String>,
    /// Sessions that have not ended.
    pub live_sessions: u64,
}

/// Connects, reads the state and disconnects.
///
/// # Errors
/// As [`super::Store::open`].
pub async fn inspect(url: &DatabaseUrl, now: Time) -> Result<Inspection, StoreError> {
    let connections = Connections::without_migrating(url, DEFAULT_CONNECTIONS).await?;
    limited(async {
        let db = &connections.reader;
        let mut found = Inspection {
            missing_steps: 0,
            time: database_time::read(db).await?,
            may_lose_commits: condition::may_lose_commits(db).await?,
            unfit: unfit(condition::require(url, db, None).await)?,
            keys: Vec::new(),
            issuer: None,
            live_sessions: 0,
        };
        if matches!(found.unfit, Some(UnfitDatabase::Privileges(_))) {
            return Ok(found);
        }
        found.missing_steps = missing_steps(db).await?;
        if found.unfit.is_none() {
            found.unfit = unfit(condition::require(url, db, Some(found.missing_steps)).await)?;
        }
        if matches!(found.unfit, Some(UnfitDatabase::Tables(_))) {
            return Ok(found);
        }
        if found.missing_steps == 0 {
            found.keys = keys::all(db).await?;
            found.issuer = issuer::read(db).await?;
            found.live_sessions = issuer::live_sessions(db, now).await?;
        }
        Ok(found)
    })
    .await
}

fn unfit(checked: Result<(), StoreError>) -> Result<Option<UnfitDatabase>, StoreError> {
    match checked {
        Ok(()) => Ok(None),
        Err(StoreError::Unfit(unfit)) => Ok(Some(unfit)),
        Err(error) => Err(error),
    }
}
