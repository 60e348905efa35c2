//! The issuer of the tokens in use, so that a start with another one can warn.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::m0001_first::with_types_of;

/// Creates the table with its only row.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0007_issuer"
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
    "CREATE TABLE installation (
        id integer NOT NULL PRIMARY KEY CHECK (id = 1),
        issuer text NOT NULL
    )",
    // Empty until the first start of a server.
    "INSERT INTO installation (id, issuer) VALUES (1, '')",
];
