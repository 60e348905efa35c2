//! E-mail addresses of users.

use sea_orm::entity::prelude::*;

/// A row of `emails`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "emails")]
pub struct Model {
    /// Random.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// User that claims it.
    pub user_id: String,
    /// The address as mail servers receive it.
    pub address: String,
    /// `address` in the form for comparison; unique among verified ones.
    pub address_key: String,
    /// Time at which the user added it.
    pub created_at: i64,
    /// Time at which the user proved that mails to it arrive; `None` until then.
    pub verified_at: Option<i64>,
    /// True for the one address of the user that receives notices.
    pub is_primary: bool,
}

/// This table points at no other through sea-orm: joins are written in the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
