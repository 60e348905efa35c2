//! Changes of users: roles, password, disabling and enabling.

use entity::user::{Column, Entity};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, UpdateMany};
use secrecy::{ExposeSecret, SecretString};

use super::events::{self, NewEvent};
use super::{
    Current, DenialPeriod, Owner, Revocation, Store, StoreError, User, UserId, UserWithHash,
    administrators, authority, limited, renewal, reset_links, revocations,
};
use crate::clock::Time;
use crate::denylist::Denial;
use crate::server::events::{Actor, EventKind};
use crate::server::names::ADMIN;

impl Store {
    /// Replaces the user's roles. Returns the denial of issued tokens, which carry the old roles: also when the
    /// user has these roles already, so that a caller whose denylist failed can repeat the whole change.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such user; [`StoreError::NotAdministrator`];
    /// [`StoreError::LastAdministrator`].
    pub async fn set_roles(
        &self,
        id: &UserId,
        roles: &[String],
        by: &Actor,
        period: DenialPeriod,
    ) -> Result<Option<Denial>, StoreError> {
        let stays = roles.iter().any(|role| role == ADMIN);
        let roles = roles.join(" ");
        let update = Entity::update_many()
            .col_expr(Column::Roles, Expr::val(roles.as_str()))
            .filter(Column::Roles.ne(roles.as_str()));
        let event = NewEvent::new(EventKind::RolesChanged, by, period.now);
        limited(async {
            let transaction = self.begin().await?;
            if stays {
                administrators::authorize(&transaction, by, &[id]).await?;
            } else {
                administrators::authorize_removal(&transaction, by, id).await?;
                reset_links::withdraw_made_by(&transaction, id).await?;
            }
            let denial = match change(&transaction, id, update, event).await? {
                Change::Made => Some(authority::raise(&transaction, id, period).await?),
                Change::NotNeeded => revocations::of_user(&transaction, id).await?,
            };
            transaction.commit().await?;
            Ok(denial)
        })
        .await
    }

    /// Sets the password of `verified` and revokes the user's sessions, except the session of the actor, which
    /// continues with new tokens and is returned.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the password was changed since `verified` was read: the old password no
    /// longer proves anything. [`StoreError::NotFound`] when the session of the actor has ended.
    pub async fn set_password(
        &self,
        verified: &User,
        password_hash: &SecretString,
        by: &Actor,
        revocation: &Revocation,
    ) -> Result<(Denial, Option<Current>), StoreError> {
        let update = with_password(password_hash, revocation.period.now)
            .filter(Column::Id.eq(verified.id.as_str()))
            .filter(Column::PasswordChangedAt.eq(verified.password_changed_at.millis()));
        limited(async {
            let transaction = self.begin().await?;
            if update.exec(&transaction).await?.rows_affected == 0 {
                return Err(StoreError::Conflict);
            }
            reset_links::use_up(&transaction, &verified.id).await?;
            let keep = by.session();
            let now = revocation.period.now;
            // Before the other sessions end: a session that has ended is not renewed.
            let kept = match keep {
                Some(id) => Some(renewal::renew(&transaction, id, &verified.id, now).await?),
                None => None,
            };
            let (denial, _) =
                authority::end_sessions(&transaction, &verified.id, keep, revocation).await?;
            let kept = match kept {
                Some(session) => {
                    let owner = Entity::find_by_id(verified.id.as_str());
                    let owner = owner.one(&transaction).await?.ok_or(StoreError::NotFound)?;
                    let owner = Owner::try_from(&owner)?;
                    Some(Current { session, owner })
                }
                None => None,
            };
            let changed = NewEvent {
                user: Some(&verified.id),
                session: keep,
                ..NewEvent::new(EventKind::PasswordChanged, by, revocation.period.now)
            };
            events::insert(&transaction, changed).await?;
            transaction.commit().await?;
            Ok((denial, kept))
        })
        .await
    }

    /// Replaces a hash by one of the same password with the current parameters; does nothing when the password
    /// was changed meanwhile.
    pub async fn upgrade_hash(
        &self,
        verified: &UserWithHash,
        password_hash: &SecretString,
    ) -> Result<(), StoreError> {
        let update = Entity::update_many()
            .col_expr(
                Column::PasswordHash,
                Expr::val(password_hash.expose_secret()),
            )
            .filter(Column::Id.eq(verified.user.id.as_str()))
            .filter(Column::PasswordHash.eq(verified.password_hash.expose_secret()));
        limited(async {
            update.exec(self.writer()).await?;
            Ok(())
        })
        .await
    }

    /// Disables the account and revokes all its sessions; may be repeated.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such user; [`StoreError::NotAdministrator`];
    /// [`StoreError::LastAdministrator`].
    pub async fn disable_user(
        &self,
        id: &UserId,
        by: &Actor,
        revocation: &Revocation,
    ) -> Result<Denial, StoreError> {
        let now = revocation.period.now;
        let update = Entity::update_many()
            .col_expr(Column::DisabledAt, Expr::val(now.millis()))
            .filter(Column::DisabledAt.is_null());
        let event = NewEvent::new(EventKind::UserDisabled, by, now);
        limited(async {
            let transaction = self.begin().await?;
            administrators::authorize_removal(&transaction, by, id).await?;
            change(&transaction, id, update, event).await?;
            reset_links::use_up(&transaction, id).await?;
            let (denial, _) = authority::end_sessions(&transaction, id, None, revocation).await?;
            transaction.commit().await?;
            Ok(denial)
        })
        .await
    }

    /// Enables the account again; may be repeated. Its old sessions stay revoked.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such user; [`StoreError::NotAdministrator`].
    pub async fn enable_user(&self, id: &UserId, by: &Actor, now: Time) -> Result<(), StoreError> {
        let update = Entity::update_many()
            .col_expr(Column::DisabledAt, Expr::value(None::<i64>))
            .filter(Column::DisabledAt.is_not_null());
        let event = NewEvent::new(EventKind::UserEnabled, by, now);
        limited(async {
            let transaction = self.begin().await?;
            administrators::authorize(&transaction, by, &[id]).await?;
            change(&transaction, id, update, event).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }
}

/// Changes a user and records the event if anything changed: a repeated request is no event. Must run in a
/// transaction.
async fn change<C: ConnectionTrait>(
    db: &C,
    id: &UserId,
    update: UpdateMany<Entity>,
    event: NewEvent<'_>,
) -> Result<Change, StoreError> {
    let update = update.filter(Column::Id.eq(id.as_str()));
    if update.exec(db).await?.rows_affected > 0 {
        let user = Some(id);
        events::insert(db, NewEvent { user, ..event }).await?;
        return Ok(Change::Made);
    }
    let found = Entity::find_by_id(id.as_str()).one(db).await?;
    found.map(|_| Change::NotNeeded).ok_or(StoreError::NotFound)
}

/// Result of a request to change a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Made,
    /// The user has the requested state already.
    NotNeeded,
}

/// Returns an update that sets a password; the caller adds the condition that selects the user.
pub(super) fn with_password(password_hash: &SecretString, now: Time) -> UpdateMany<Entity> {
    Entity::update_many()
        .col_expr(
            Column::PasswordHash,
            Expr::val(password_hash.expose_secret()),
        )
        .col_expr(Column::PasswordChangedAt, Expr::val(now.millis()))
}
