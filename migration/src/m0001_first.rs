//! The first schema: users, sessions, revocations, keys, throttles, setup links.
//!
//! Written as SQL, so that it can be compared with an existing database when there is a problem.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

/// Creates every table.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0001_first"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let postgres = db.get_database_backend() == DbBackend::Postgres;
        for sql in TABLES {
            db.execute_unprepared(&with_types_of(sql, postgres)).await?;
        }
        if postgres {
            // With free space in each page, a rotation is a heap-only update, which changes no index.
            db.execute_unprepared("ALTER TABLE sessions SET (fillfactor = 70)")
                .await?;
        }
        Ok(())
    }
}

/// Replaces `{key}` and `{serial}` by types of the database.
///
/// Keys are compared byte by byte on both, so that a page of users ends at the same name.
pub(crate) fn with_types_of(sql: &str, postgres: bool) -> String {
    let (key, serial) = if postgres {
        (
            "text COLLATE \"C\"",
            "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        )
    } else {
        // AUTOINCREMENT: a number is never used again, even when the newest rows were deleted.
        ("text", "integer PRIMARY KEY AUTOINCREMENT")
    };
    sql.replace("{key}", key).replace("{serial}", serial)
}

const TABLES: &[&str] = &[
    "CREATE TABLE users (
        id {key} NOT NULL PRIMARY KEY,
        username text NOT NULL,
        username_key {key} NOT NULL UNIQUE,
        password_hash text NOT NULL,
        roles text NOT NULL,
        disabled_at bigint,
        created_at bigint NOT NULL,
        password_changed_at bigint NOT NULL
    )",
    "CREATE TABLE sessions (
        id {key} NOT NULL PRIMARY KEY,
        user_id {key} NOT NULL REFERENCES users (id),
        generation bigint NOT NULL,
        rotated_at bigint NOT NULL,
        superseded text NOT NULL,
        created_at bigint NOT NULL,
        expires_at bigint NOT NULL,
        idle_limit bigint NOT NULL,
        auth_time bigint NOT NULL,
        amr text NOT NULL,
        scope text NOT NULL,
        client_id text NOT NULL,
        revoked_at bigint,
        revoke_reason text,
        user_agent text NOT NULL,
        ip text NOT NULL,
        label text NOT NULL,
        CHECK ((revoked_at IS NULL) = (revoke_reason IS NULL))
    )",
    "CREATE INDEX sessions_user_id ON sessions (user_id)",
    "CREATE INDEX sessions_expires_at ON sessions (expires_at)",
    "CREATE INDEX sessions_revoked_at ON sessions (revoked_at) WHERE revoked_at IS NOT NULL",
    "CREATE TABLE revocations (
        seq {serial},
        kind text NOT NULL CHECK (kind IN ('sid', 'jti')),
        id {key} NOT NULL,
        not_after bigint NOT NULL,
        created_at bigint NOT NULL
    )",
    "CREATE UNIQUE INDEX revocations_id ON revocations (id, kind)",
    "CREATE INDEX revocations_not_after ON revocations (not_after)",
    "CREATE TABLE keys (
        kid {key} NOT NULL PRIMARY KEY,
        algorithm text NOT NULL,
        public_jwk text NOT NULL,
        sealed_private text NOT NULL,
        created_at bigint NOT NULL,
        active_from bigint NOT NULL,
        retiring_from bigint,
        gone_from bigint
    )",
    "CREATE TABLE throttles (
        key {key} NOT NULL PRIMARY KEY,
        attempts bigint NOT NULL,
        resets_at bigint NOT NULL
    )",
    "CREATE INDEX throttles_resets_at ON throttles (resets_at)",
    "CREATE TABLE setup_links (
        token_hash {key} NOT NULL PRIMARY KEY,
        expires_at bigint NOT NULL,
        used_at bigint
    )",
    "CREATE TABLE denylist_epoch (
        id integer NOT NULL PRIMARY KEY CHECK (id = 1),
        epoch text NOT NULL,
        run_id text NOT NULL,
        changed_at bigint NOT NULL
    )",
    "INSERT INTO denylist_epoch (id, epoch, run_id, changed_at) VALUES (1, '', '', 0)",
];
