//! Security events.

use sea_orm::entity::prelude::*;

/// A row of `events`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "events")]
pub struct Model {
    /// Order of insertion.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Time of the event.
    pub at: i64,
    /// Kind of the event: see `EventKind` of the server.
    pub kind: String,
    /// User that it concerns.
    pub user_id: Option<String>,
    /// Session that it concerns.
    pub session_id: Option<String>,
    /// User that caused it.
    pub actor_id: Option<String>,
    /// Address of the client that caused it.
    pub ip: Option<String>,
}

/// This table points at no other through sea-orm: joins are written in the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
