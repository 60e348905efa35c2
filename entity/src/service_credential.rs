//! Credentials of services, which request tokens for themselves.

use sea_orm::entity::prelude::*;

/// A row of `service_credentials`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "service_credentials")]
pub struct Model {
    /// Random id: the `sid` of the tokens.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Name of the service.
    pub service: String,
    /// SHA-256 of the secret, base64url.
    pub secret_hash: String,
    /// Time of the first start of a server with this credential.
    pub created_at: i64,
    /// Time of the last use, to the minute; `None` before the first one.
    pub last_used_at: Option<i64>,
    /// Time from which it is refused.
    pub ended_at: Option<i64>,
    /// True if the operator revoked it: it stays refused even if the settings still contain it.
    pub is_revoked: bool,
}

/// This table points at no other through sea-orm: joins are written in the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
