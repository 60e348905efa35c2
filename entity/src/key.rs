//! Signing keys: next, active, retiring, gone.

use sea_orm::entity::prelude::*;

/// A row of `keys`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "keys")]
pub struct Model {
    /// RFC 7638 thumbprint; random for HMAC keys.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kid: String,
    /// `EdDSA`, `ES256`, `RS256` or `HS256`.
    pub algorithm: String,
    /// Public JWK as JSON; empty for HMAC keys, which have no public part.
    pub public_jwk: String,
    /// Private part, encrypted with a key from the root secret, base64url; emptied when the key is gone.
    pub sealed_private: String,
    /// Time of creation.
    pub created_at: i64,
    /// Time from which it signs.
    pub active_from: i64,
    /// Time from which it no longer signs but still verifies; `None` while no successor is set.
    pub retiring_from: Option<i64>,
    /// Time from which it no longer verifies.
    pub gone_from: Option<i64>,
}

/// This table points at no other through sea-orm: joins are written in the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
