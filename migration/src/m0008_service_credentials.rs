//! Credentials of services, so that every replica knows which ones have ended.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::m0001_first::with_types_of;

/// Creates the table.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0008_service_credentials"
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
    "CREATE TABLE service_credentials (
        id {key} NOT NULL PRIMARY KEY,
        service {key} NOT NULL,
        secret_hash {key} NOT NULL,
        created_at bigint NOT NULL,
        last_used_at bigint,
        ended_at bigint,
        is_revoked boolean NOT NULL
    )",
    // A secret that was removed from the settings and returns to them gets another row.
    "CREATE UNIQUE INDEX service_credentials_active ON service_credentials (service, secret_hash)
        WHERE ended_at IS NULL",
];
