//! Rows of `setup_links`: one-time links that create the first administrator.

use entity::setup_link::{ActiveModel, Column, Entity};
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, Set};

use super::security_events::{self, NewSecurityEvent};
use super::{NewUser, Store, StoreError, User, users, with_deadline};
use crate::names::ADMIN;
use crate::security_events::{Actor, EventKind};
use latchet_guard::clock::Time;

impl Store {
    /// Records a link by the hash of its secret.
    pub async fn create_setup_link(
        &self,
        token_hash: &str,
        expires_at: Time,
    ) -> Result<(), StoreError> {
        let row = ActiveModel {
            token_hash: Set(token_hash.to_owned()),
            expires_at: Set(expires_at.millis()),
            used_at: Set(None),
        };
        with_deadline(async {
            Entity::insert(row)
                .exec_without_returning(self.writer())
                .await?;
            Ok(())
        })
        .await
    }

    /// Returns whether the link is valid now.
    pub async fn is_setup_link_usable(
        &self,
        token_hash: &str,
        now: Time,
    ) -> Result<bool, StoreError> {
        let found = Entity::find().filter(usable_link(token_hash, now));
        let row = with_deadline(async { Ok(found.one(self.reader()).await?) }).await?;
        Ok(row.is_some())
    }

    /// Uses the link to create a user, and marks every other open link as used: of the links of two replicas
    /// only one creates the first administrator. Returns `None` when the link is unknown, used or expired.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name is taken; the links stay open then.
    pub async fn use_setup_link(
        &self,
        token_hash: &str,
        administrator: NewUser,
        actor: &Actor,
        now: Time,
    ) -> Result<Option<User>, StoreError> {
        let link = Query::select()
            .expr(Expr::val(1))
            .from(Entity)
            .cond_where(usable_link(token_hash, now))
            .take();
        let mark_used = Entity::update_many()
            .col_expr(Column::UsedAt, Expr::val(now.millis()))
            .filter(Column::UsedAt.is_null())
            .filter(Expr::exists(link));
        with_deadline(async {
            let transaction = self.begin().await?;
            if mark_used.exec(&transaction).await?.rows_affected == 0 {
                return Ok(None);
            }
            let user = users::insert(&transaction, administrator, now).await?;
            let made = NewSecurityEvent {
                user: Some(&user.id),
                ..NewSecurityEvent::new(EventKind::FirstAdministrator, actor, now)
            };
            security_events::insert(&transaction, made).await?;
            transaction.commit().await?;
            Ok(Some(user))
        })
        .await
    }
}

/// Condition of a link that is valid now. Once there is an administrator, no link is: a link in a log file
/// creates no other one.
fn usable_link(token_hash: &str, now: Time) -> Condition {
    let administrator = Query::select()
        .expr(Expr::val(1))
        .from(entity::user::Entity)
        .cond_where(users::enabled_with_role(ADMIN))
        .take();
    Condition::all()
        .add(Condition::all().not().add(Expr::exists(administrator)))
        .add(Column::TokenHash.eq(token_hash))
        .add(Column::UsedAt.is_null())
        .add(Column::ExpiresAt.gt(now.millis()))
}
