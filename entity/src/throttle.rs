//! Attempts counted per account, address, device and session.

use sea_orm::entity::prelude::*;

/// A row of `throttles`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "throttles")]
pub struct Model {
    /// Kind of the budget, a colon and a keyed hash of what it counts.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    /// Attempts of the current window that have failed or are in flight.
    pub attempts: i64,
    /// When the current window ends.
    pub resets_at: i64,
    /// Attempts that are not decided yet.
    pub in_flight: i64,
    /// Time of the latest charge.
    pub charged_at: i64,
    /// Number of windows in a row that were used up before this one.
    pub level: i32,
    /// When the row is of no more use.
    pub forgets_at: i64,
}

/// This table points at no other through sea-orm: joins are written in the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
