//! Looks at a database without changing it, for `latchet doctor`.

use super::connection::Connections;
use super::{StoreError, database_time, limited};
use crate::clock::Time;
use crate::server::config::DatabaseUrl;

/// What a database says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Steps of the schema that the next start will apply.
    pub missing_steps: usize,
    /// The clock of a database server; `None` for SQLite, which has none of its own.
    pub time: Option<Time>,
}

/// Connects, looks and disconnects. A SQLite file that is missing is made, empty.
///
/// # Errors
/// As [`super::Store::open`].
pub async fn inspect(url: &DatabaseUrl) -> Result<Inspection, StoreError> {
    let connections = Connections::without_migrating(url).await?;
    limited(async {
        let db = &connections.writer;
        let known = migration::known();
        let applied = migration::applied(db).await?;
        if let Some(step) = applied.iter().find(|step| !known.contains(step)) {
            return Err(StoreError::NewerSchema { step: step.clone() });
        }
        Ok(Inspection {
            missing_steps: known.len() - applied.len(),
            time: database_time::read(db).await?,
        })
    })
    .await
}
