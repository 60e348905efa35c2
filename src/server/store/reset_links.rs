//! Rows of `reset_links`: one-time links that set a new password. A user has one at most, and none
//! any more once the password was set in another way or the account was disabled.
//!
//! A link works on the authority of the administrator who made it, and ends with that: see
//! [`is_backed`]. Rows of users are locked before those of links.

use entity::reset_link::{ActiveModel, Column, Entity, Model};
use entity::user;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, Set};
use secrecy::SecretString;

use super::administrators::{self, Users};
use super::events::{self, NewEvent};
use super::user_changes::with_password;
use super::{Revocation, Store, StoreError, User, UserId, authority, limited};
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
    /// is disabled; [`StoreError::NotAdministrator`].
    pub async fn create_reset_link(
        &self,
        user: &UserId,
        link: NewResetLink,
        by: &Actor,
        now: Time,
    ) -> Result<(), StoreError> {
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
            // The password may have been changed at a replica whose clock is a little ahead.
            let maker = by.id().and_then(|id| users.get(id));
            let made_at = maker.map_or(now, |maker| maker.password_changed_at().max(now));
            let row = ActiveModel {
                user_id: Set(user.to_string()),
                token_hash: Set(link.token_hash),
                made_by: Set(by.id().map(UserId::to_string)),
                made_at: Set(made_at.millis()),
                expires_at: Set(link.expires_at.millis()),
            };
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
        let found = Entity::find().filter(usable(token_hash, now));
        limited(async {
            let Some(link) = found.one(self.reader()).await? else {
                return Ok(None);
            };
            let (owner, maker) = parties(&link);
            let users =
                administrators::read(self.reader(), parties_of(&owner, maker.as_ref())).await?;
            if !is_backed(&link, &users) {
                return Ok(None);
            }
            let row =
                user::Entity::find_by_id(owner.as_str()).filter(user::Column::DisabledAt.is_null());
            Ok(row.one(self.reader()).await?.map(User::from))
        })
        .await
    }

    /// Uses the link to set the password of its user, and revokes all sessions. Returns `None` when
    /// the link is unknown, was used or has expired, the account is disabled, or the authority of who
    /// made the link has ended.
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
            let (user, maker) = parties(&link);
            let involved: Vec<&UserId> = parties_of(&user, maker.as_ref()).collect();
            let users = administrators::authorize(&transaction, by, &involved).await?;
            if !is_backed(&link, &users) {
                return Ok(None);
            }
            let update = update.filter(user::Column::Id.eq(user.as_str()));
            // Of two at once, the second waits here for the user, and then finds no link.
            if update.exec(&transaction).await?.rows_affected == 0
                || use_up.exec(&transaction).await?.rows_affected == 0
            {
                return Ok(None);
            }
            withdraw_made_by(&transaction, &user).await?;
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

impl Store {
    /// Makes the user's link worthless.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none; [`StoreError::NotAdministrator`].
    pub async fn withdraw_reset_link(
        &self,
        user: &UserId,
        by: &Actor,
        now: Time,
    ) -> Result<(), StoreError> {
        let delete = Entity::delete_many()
            .filter(Column::UserId.eq(user.as_str()))
            .filter(Column::ExpiresAt.gt(now.millis()));
        limited(async {
            let transaction = self.begin().await?;
            administrators::authorize(&transaction, by, &[user]).await?;
            if delete.exec(&transaction).await?.rows_affected == 0 {
                return Err(StoreError::NotFound);
            }
            let withdrawn = NewEvent {
                user: Some(user),
                ..NewEvent::new(EventKind::ResetLinkWithdrawn, by, now)
            };
            events::insert(&transaction, withdrawn).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }
}

/// Makes the link for a user worthless, and those that the user made. Belongs in a transaction.
pub(super) async fn use_up<C: ConnectionTrait>(db: &C, user: &UserId) -> Result<(), StoreError> {
    Entity::delete_many()
        .filter(Column::UserId.eq(user.as_str()))
        .exec(db)
        .await?;
    withdraw_made_by(db, user).await
}

/// Makes the links worthless that a user made, whose authority ends. Belongs in a transaction.
pub(super) async fn withdraw_made_by<C: ConnectionTrait>(
    db: &C,
    user: &UserId,
) -> Result<(), StoreError> {
    Entity::delete_many()
        .filter(Column::MadeBy.eq(user.as_str()))
        .exec(db)
        .await?;
    Ok(())
}

/// Returns whether the authority by which a link was made has not ended since: its maker is an enabled
/// administrator with the password of then. What the operator makes needs nobody behind it.
///
/// Whatever ends that authority deletes the links as well; this decides for those that were made or are
/// used at the same moment.
fn is_backed(link: &Model, users: &Users) -> bool {
    let Some(maker) = &link.made_by else {
        return true;
    };
    let maker = users.get(&UserId::from(maker.as_str()));
    maker.is_some_and(|maker| {
        maker.is_administrator() && maker.password_changed_at() <= Time::from_millis(link.made_at)
    })
}

/// Returns the user of a link, and the one who made it.
fn parties(link: &Model) -> (UserId, Option<UserId>) {
    let maker = link.made_by.as_deref().map(UserId::from);
    (UserId::from(link.user_id.as_str()), maker)
}

fn parties_of<'a>(
    owner: &'a UserId,
    maker: Option<&'a UserId>,
) -> impl Iterator<Item = &'a UserId> {
    std::iter::once(owner).chain(maker)
}

fn usable(token_hash: &str, now: Time) -> Condition {
    Condition::all()
        .add(Column::TokenHash.eq(token_hash))
        .add(Column::ExpiresAt.gt(now.millis()))
}
