//! Source of every denylist: one row per session or token that was revoked, and one per user whose
//! older tokens are denied.

use sea_orm::entity::prelude::*;

/// A row of `revocations`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "revocations")]
pub struct Model {
    /// Order of insertion; a tailing reader remembers the last one it saw.
    #[sea_orm(primary_key)]
    pub seq: i64,
    /// `sid`, `jti` or `user`.
    pub kind: String,
    /// The session id, token id or user id.
    pub id: String,
    /// Past this time no token it concerns can be alive, and the row may go.
    pub not_after: i64,
    /// When it was written.
    pub created_at: i64,
    /// Of kind `user`: tokens with a lower authority version are denied. 0 in other rows.
    pub version: i64,
}

/// This table points at no other through sea-orm: joins are written in the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
