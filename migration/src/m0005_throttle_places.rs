//! Separate counts of attempts in flight and attempts that have failed.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::m0001_first::with_types_of;

/// Adds the columns. Each has a default, so that a server of the previous version, which does not know them,
/// continues counting while replicas are upgraded.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0005_throttle_places"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let postgres = db.get_database_backend() == DbBackend::Postgres;
        for sql in STATEMENTS {
            db.execute_unprepared(&with_types_of(sql, postgres)).await?;
        }
        Ok(())
    }
}

const STATEMENTS: &[&str] = &[
    "ALTER TABLE throttles ADD COLUMN in_flight bigint NOT NULL DEFAULT 0",
    "ALTER TABLE throttles ADD COLUMN charged_at bigint NOT NULL DEFAULT 0",
    "ALTER TABLE throttles ADD COLUMN level integer NOT NULL DEFAULT 0",
    "ALTER TABLE throttles ADD COLUMN forgets_at bigint NOT NULL DEFAULT 0",
    "CREATE INDEX throttles_forgets_at ON throttles (forgets_at)",
    "DROP INDEX throttles_resets_at",
];
