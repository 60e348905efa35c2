//! Changes of users: roles, password, disabling and enabling.

use entity::user::{Column, Entity};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, UpdateMany};
use secrecy::{ExposeSecret, SecretString};

use super::security_events::{self, NewSecurityEvent};
use super::{
    DenialPeriod, NewDelivery, Revocation, SessionOwner, SessionWithOwner, Store, StoreError, User,
    UserId, UserWithHash, authority, authorization, codes, outbox, reset_links, revocations,
    session_renewal, with_deadline,
};
use crate::names::ADMIN;
use crate::security_events::{Actor, EventKind};
use latchet_guard::clock::Time;
use latchet_guard::denylist::Denial;

/// A password to be stored, and the messages that report its change.
#[derive(Clone, Debug)]
pub struct NewPassword {
    /// PHC string of argon2id.
    pub hash: SecretString,
    /// Messages to the user.
    pub notices: Vec<NewDelivery>,
}

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
        actor: &Actor,
        period: DenialPeriod,
    ) -> Result<Option<Denial>, StoreError> {
        let stays = roles.iter().any(|role| role == ADMIN);
        let roles = roles.join(" ");
        let update = Entity::update_many()
            .col_expr(Column::Roles, Expr::val(roles.as_str()))
            .filter(Column::Roles.ne(roles.as_str()));
        let event = NewSecurityEvent::new(EventKind::RolesChanged, actor, period.now);
        with_deadline(async {
            let transaction = self.begin().await?;
            if stays {
                authorization::authorize(&transaction, actor, &[id]).await?;
            } else {
                authorization::authorize_removal(&transaction, actor, id).await?;
                reset_links::delete_links_created_by(&transaction, id).await?;
            }
            let denial = match apply_update(&transaction, id, update, event).await? {
                UserUpdate::Applied => {
                    Some(authority::raise_version(&transaction, id, period).await?)
                }
                UserUpdate::Unchanged => revocations::denial_of_user(&transaction, id).await?,
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
        password: &NewPassword,
        actor: &Actor,
        revocation: &Revocation,
    ) -> Result<(Denial, Option<SessionWithOwner>), StoreError> {
        let update = password_update(&password.hash, revocation.period.now)
            .filter(Column::Id.eq(verified.id.as_str()))
            .filter(Column::PasswordChangedAt.eq(verified.password_changed_at.millis()));
        with_deadline(async {
            let transaction = self.begin().await?;
            if update.exec(&transaction).await?.rows_affected == 0 {
                return Err(StoreError::Conflict);
            }
            void_secrets(&transaction, &verified.id).await?;
            outbox::insert(&transaction, &password.notices, revocation.period.now).await?;
            let keep = actor.session();
            let now = revocation.period.now;
            // Before the other sessions end: a session that has ended is not renewed.
            let kept = match keep {
                Some(id) => {
                    Some(session_renewal::renew_session(&transaction, id, &verified.id, now).await?)
                }
                None => None,
            };
            let (denial, _) =
                authority::end_sessions(&transaction, &verified.id, keep, revocation).await?;
            let kept = match kept {
                Some(session) => {
                    let owner = Entity::find_by_id(verified.id.as_str());
                    let owner = owner.one(&transaction).await?.ok_or(StoreError::NotFound)?;
                    let owner = SessionOwner::from(User::from(owner));
                    Some(SessionWithOwner { session, owner })
                }
                None => None,
            };
            let changed = NewSecurityEvent {
                user: Some(&verified.id),
                session: keep,
                ..NewSecurityEvent::new(EventKind::PasswordChanged, actor, revocation.period.now)
            };
            security_events::insert(&transaction, changed).await?;
            transaction.commit().await?;
            self.outbox_signal().notify_one();
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
        with_deadline(async {
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
        actor: &Actor,
        revocation: &Revocation,
    ) -> Result<Denial, StoreError> {
        let now = revocation.period.now;
        let update = Entity::update_many()
            .col_expr(Column::DisabledAt, Expr::val(now.millis()))
            .filter(Column::DisabledAt.is_null());
        let event = NewSecurityEvent::new(EventKind::UserDisabled, actor, now);
        with_deadline(async {
            let transaction = self.begin().await?;
            authorization::authorize_removal(&transaction, actor, id).await?;
            apply_update(&transaction, id, update, event).await?;
            void_secrets(&transaction, id).await?;
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
    pub async fn enable_user(
        &self,
        id: &UserId,
        actor: &Actor,
        now: Time,
    ) -> Result<(), StoreError> {
        let update = Entity::update_many()
            .col_expr(Column::DisabledAt, Expr::value(None::<i64>))
            .filter(Column::DisabledAt.is_not_null());
        let event = NewSecurityEvent::new(EventKind::UserEnabled, actor, now);
        with_deadline(async {
            let transaction = self.begin().await?;
            authorization::authorize(&transaction, actor, &[id]).await?;
            apply_update(&transaction, id, update, event).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }
}

/// Voids every secret that could still set a password of the user or prove an address, and the links that the user
/// created. Must run in the transaction of a change that voids them.
pub(super) async fn void_secrets<C: ConnectionTrait>(
    db: &C,
    user: &UserId,
) -> Result<(), StoreError> {
    reset_links::delete_links_involving(db, user).await?;
    codes::void_of_user(db, user).await
}

/// Changes a user and records the event if anything changed: a repeated request is no event. Must run in a
/// transaction.
async fn apply_update<C: ConnectionTrait>(
    db: &C,
    id: &UserId,
    update: UpdateMany<Entity>,
    event: NewSecurityEvent<'_>,
) -> Result<UserUpdate, StoreError> {
    let update = update.filter(Column::Id.eq(id.as_str()));
    if update.exec(db).await?.rows_affected > 0 {
        let user = Some(id);
        security_events::insert(db, NewSecurityEvent { user, ..event }).await?;
        return Ok(UserUpdate::Applied);
    }
    let found = Entity::find_by_id(id.as_str()).one(db).await?;
    found
        .map(|_| UserUpdate::Unchanged)
        .ok_or(StoreError::NotFound)
}

/// Result of a request to change a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UserUpdate {
    Applied,
    /// The user has the requested state already.
    Unchanged,
}

/// Returns an update that sets a password; the caller adds the condition that selects the user.
pub(super) fn password_update(password_hash: &SecretString, now: Time) -> UpdateMany<Entity> {
    Entity::update_many()
        .col_expr(
            Column::PasswordHash,
            Expr::val(password_hash.expose_secret()),
        )
        .col_expr(Column::PasswordChangedAt, Expr::val(now.millis()))
}
