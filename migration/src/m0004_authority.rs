//! Authority versions of users, the session floors that they set, denials of older tokens, and the
//! lifetimes of access tokens that servers issue.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::m0001_first::with_types_of;

/// Adds the columns, the table and the indexes.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0004_authority"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let postgres = db.get_database_backend() == DbBackend::Postgres;
        let revocations = if postgres { POSTGRES } else { SQLITE };
        for sql in COLUMNS.iter().chain(revocations) {
            db.execute_unprepared(&with_types_of(sql, postgres)).await?;
        }
        Ok(())
    }
}

const COLUMNS: &[&str] = &[
    "ALTER TABLE users ADD COLUMN authority_version bigint NOT NULL DEFAULT 0",
    "ALTER TABLE users ADD COLUMN sessions_floor bigint NOT NULL DEFAULT 0",
    "ALTER TABLE users ADD COLUMN floor_reason text",
    "ALTER TABLE users ADD COLUMN kept_session text",
    "ALTER TABLE users ADD COLUMN floor_marked bigint NOT NULL DEFAULT 0",
    "CREATE INDEX users_unmarked ON users (id) WHERE floor_marked < sessions_floor",
    "ALTER TABLE sessions ADD COLUMN user_version bigint NOT NULL DEFAULT 0",
    // The columns of this index never change while a session is live, so that a rotation remains a
    // heap-only update.
    "CREATE INDEX sessions_of_user ON sessions (user_id, user_version) WHERE revoked_at IS NULL",
    "DROP INDEX sessions_user_id",
    "CREATE TABLE access_lifetimes (
        lifetime bigint NOT NULL PRIMARY KEY,
        used_until bigint NOT NULL
    )",
];

const POSTGRES: &[&str] = &[
    "ALTER TABLE revocations ADD COLUMN version bigint NOT NULL DEFAULT 0",
    "ALTER TABLE revocations DROP CONSTRAINT revocations_kind_check",
    "ALTER TABLE revocations ADD CONSTRAINT revocations_kind_check
        CHECK (kind IN ('sid', 'jti', 'user'))",
];

/// SQLite cannot change a constraint. The numbers continue where they were: none is used twice.
const SQLITE: &[&str] = &[
    "CREATE TABLE revocations_next (
        seq {serial},
        kind text NOT NULL CHECK (kind IN ('sid', 'jti', 'user')),
        id {key} NOT NULL,
        not_after bigint NOT NULL,
        created_at bigint NOT NULL,
        version bigint NOT NULL DEFAULT 0
    )",
    "INSERT INTO revocations_next (seq, kind, id, not_after, created_at)
        SELECT seq, kind, id, not_after, created_at FROM revocations",
    "INSERT INTO sqlite_sequence (name, seq) SELECT 'revocations_next', 0
        WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'revocations_next')",
    "UPDATE sqlite_sequence SET seq = COALESCE(
            (SELECT seq FROM sqlite_sequence WHERE name = 'revocations'), seq)
        WHERE name = 'revocations_next'",
    "DROP TABLE revocations",
    "ALTER TABLE revocations_next RENAME TO revocations",
    "CREATE UNIQUE INDEX revocations_id ON revocations (id, kind)",
    "CREATE INDEX revocations_not_after ON revocations (not_after)",
];
