//! One login on one device.

use sea_orm::entity::prelude::*;

/// A row of `sessions`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    /// Random; the `sid` of every token of this session.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Owner of the session.
    pub user_id: String,
    /// The user's `authority_version` at login.
    pub user_version: i64,
    /// Number of rotations of the refresh token; the current token carries this number.
    pub generation: i64,
    /// Time of the latest rotation, or of the login: the `iat` of the current refresh token.
    pub rotated_at: i64,
    /// Times at which earlier generations were superseded, newest first, at most 16, comma-separated.
    pub superseded: String,
    /// Hash of the `Idempotency-Key` of the request that created `generation`; empty for none.
    pub retry_key_hash: String,
    /// Time of the login.
    pub created_at: i64,
    /// Absolute end, set at login and never extended.
    pub expires_at: i64,
    /// Longest time between two rotations, in milliseconds.
    pub idle_limit: i64,
    /// Time at which the password was last verified in this session.
    pub auth_time: i64,
    /// Authentication methods (RFC 8176), space-separated.
    pub amr: String,
    /// Scopes granted at login, space-separated; empty if none were requested.
    pub scope: String,
    /// True when the login asked for less than all scopes that were granted then.
    pub is_narrowed: bool,
    /// OAuth client of the login; empty for the first party.
    pub client_id: String,
    /// First generation whose CSRF values are valid; raised when the password is changed in the session.
    pub csrf_epoch: i64,
    /// Time of the revocation; once set it is never cleared.
    pub revoked_at: Option<i64>,
    /// Reason of the revocation: see `RevokeReason` of the server.
    pub revoke_reason: Option<String>,
    /// Browser or program at login, cut to 256 bytes.
    pub user_agent: String,
    /// Address at login.
    pub ip: String,
    /// Name that the user gave the device; empty for none.
    pub label: String,
}

/// This table points at no other through sea-orm: joins are written in the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
