//! People who can log in.

use sea_orm::entity::prelude::*;

/// A row of `users`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    /// Random, never reused; the `sub` of every token.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// As typed when created; shown to people.
    pub username: String,
    /// `username` folded to compare by; unique.
    pub username_key: String,
    /// PHC string of argon2id.
    pub password_hash: String,
    /// Space-separated role names; empty for none.
    pub roles: String,
    /// When an administrator disabled the account; `None` while it may log in.
    pub disabled_at: Option<i64>,
    /// When the account was made.
    pub created_at: i64,
    /// When the password was last set.
    pub password_changed_at: i64,
    /// Raised by whatever changes what the user may do; every access token carries it.
    pub authority_version: i64,
    /// Sessions whose `user_version` is lower have ended, except `kept_session`.
    pub sessions_floor: i64,
    /// Why: see `RevokeReason` of the server. `None` while the floor was never raised.
    pub floor_reason: Option<String>,
    /// The session in which the floor was raised, if it goes on.
    pub kept_session: Option<String>,
    /// Up to this floor, rows of ended sessions are marked as revoked.
    pub floor_marked: i64,
}

/// This table points at no other through sea-orm: joins are written in the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
