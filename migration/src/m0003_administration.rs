//! Tables and indexes for administrators: sessions of all users in the order of logins, links that set a
//! password, security events.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::m0001_first::with_types_of;

/// Creates the tables and indexes.
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
        let postgres = db.get_database_backend() == DbBackend::Postgres;
        for sql in STATEMENTS {
            db.execute_unprepared(&with_types_of(sql, postgres)).await?;
        }
        Ok(())
    }
}

const STATEMENTS: &[&str] = &[
    "CREATE INDEX sessions_live ON sessions (created_at, id) WHERE revoked_at IS NULL",
    "CREATE TABLE reset_links (
        user_id {key} NOT NULL PRIMARY KEY REFERENCES users (id),
        token_hash {key} NOT NULL UNIQUE,
        expires_at bigint NOT NULL
    )",
    // No foreign keys: an event outlives its session, and may name a user of another issuer.
    "CREATE TABLE events (
        id {serial},
        at bigint NOT NULL,
        kind text NOT NULL,
        user_id {key},
        session_id {key},
        actor_id {key},
        ip text
    )",
    "CREATE INDEX events_at ON events (at)",
];
