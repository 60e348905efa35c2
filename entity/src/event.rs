//! Security events.

use sea_orm::entity::prelude::*;

/// A row of `events`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "events")]
pub struct Model {
    /// Order of insertion.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// When it happened.
    pub at: i64,
    /// What happened: see `EventKind` of the server.
    pub kind: String,
    /// Whom it concerns.
    pub user_id: Option<String>,
    /// Which session it concerns.
    pub session_id: Option<String>,
    /// Which user caused it.
    pub actor_id: Option<String>,
    /// Address of whoever caused it.
    pub ip: Option<String>,
}

/// This table points at no other through sea-orm: joins are written in the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
