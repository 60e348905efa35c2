//! Authorization of administrators in the transaction of a change.
//!
//! An access token may be older than the demotion of its owner, so the actor is read again in the
//! transaction of the change. On PostgreSQL the rows stay locked until its end: of two administrators
//! that disable each other at once, the second is no longer an administrator.
//!
//! Rows of `users` are locked in the order of their ids, and before rows of any other table.

use std::collections::BTreeSet;

use entity::user::{Column, Entity};
use sea_orm::sea_query::LockType;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbBackend, EntityTrait, FromQueryResult, QueryFilter,
    QueryOrder, QuerySelect, Select,
};

use super::users::{enabled_with_role, split_spaces};
use super::{SessionId, StoreError, UserId, revocations};
use crate::names::ADMIN;
use crate::security_events::Actor;
use latchet_guard::clock::Time;
use latchet_guard::denylist::{TokenIds, TokenStatus};

/// Columns that decide about the authority of a user.
#[derive(Debug, FromQueryResult)]
pub(super) struct UserAuthority {
    id: String,
    roles: String,
    disabled_at: Option<i64>,
    password_changed_at: i64,
}

impl UserAuthority {
    /// Returns whether the account may not log in.
    pub(super) fn is_disabled(&self) -> bool {
        self.disabled_at.is_some()
    }

    /// Returns whether this is an enabled administrator.
    pub(super) fn is_administrator(&self) -> bool {
        !self.is_disabled() && split_spaces(&self.roles).iter().any(|role| role == ADMIN)
    }

    /// Returns the time at which the password was last set.
    pub(super) fn password_changed_at(&self) -> Time {
        Time::from_millis(self.password_changed_at)
    }
}

/// Current state of users. [`authorize`] locks their rows until the end of the transaction.
#[derive(Debug)]
pub(super) struct UserAuthorities(Vec<UserAuthority>);

impl UserAuthorities {
    /// Returns the user with this id, if there is one.
    pub(super) fn get(&self, id: &UserId) -> Option<&UserAuthority> {
        self.0.iter().find(|user| user.id == id.as_str())
    }

    fn require_administrator(&self, actor: &Actor) -> Result<(), StoreError> {
        let Actor::User { id, .. } = actor else {
            return Ok(());
        };
        self.get(id)
            .filter(|user| user.is_administrator())
            .map(drop)
            .ok_or(StoreError::NotAdministrator)
    }

    fn require_another_administrator(&self, removed: &UserId) -> Result<(), StoreError> {
        let takes_one_away = self
            .get(removed)
            .is_some_and(UserAuthority::is_administrator);
        let mut others = self.0.iter().filter(|user| user.id != removed.as_str());
        if takes_one_away && !others.any(UserAuthority::is_administrator) {
            return Err(StoreError::LastAdministrator);
        }
        Ok(())
    }
}

/// Locks the users `changed` and the actor, if that is a user. Must be the first step of a transaction.
///
/// # Errors
/// [`StoreError::NotAdministrator`] for an actor that is a user, but not an enabled administrator now.
pub(super) async fn authorize<C: ConnectionTrait>(
    db: &C,
    actor: &Actor,
    changed: &[&UserId],
) -> Result<UserAuthorities, StoreError> {
    let ids = changed.iter().copied().chain(actor.id());
    let users = lock_users(db, with_ids(ids)).await?;
    users.require_administrator(actor)?;
    require_valid_token(db, actor).await?;
    Ok(users)
}

/// Locks the user for a change by the user, and checks the access token again. Must be the first step of a
/// transaction.
///
/// # Errors
/// [`StoreError::ActorRevoked`], also for a disabled account, and [`StoreError::ActorOutdated`].
pub(super) async fn authorize_owner<C: ConnectionTrait>(
    db: &C,
    actor: &Actor,
    user: &UserId,
) -> Result<(), StoreError> {
    if !lock_if_enabled(db, user).await? {
        return Err(StoreError::ActorRevoked);
    }
    require_valid_token(db, actor).await
}

