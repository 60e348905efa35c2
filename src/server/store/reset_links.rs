//! Rows of `reset_links`: one-time links that set a new password. A user has one at most, and none
//! any more once the password was set in another way or the account was disabled.
//!
//! Who locks rows of several tables locks the user first.

use entity::reset_link::{ActiveModel, Column, Entity};
use entity::user;
use sea_orm::sea_query::{OnConflict, Query};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, Set};
use secrecy::SecretString;

use super::events::{self, NewEvent};
use super::user_changes::with_password;
use super::{Revocation, Store, StoreError, User, UserId, administrators, authority, limited};
use crate::clock::Time;
use crate::denylist::Denial;
use crate::server::events::{Actor, EventKind};

/// A link to be recorded.
#[derive(Clone, Debug)]
pub struct NewResetLink {
    /// Hash of its secret.
    pub token_hash: String,
    /// When it stops working.
    pub expires_at: Time,
}

impl Store {
    /// Records a link in place of the user's older one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such user, [`StoreError::Conflict`] when the account
    /// is disabled.
    pub async fn create_reset_link(
        &self,
        user: &UserId,
        link: NewResetLink,
        by: &Actor,
        now: Time,
    ) -> Result<(), StoreError> {
        let row = ActiveModel {
            user_id: Set(user.to_string()),
            token_hash: Set(link.token_hash),
            made_by: Set(by.id().map(UserId::to_string)),
            made_at: Set(now.millis()),
            expires_at: Set(link.expires_at.millis()),
        };
        let newer = OnConflict::column(Column::UserId)
            .update_columns([
                Column::TokenHash,
                Column::MadeBy,
                Column::MadeAt,
                Column::ExpiresAt,
            ])
            .to_owned();
        limited(async {
            let transaction = self.begin().await?;
            // A `disable_user` that has not committed yet comes after this, and uses the link up.
            let users = administrators::authorize(&transaction, by, &[user]).await?;
            let owner = users.get(user).ok_or(StoreError::NotFound)?;
            if owner.is_disabled() {
                return Err(StoreError::Conflict);
            }
            Entity::insert(row)
                .on_conflict(newer)
                .exec_without_returning(&transaction)
                .await?;
            let made = NewEvent {
                user: Some(user),
                ..NewEvent::new(EventKind::ResetLinkMade, by, now)
            };
            events::insert(&transaction, made).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// Returns the user whose password the link sets, if it could be used now.
    pub async fn user_of_reset_link(
        &self,
        token_hash: &str,
        now: Time,
    ) -> Result<Option<User>, StoreError> {
        let owner = Query::select()
            .column(Column::UserId)
            .from(Entity)
            .cond_where(usable(token_hash, now))
            .take();
        let found = user::Entity::find()
            .filter(user::Column::Id.in_subquery(owner))
            .filter(user::Column::DisabledAt.is_null());
        let row = limited(async { Ok(found.one(self.reader()).await?) }).await?;
        Ok(row.map(User::from))
    }

    /// Uses the link to set the password of its user, and revokes all sessions. Returns `None` when
    /// the link is unknown, was used or has expired, or the account is disabled.
    pub async fn use_reset_link(
        &self,
        token_hash: &str,
        password_hash: &SecretString,
        by: &Actor,
        revocation: &Revocation,
    ) -> Result<Option<Denial>, StoreError> {
        let found = Entity::find().filter(usable(token_hash, revocation.period.now));
        let use_up = Entity::delete_many().filter(usable(token_hash, revocation.period.now));
        let update = with_password(password_hash, revocation.period.now)
            .filter(user::Column::DisabledAt.is_null());
        limited(async {
            let transaction = self.begin().await?;
            let Some(link) = found.one(&transaction).await? else {
                return Ok(None);
            };
            let user = UserId::from(link.user_id);
            let update = update.filter(user::Column::Id.eq(user.as_str()));
            // Of two at once, the second waits here for the user, and then finds no link.
            if update.exec(&transaction).await?.rows_affected == 0
                || use_up.exec(&transaction).await?.rows_affected == 0
            {
                return Ok(None);
            }
            let (denial, _) =
                authority::end_sessions(&transaction, &user, None, revocation).await?;
            let reset = NewEvent {
                user: Some(&user),
                ..NewEvent::new(EventKind::PasswordReset, by, revocation.period.now)
            };
            events::insert(&transaction, reset).await?;
            transaction.commit().await?;
            Ok(Some(denial))
        })
        .await
    }
}

/// Makes the user's link worthless, if there is one.
pub(super) async fn use_up<C: ConnectionTrait>(db: &C, user: &UserId) -> Result<(), StoreError> {
    Entity::delete_many()
        .filter(Column::UserId.eq(user.as_str()))
        .exec(db)
        .await?;
    Ok(())
}

fn usable(token_hash: &str, now: Time) -> Condition {
    Condition::all()
        .add(Column::TokenHash.eq(token_hash))
        .add(Column::ExpiresAt.gt(now.millis()))
}
