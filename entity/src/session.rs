//! One login on one device.

use sea_orm::entity::prelude::*;

/// A row of `sessions`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    /// Random; the `sid` of every token of this session.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whose session it is.
    pub user_id: String,
    /// The user's `authority_version` at login.
    pub user_version: i64,
    /// How many times the refresh token was rotated; the only valid one carries this number.
    pub generation: i64,
    /// When `generation` was made: the `iat` of the current refresh token.
    pub rotated_at: i64,
    /// When each earlier generation got its successor, newest first, at most 16, comma-separated.
    pub superseded: String,
    /// Hash of the `Idempotency-Key` with which `generation` was asked for; empty for none.
    pub retry_key_hash: String,
    /// When the login happened.
    pub created_at: i64,
    /// Absolute end, set at login and never extended.
    pub expires_at: i64,
    /// Milliseconds a session may rest between rotations.
    pub idle_limit: i64,
    /// When the password was last proved in this session.
    pub auth_time: i64,
    /// Authentication methods (RFC 8176), space-separated.
    pub amr: String,
    /// Scopes granted at login, space-separated; empty for none asked.
    pub scope: String,
    /// True when the login asked for less than all scopes that were granted then.
    pub is_narrowed: bool,
    /// OAuth client that asked; empty for the first party.
    pub client_id: String,
    /// The generation since which its CSRF values count; raised when the password is changed in it.
    pub csrf_epoch: i64,
    /// When the session was revoked; once set it is never cleared.
    pub revoked_at: Option<i64>,
    /// Why: see `RevokeReason` of the server.
    pub revoke_reason: Option<String>,
    /// Browser or program at login, cut to 256 bytes.
    pub user_agent: String,
    /// Address at login.
    pub ip: String,
    /// Name the person gave the device; empty for none.
    pub label: String,
}

/// This table points at no other through sea-orm: joins are written in the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
