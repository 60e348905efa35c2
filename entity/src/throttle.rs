//! Login attempts counted per account and per address.

use sea_orm::entity::prelude::*;

/// A row of `throttles`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "throttles")]
pub struct Model {
    /// `account:` or `ip:` and a keyed hash of whom it counts.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    /// Attempts in the current window.
    pub attempts: i64,
    /// When the current window ends.
    pub resets_at: i64,
}

/// This table points at no other through sea-orm: joins are written in the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
