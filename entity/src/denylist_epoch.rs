//! The only row about the backfill of Redis that may be trusted.

use sea_orm::entity::prelude::*;

/// A row of `denylist_epoch`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "denylist_epoch")]
pub struct Model {
    /// Always 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i32,
    /// Changes whenever the copy in Redis may have lost data.
    pub epoch: String,
    /// `run_id` of the Redis server that was backfilled for this epoch; empty before the first backfill.
    pub run_id: String,
    /// Begin of this epoch.
    pub changed_at: i64,
}

/// This table points at no other through sea-orm: joins are written in the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
