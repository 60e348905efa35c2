//! What administrators look at: sessions of all users in the order of logins.

use sea_orm_migration::prelude::*;

/// Makes the index.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0003_administration"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for sql in STATEMENTS {
            db.execute_unprepared(sql).await?;
        }
        Ok(())
    }
}

const STATEMENTS: &[&str] =
    &["CREATE INDEX sessions_live ON sessions (created_at, id) WHERE revoked_at IS NULL"];
