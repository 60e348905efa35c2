//! One-time links that set a new password.

use sea_orm::entity::prelude::*;

/// A row of `reset_links`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "reset_links")]
pub struct Model {
    /// User whose password it sets; a user has at most one link.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: String,
    /// SHA-256 of the secret in the link, base64url.
    pub token_hash: String,
    /// Administrator that created it and on whose authority it depends; `None` for the operator.
    pub made_by: Option<String>,
    /// Time of creation.
    pub made_at: i64,
    /// Time of expiry.
    pub expires_at: i64,
}

/// This table points at no other through sea-orm: joins are written in the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
