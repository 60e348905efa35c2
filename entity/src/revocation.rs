//! Source of every denylist: one row per revoked session or token, and one per user whose older tokens are
//! denied.

use sea_orm::entity::prelude::*;

/// A row of `revocations`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "revocations")]
pub struct Model {
    /// Order of insertion; a follower remembers the last number that it has read.
    #[sea_orm(primary_key)]
    pub seq: i64,
    /// `sid`, `jti` or `user`.
    pub kind: String,
    /// The session id, token id or user id.
    pub id: String,
    /// Time after which no denied token can still be valid, and the row may be deleted.
    pub not_after: i64,
    /// Time of creation.
    pub created_at: i64,
    /// For kind `user`: tokens with a lower authority version are denied. 0 in other rows.
    pub version: i64,
}

/// This table points at no other through sea-orm: joins are written in the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
