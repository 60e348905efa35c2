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
    /// End of the current window.
    pub resets_at: i64,
    /// Attempts whose outcome is not known yet.
    pub in_flight: i64,
    /// Time of the latest charge.
    pub charged_at: i64,
    /// Number of consecutive windows before this one in which the budget was used up.
    pub level: i32,
    /// Time after which the row is not needed.
    pub forgets_at: i64,
}

/// This table points at no other through sea-orm: joins are written in the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