/// Like [`authorize`], for a change after which `removed` is not an enabled administrator. The operator may
/// remove the last one: the command line can create another.
///
/// # Errors
/// As [`authorize`]; [`StoreError::LastAdministrator`] when no enabled administrator would be left.
pub(super) async fn authorize_removal<C: ConnectionTrait>(
    db: &C,
    actor: &Actor,
    removed: &UserId,
) -> Result<(), StoreError> {
    if *actor == Actor::Operator {
        lock_users(db, with_ids(std::iter::once(removed))).await?;
        return Ok(());
    }
    let ids = std::iter::once(removed).chain(actor.id());
    let all = Condition::any()
        .add(with_ids(ids))
        .add(enabled_with_role(ADMIN));
    let users = lock_users(db, all).await?;
    users.require_administrator(actor)?;
    require_valid_token(db, actor).await?;
    users.require_another_administrator(removed)
}

/// Locks a user who is to be deleted, by an administrator, by the operator, or by that user.
///
/// # Errors
/// As [`authorize_removal`]; [`StoreError::NotFound`] when there is no such user.
pub(super) async fn authorize_deletion<C: ConnectionTrait>(
    db: &C,
    actor: &Actor,
    deleted: &UserId,
) -> Result<(), StoreError> {
    let ids = std::iter::once(deleted).chain(actor.id());
    let all = Condition::any()
        .add(with_ids(ids))
        .add(enabled_with_role(ADMIN));
    let users = lock_users(db, all).await?;
    if !actor.is_user(deleted) {
        users.require_administrator(actor)?;
    }
    require_valid_token(db, actor).await?;
    if users.get(deleted).is_none() {
        return Err(StoreError::NotFound);
    }
    if *actor == Actor::Operator {
        return Ok(());
    }
    users.require_another_administrator(deleted)
}

/// Checks the access token of the actor again, whose row is locked: since the first check, the request may have
/// waited for its body or for a password hash.
///
/// # Errors
/// [`StoreError::ActorRevoked`], [`StoreError::ActorOutdated`].
async fn require_valid_token<C: ConnectionTrait>(db: &C, actor: &Actor) -> Result<(), StoreError> {
    let Actor::User {
        id,
        session,
        jti,
        authority_version,
        ..
    } = actor
    else {
        return Ok(());
    };
    let ids = TokenIds {
        sid: session.as_ref().map(SessionId::as_str),
        jti,
        sub: id.as_str(),
        authority_version: *authority_version,
    };
    match revocations::token_status(db, ids).await? {
        TokenStatus::NotDenied => Ok(()),
        TokenStatus::Revoked => Err(StoreError::ActorRevoked),
        TokenStatus::Outdated => Err(StoreError::ActorOutdated),
    }
}

/// Locks a user until the end of the transaction, and returns whether there is one and the account is enabled.
pub(super) async fn lock_if_enabled<C: ConnectionTrait>(
    db: &C,
    id: &UserId,
) -> Result<bool, StoreError> {
    let users = lock_users(db, with_ids(std::iter::once(id))).await?;
    Ok(users.get(id).is_some_and(|user| !user.is_disabled()))
}

/// Locks a user until the end of the transaction.
pub(super) async fn lock_user<C: ConnectionTrait>(db: &C, id: &UserId) -> Result<(), StoreError> {
    lock_users(db, with_ids(std::iter::once(id))).await?;
    Ok(())
}

fn with_ids<'a>(ids: impl Iterator<Item = &'a UserId>) -> Condition {
    let ids: BTreeSet<&str> = ids.map(UserId::as_str).collect();
    Condition::all().add(Column::Id.is_in(ids))
}

/// Reads the current state of users without locking them.
pub(super) async fn read_authorities<'a, C: ConnectionTrait>(
    db: &C,
    ids: impl Iterator<Item = &'a UserId>,
) -> Result<UserAuthorities, StoreError> {
    Ok(UserAuthorities(
        select_authorities(with_ids(ids))
            .into_model()
            .all(db)
            .await?,
    ))
}

fn select_authorities(wanted: Condition) -> Select<Entity> {
    Entity::find()
        .select_only()
        .columns([
            Column::Id,
            Column::Roles,
            Column::DisabledAt,
            Column::PasswordChangedAt,
        ])
        .filter(wanted)
        .order_by_asc(Column::Id)
}

async fn lock_users<C: ConnectionTrait>(
    db: &C,
    wanted: Condition,
) -> Result<UserAuthorities, StoreError> {
    let mut users = select_authorities(wanted);
    // On SQLite there is only one writing transaction at a time.
    if db.get_database_backend() == DbBackend::Postgres {
        users = users.lock(LockType::NoKeyUpdate);
    }
    Ok(UserAuthorities(users.into_model().all(db).await?))
}
