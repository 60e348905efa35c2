//! Rows of `reset_links`: one-time links that set a new password. A user has at most one. It is deleted when
//! the password is set in another way or the account is disabled.
//!
//! A link depends on the authority of the administrator that created it, and ends with that authority: see
//! [`is_creator_authorized`]. Rows of users are locked before those of links.

use entity::reset_link::{ActiveModel, Column, Entity, Model};
use entity::user;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, Set};

use super::authorization::{self, UserAuthorities};
use super::codes::{self, CodeCheck, CodePurpose, PresentedCode, ProvenCode};
use super::security_events::{self, NewSecurityEvent};
use super::user_changes::{NewPassword, password_update, void_secrets};
use super::{Revocation, Store, StoreError, User, UserId, authority, outbox, with_deadline};
use crate::security_events::{Actor, EventKind};
use latchet_guard::clock::Time;
use latchet_guard::denylist::Denial;

/// A link to be recorded.
#[derive(Clone, Debug)]
pub struct NewResetLink {
    /// Hash of its secret.
    pub token_hash: String,
    /// Time of expiry.
    pub expires_at: Time,
}

impl Store {
    /// Records a link, which replaces an older one of the user.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such user, [`StoreError::Conflict`] when the account
    /// is disabled; [`StoreError::NotAdministrator`].
    pub async fn create_reset_link(
        &self,
        user: &UserId,
        link: NewResetLink,
        actor: &Actor,
        now: Time,
    ) -> Result<(), StoreError> {
        let replacement = OnConflict::column(Column::UserId)
            .update_columns([
                Column::TokenHash,
                Column::MadeBy,
                Column::MadeAt,
                Column::ExpiresAt,
            ])
            .to_owned();
        with_deadline(async {
            let transaction = self.begin().await?;
            // A `disable_user` that has not committed yet runs after this, and deletes the link.
            let users = authorization::authorize(&transaction, actor, &[user]).await?;
            let owner = users.get(user).ok_or(StoreError::NotFound)?;
            if owner.is_disabled() {
                return Err(StoreError::Conflict);
            }
            // The password may have been changed on a replica whose clock is slightly ahead.
            let creator = actor.id().and_then(|id| users.get(id));
            let made_at = creator.map_or(now, |creator| creator.password_changed_at().max(now));
            let row = ActiveModel {
                user_id: Set(user.to_string()),
                token_hash: Set(link.token_hash),
                made_by: Set(actor.id().map(UserId::to_string)),
                made_at: Set(made_at.millis()),
                expires_at: Set(link.expires_at.millis()),
            };
            Entity::insert(row)
                .on_conflict(replacement)
                .exec_without_returning(&transaction)
                .await?;
            let made = NewSecurityEvent {
                user: Some(user),
                ..NewSecurityEvent::new(EventKind::ResetLinkMade, actor, now)
            };
            security_events::insert(&transaction, made).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// Returns the user whose password the link sets, if the link is valid now.
    pub async fn user_of_reset_link(
        &self,
        token_hash: &str,
        now: Time,
    ) -> Result<Option<User>, StoreError> {
        let found = Entity::find().filter(usable_link(token_hash, now));
        with_deadline(async {
            let Some(link) = found.one(self.reader()).await? else {
                return Ok(None);
            };
            let (owner, creator) = owner_and_creator(&link);
            let users = authorization::read_authorities(
                self.reader(),
                involved_users(&owner, creator.as_ref()),
            )
            .await?;
            if !is_creator_authorized(&link, &users) {
                return Ok(None);
            }
            let row =
                user::Entity::find_by_id(owner.as_str()).filter(user::Column::DisabledAt.is_null());
            Ok(row.one(self.reader()).await?.map(User::from))
        })
        .await
    }

    /// Uses the link to set the password of its user, and revokes all sessions. Returns `None` when the link is
    /// unknown, used or expired, when the account is disabled, or when the authority of the link's creator has
    /// ended.
    pub async fn use_reset_link(
        &self,
        token_hash: &str,
        password: &NewPassword,
        actor: &Actor,
        revocation: &Revocation,
    ) -> Result<Option<Denial>, StoreError> {
        let found = Entity::find().filter(usable_link(token_hash, revocation.period.now));
        let delete = Entity::delete_many().filter(usable_link(token_hash, revocation.period.now));
        with_deadline(async {
            let transaction = self.begin().await?;
            let Some(link) = found.one(&transaction).await? else {
                return Ok(None);
            };
            let (user, creator) = owner_and_creator(&link);
            let involved: Vec<&UserId> = involved_users(&user, creator.as_ref()).collect();
            let users = authorization::authorize(&transaction, actor, &involved).await?;
            // Of two concurrent requests, the second waits above for the row of the user, and then deletes no link.
            if !is_creator_authorized(&link, &users)
                || delete.exec(&transaction).await?.rows_affected == 0
            {
                return Ok(None);
            }
            let reset = reset_password(&transaction, &user, password, (actor, revocation)).await?;
            if reset.is_some() {
                transaction.commit().await?;
                self.outbox_signal().notify_one();
            }
            Ok(reset)
        })
        .await
    }

    /// Uses a mailed link or code to set the password of its user, and revokes all sessions. Returns `None` when it
    /// is unknown, used or expired, or when the account is disabled.
    pub async fn use_reset_code(
        &self,
        presented: &PresentedCode,
        password: &NewPassword,
        actor: &Actor,
        revocation: &Revocation,
    ) -> Result<Option<Denial>, StoreError> {
        let (purpose, now) = (CodePurpose::ResetPassword, revocation.period.now);
        with_deadline(async {
            let transaction = self.begin().await?;
            let reset = match codes::check(&transaction, presented, purpose, now).await? {
                CodeCheck::Proven(ProvenCode { user, .. }) => {
                    reset_password(&transaction, &user, password, (actor, revocation)).await?
                }
                CodeCheck::WrongGuess | CodeCheck::Invalid => None,
            };
            transaction.commit().await?;
            self.outbox_signal().notify_one();
            Ok(reset)
        })
        .await
    }
}

/// Sets the password of an enabled user, voids every other secret of the account and ends its sessions. Returns
/// `None` for a disabled account. Must run in a transaction that has locked the user.
async fn reset_password<C: ConnectionTrait>(
    db: &C,
    user: &UserId,
    password: &NewPassword,
    (actor, revocation): (&Actor, &Revocation),
) -> Result<Option<Denial>, StoreError> {
    let now = revocation.period.now;
    let update = password_update(&password.hash, now)
        .filter(user::Column::Id.eq(user.as_str()))
        .filter(user::Column::DisabledAt.is_null());
    if update.exec(db).await?.rows_affected == 0 {
        return Ok(None);
    }
    void_secrets(db, user).await?;
    let (denial, _) = authority::end_sessions(db, user, None, revocation).await?;
    let reset = NewSecurityEvent {
        user: Some(user),
        ..NewSecurityEvent::new(EventKind::PasswordReset, actor, now)
    };
    security_events::insert(db, reset).await?;
    outbox::insert(db, &password.notices, now).await?;
    Ok(Some(denial))
}

impl Store {
    /// Deletes the user's link.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none; [`StoreError::NotAdministrator`].
    pub async fn withdraw_reset_link(
        &self,
        user: &UserId,
        actor: &Actor,
        now: Time,
    ) -> Result<(), StoreError> {
        let delete = Entity::delete_many()
            .filter(Column::UserId.eq(user.as_str()))
            .filter(Column::ExpiresAt.gt(now.millis()));
        with_deadline(async {
            let transaction = self.begin().await?;
            authorization::authorize(&transaction, actor, &[user]).await?;
            if delete.exec(&transaction).await?.rows_affected == 0 {
                return Err(StoreError::NotFound);
            }
            let withdrawn = NewSecurityEvent {
                user: Some(user),
                ..NewSecurityEvent::new(EventKind::ResetLinkWithdrawn, actor, now)
            };
            security_events::insert(&transaction, withdrawn).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }
}

/// Deletes the link for a user and the links that the user created. Must run in a transaction.
pub(super) async fn delete_links_involving<C: ConnectionTrait>(
    db: &C,
    user: &UserId,
) -> Result<(), StoreError> {
    Entity::delete_many()
        .filter(Column::UserId.eq(user.as_str()))
        .exec(db)
        .await?;
    delete_links_created_by(db, user).await
}

/// Deletes the links that a user created, because the user's authority ends. Must run in a transaction.
pub(super) async fn delete_links_created_by<C: ConnectionTrait>(
    db: &C,
    user: &UserId,
) -> Result<(), StoreError> {
    Entity::delete_many()
        .filter(Column::MadeBy.eq(user.as_str()))
        .exec(db)
        .await?;
    Ok(())
}

/// Returns whether the authority for a link is still valid: its creator is an enabled administrator and has not
/// changed the password since. A link of the operator needs no administrator.
///
/// A change that ends this authority also deletes the links; this check is for links that are created or used
/// at the same time.
fn is_creator_authorized(link: &Model, users: &UserAuthorities) -> bool {
    let Some(creator) = &link.made_by else {
        return true;
    };
    let creator = users.get(&UserId::from(creator.as_str()));
    creator.is_some_and(|creator| {
        creator.is_administrator()
            && creator.password_changed_at() <= Time::from_millis(link.made_at)
    })
}

/// Returns the user of a link and its creator.
fn owner_and_creator(link: &Model) -> (UserId, Option<UserId>) {
    let creator = link.made_by.as_deref().map(UserId::from);
    (UserId::from(link.user_id.as_str()), creator)
}

fn involved_users<'a>(
    owner: &'a UserId,
    creator: Option<&'a UserId>,
) -> impl Iterator<Item = &'a UserId> {
    std::iter::once(owner).chain(creator)
}

fn usable_link(token_hash: &str, now: Time) -> Condition {
    Condition::all()
        .add(Column::TokenHash.eq(token_hash))
        .add(Column::ExpiresAt.gt(now.millis()))
}
