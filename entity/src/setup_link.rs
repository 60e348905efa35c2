//! One-time links that create the first administrator.

use sea_orm::entity::prelude::*;

/// A row of `setup_links`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "setup_links")]
pub struct Model {
    /// SHA-256 of the secret in the link, base64url.
    #[sea_orm(primary_key, auto_increment = false)]
    pub token_hash: String,
    /// Time of expiry.
    pub expires_at: i64,
    /// Time of use.
    pub used_at: Option<i64>,
}

/// This table points at no other through sea-orm: joins are written in the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
