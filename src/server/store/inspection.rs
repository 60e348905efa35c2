//! Looks at a database without changing it, for `latchet doctor`.

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::connection::Connections;
use super::{StoreError, limited};
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
            time: match db.get_database_backend() {
                DbBackend::Postgres => Some(server_time(db).await?),
                _ => None,
            },
        })
    })
    .await
}

async fn server_time<C: ConnectionTrait>(db: &C) -> Result<Time, StoreError> {
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now";
    let statement = Statement::from_string(db.get_database_backend(), sql);
    let row = db.query_one_raw(statement).await?;
    let millis = row.map(|row| row.try_get("", "now")).transpose()?;
    Ok(Time::from_millis(millis.unwrap_or_default()))
}
