//! Looks at a database without changing it, for `latchet doctor`.

use super::connection::{Connections, DEFAULT_CONNECTIONS, missing_steps};
use super::{
    StoreError, StoredKey, UnfitDatabase, condition, database_time, issuer, keys, limited,
};
use crate::clock::Time;
use crate::server::config::DatabaseUrl;

/// What a database says of itself.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Steps of the schema that the next start will apply.
    pub missing_steps: usize,
    /// The clock of a database server; `None` for SQLite, which has none of its own.
    pub time: Option<Time>,
    /// What would fail.
    pub unfit: Option<UnfitDatabase>,
    /// The signing keys; none where the schema is older.
    pub keys: Vec<StoredKey>,
    /// `iss` of the tokens that servers of this database have issued last.
    pub issuer: Option<String>,
    /// Sessions that have not ended.
    pub live_sessions: u64,
}

/// Connects, looks and disconnects.
///
/// # Errors
/// As [`super::Store::open`].
pub async fn inspect(url: &DatabaseUrl, now: Time) -> Result<Inspection, StoreError> {
    let connections = Connections::without_migrating(url, DEFAULT_CONNECTIONS).await?;
    limited(async {
        let db = &connections.reader;
        let missing_steps = missing_steps(db).await?;
        let unfit = match condition::require(url, db, missing_steps).await {
            Ok(()) => None,
            Err(StoreError::Unfit(unfit)) => Some(unfit),
            Err(error) => return Err(error),
        };
        let mut found = Inspection {
            missing_steps,
            time: database_time::read(db).await?,
            unfit,
            keys: Vec::new(),
            issuer: None,
            live_sessions: 0,
        };
        if missing_steps == 0 && !matches!(found.unfit, Some(UnfitDatabase::Privileges(_))) {
            found.keys = keys::all(db).await?;
            found.issuer = issuer::read(db).await?;
            found.live_sessions = issuer::live_sessions(db, now).await?;
        }
        Ok(found)
    })
    .await
}
