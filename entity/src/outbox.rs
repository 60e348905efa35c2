//! Messages that wait for their delivery.

use sea_orm::entity::prelude::*;

/// A row of `outbox`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "outbox")]
pub struct Model {
    /// Random; part of the message, so that a receiver recognises a second delivery.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Way of delivery: see `Channel` of the server.
    pub channel: String,
    /// User that it is about.
    pub user_id: Option<String>,
    /// The message, sealed under the root secret.
    pub sealed_payload: String,
    /// Time at which it was written.
    pub created_at: i64,
    /// Time from which a server may deliver it.
    pub next_try_at: i64,
    /// Attempts so far.
    pub tries: i64,
}

/// This table points at no other through sea-orm: joins are written in the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
