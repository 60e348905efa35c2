//! E-mail addresses of users, secrets that mails carry, the outbox, and the language of a user.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::m0001_first::with_types_of;

/// Creates the tables and indexes, and adds the column.
#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0009_addresses"
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
    "ALTER TABLE users ADD COLUMN locale text",
    "CREATE TABLE emails (
        id {key} NOT NULL PRIMARY KEY,
        user_id {key} NOT NULL REFERENCES users (id),
        address text NOT NULL,
        address_key {key} NOT NULL,
        created_at bigint NOT NULL,
        verified_at bigint,
        is_primary boolean NOT NULL,
        CHECK (verified_at IS NOT NULL OR NOT is_primary)
    )",
    // A claim that is not verified blocks no one else.
    "CREATE UNIQUE INDEX emails_verified ON emails (address_key) WHERE verified_at IS NOT NULL",
    "CREATE UNIQUE INDEX emails_of_user ON emails (user_id, address_key)",
    "CREATE UNIQUE INDEX emails_primary ON emails (user_id) WHERE is_primary",
    "CREATE INDEX emails_unverified ON emails (address_key) WHERE verified_at IS NULL",
    // `user_id` is null for a request about an unknown address.
    "CREATE TABLE codes (
        request_hash {key} NOT NULL PRIMARY KEY,
        purpose text NOT NULL CHECK (purpose IN ('verify_email', 'reset_password')),
        user_id {key} REFERENCES users (id),
        email_id {key},
        link_hash {key} NOT NULL UNIQUE,
        code_hash text NOT NULL,
        wrong_guesses bigint NOT NULL,
        expires_at bigint NOT NULL
    )",
    "CREATE INDEX codes_user ON codes (user_id) WHERE user_id IS NOT NULL",
    "CREATE INDEX codes_expires_at ON codes (expires_at)",
    // No foreign key: the notice of a deletion outlives its user.
    "CREATE TABLE outbox (
        id {key} NOT NULL PRIMARY KEY,
        channel text NOT NULL,
        user_id {key},
        sealed_payload text NOT NULL,
        created_at bigint NOT NULL,
        next_try_at bigint NOT NULL,
        tries bigint NOT NULL
    )",
    "CREATE INDEX outbox_next_try_at ON outbox (channel, next_try_at)",
];
