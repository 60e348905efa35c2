//! Retry key of the request that created the current generation of a session: a hash, or empty for none.

use sea_orm_migration::prelude::*;

/// Adds the column.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0002_retry_keys"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // With a constant default neither database rewrites the table, and servers of the previous version
        // keep working.
        let sql = "ALTER TABLE sessions ADD COLUMN retry_key_hash text NOT NULL DEFAULT ''";
        manager.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }
}
