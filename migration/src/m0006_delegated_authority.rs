//! Origin of authority: creator and creation time of a reset link, a mark of sessions that were limited to
//! some scopes at login, and the first generation whose CSRF values are valid.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::m0001_first::with_types_of;

/// Adds the columns.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0006_delegated_authority"
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
    // Their creators are unknown, and they are valid for a day only.
    "DELETE FROM reset_links",
    "ALTER TABLE reset_links ADD COLUMN made_by {key}",
    "ALTER TABLE reset_links ADD COLUMN made_at bigint NOT NULL DEFAULT 0",
    "ALTER TABLE sessions ADD COLUMN is_narrowed boolean NOT NULL DEFAULT false",
    // The granted scopes are known, but not whether those were all.
    "UPDATE sessions SET is_narrowed = true WHERE scope <> ''",
    "ALTER TABLE sessions ADD COLUMN csrf_epoch bigint NOT NULL DEFAULT 0",
];
