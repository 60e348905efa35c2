//! Secrets of mailed links and mailed codes, each valid once.

use sea_orm::entity::prelude::*;

/// A row of `codes`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "codes")]
pub struct Model {
    /// SHA-256 of the secret that the client received which asked for the mail, base64url.
    #[sea_orm(primary_key, auto_increment = false)]
    pub request_hash: String,
    /// Purpose: see `CodePurpose` of the server.
    pub purpose: String,
    /// User; `None` for a request about an unknown address.
    pub user_id: Option<String>,
    /// Address that it proves.
    pub email_id: Option<String>,
    /// SHA-256 of the secret in the link, base64url.
    pub link_hash: String,
    /// SHA-256 of the request's secret and the code, base64url.
    pub code_hash: String,
    /// Wrong codes that were presented with the request's secret.
    pub wrong_guesses: i64,
    /// Time of expiry.
    pub expires_at: i64,
}

/// This table points at no other through sea-orm: joins are written in the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
