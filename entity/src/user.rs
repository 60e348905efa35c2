//! User accounts.

use sea_orm::entity::prelude::*;

/// A row of `users`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    /// Random, never reused; the `sub` of every token.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// As typed at creation; for display.
    pub username: String,
    /// `username` in its folded form, for comparison; unique.
    pub username_key: String,
    /// PHC string of argon2id.
    pub password_hash: String,
    /// Space-separated role names; empty for none.
    pub roles: String,
    /// Time at which an administrator disabled the account; `None` while it is enabled.
    pub disabled_at: Option<i64>,
    /// Time of creation.
    pub created_at: i64,
    /// Time at which the password was last set.
    pub password_changed_at: i64,
    /// Raised by each change of the user's rights; every access token carries it.
    pub authority_version: i64,
    /// Sessions with a lower `user_version` have ended, except `kept_session`.
    pub sessions_floor: i64,
    /// Reason of the latest raise: see `RevokeReason` of the server. `None` while the floor was never raised.
    pub floor_reason: Option<String>,
    /// Session in which the floor was raised, if it continues.
    pub kept_session: Option<String>,
    /// Floor up to which rows of ended sessions are marked as revoked.
    pub floor_marked: i64,
    /// Language of mails to the user; `None` while it is not known.
    pub locale: Option<String>,
}

/// This table points at no other through sea-orm: joins are written in the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
