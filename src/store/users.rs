//! Rows of `users`: creating, finding and listing them.

use std::collections::{BTreeMap, BTreeSet};

use entity::user::{ActiveModel, Column, Entity, Model};
use sea_orm::sea_query::{Expr, ExprTrait, LikeExpr};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, Set,
};
use secrecy::{ExposeSecret, SecretString};

use super::security_events::{self, NewSecurityEvent};
use super::{Store, StoreError, UserId, authorization, with_deadline};
use crate::locale::Locale;
use crate::names::fold_username;
use crate::security_events::{Actor, EventKind};
use latchet_guard::clock::Time;

/// A user account. It does not contain the password hash: see [`UserWithHash`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The `sub` of the user's tokens.
    pub id: UserId,
    /// As typed at creation.
    pub username: String,
    /// Names of the user's roles.
    pub roles: Vec<String>,
    /// Time at which an administrator disabled the account; `None` while it is enabled.
    pub disabled_at: Option<Time>,
    /// Time of creation.
    pub created_at: Time,
    /// Time at which the password was last set.
    pub password_changed_at: Time,
    /// Authority version.
    pub authority_version: u64,
    /// Language of mails, if it is known.
    pub locale: Option<Locale>,
}

impl User {
    /// Returns whether the account may not log in.
    pub fn is_disabled(&self) -> bool {
        self.disabled_at.is_some()
    }
}

/// A user together with the password hash.
#[derive(Clone, Debug)]
pub struct UserWithHash {
    /// The user.
    pub user: User,
    /// PHC string of argon2id.
    pub password_hash: SecretString,
}

/// A user to be created.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// As typed; a name that differs from another user's only in case is a conflict.
    pub username: String,
    /// PHC string of argon2id.
    pub password_hash: SecretString,
    /// Names of roles, without spaces in them.
    pub roles: Vec<String>,
    /// Language of mails, if it is known.
    pub locale: Option<Locale>,
}

/// Request for a page of users, ordered by folded name.
#[derive(Clone, Debug)]
pub struct UserPageRequest {
    /// Only users whose name comes after this one, the last of the previous page.
    pub after: Option<String>,
    /// Only users whose name begins with this, ignoring case.
    pub search: Option<String>,
    /// At most this many.
    pub limit: u64,
}

impl Store {
    /// Creates a user.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name is taken; [`StoreError::NotAdministrator`].
    pub async fn create_user(
        &self,
        new: NewUser,
        actor: &Actor,
        now: Time,
    ) -> Result<User, StoreError> {
        self.create(new, EventKind::UserCreated, actor, now).await
    }

    /// Creates the first administrator, as configured by the settings.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name is taken.
    pub async fn create_first_administrator(
        &self,
        administrator: NewUser,
        now: Time,
    ) -> Result<User, StoreError> {
        let kind = EventKind::FirstAdministrator;
        self.create(administrator, kind, &Actor::Operator, now)
            .await
    }

    async fn create(
        &self,
        new: NewUser,
        kind: EventKind,
        actor: &Actor,
        now: Time,
    ) -> Result<User, StoreError> {
        with_deadline(async {
            let transaction = self.begin().await?;
            authorization::authorize(&transaction, actor, &[]).await?;
            let user = insert(&transaction, new, now).await?;
            let made = NewSecurityEvent {
                user: Some(&user.id),
                ..NewSecurityEvent::new(kind, actor, now)
            };
            security_events::insert(&transaction, made).await?;
            transaction.commit().await?;
            Ok(user)
        })
        .await
    }

    /// Returns the user with that name, ignoring case.
    pub async fn user_by_name(&self, username: &str) -> Result<Option<User>, StoreError> {
        Ok(self
            .user_with_hash_by_name(username)
            .await?
            .map(|found| found.user))
    }

    /// Returns the user with that id and the password hash.
    pub async fn user_with_hash(&self, id: &UserId) -> Result<Option<UserWithHash>, StoreError> {
        let row =
            with_deadline(async { Ok(Entity::find_by_id(id.as_str()).one(self.reader()).await?) });
        Ok(row.await?.map(UserWithHash::from))
    }

    /// Returns the user with that name, ignoring case, and the password hash.
    pub async fn user_with_hash_by_name(
        &self,
        username: &str,
    ) -> Result<Option<UserWithHash>, StoreError> {
        let named = Entity::find().filter(Column::UsernameKey.eq(fold_username(username)));
        let row = with_deadline(async { Ok(named.one(self.reader()).await?) }).await?;
        Ok(row.map(UserWithHash::from))
    }

    /// Returns one page of users.
    pub async fn users(&self, page: &UserPageRequest) -> Result<Vec<User>, StoreError> {
        let after = page.after.as_deref().map(fold_username);
        let first = page.search.as_deref().map(fold_username);
        // One lower bound: with two, SQLite would search for the first one and read all names from there.
        let found = match after {
            Some(after) if first.is_none_or(|first| first <= after) => Entity::find()
                .filter(Column::UsernameKey.gt(after))
                .filter(name_is_before_end_of(page.search.as_deref())),
            _ => Entity::find().filter(name_begins_with(page.search.as_deref())),
        };
        let found = found.order_by_asc(Column::UsernameKey).limit(page.limit);
        let rows = with_deadline(async { Ok(found.all(self.reader()).await?) }).await?;
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// Returns the names of those of the users that exist, by id. A name never changes.
    pub(super) async fn usernames(
        &self,
        ids: BTreeSet<&str>,
    ) -> Result<BTreeMap<String, String>, StoreError> {
        let found = Entity::find()
            .select_only()
            .columns([Column::Id, Column::Username])
            .filter(Column::Id.is_in(ids))
            .into_tuple::<(String, String)>();
        let rows = with_deadline(async { Ok(found.all(self.reader()).await?) }).await?;
        Ok(rows.into_iter().collect())
    }

    /// Returns the number of users with a name that begins with `search`.
    pub async fn count_users(&self, search: Option<&str>) -> Result<u64, StoreError> {
        let found = Entity::find().filter(name_begins_with(search));
        with_deadline(async { Ok(found.count(self.reader()).await?) }).await
    }

    /// Returns whether any enabled user has that role.
    pub async fn has_user_with_role(&self, role: &str) -> Result<bool, StoreError> {
        let found = Entity::find().filter(enabled_with_role(role));
        let row = with_deadline(async { Ok(found.one(self.reader()).await?) }).await?;
        Ok(row.is_some())
    }
}

/// Creates a user, inside or outside a transaction.
pub(super) async fn insert<C: ConnectionTrait>(
    db: &C,
    new: NewUser,
    now: Time,
) -> Result<User, StoreError> {
    let row = ActiveModel {
        id: Set(UserId::random().to_string()),
        username_key: Set(fold_username(&new.username)),
        username: Set(new.username),
        password_hash: Set(new.password_hash.expose_secret().to_owned()),
        roles: Set(new.roles.join(" ")),
        disabled_at: Set(None),
        created_at: Set(now.millis()),
        password_changed_at: Set(now.millis()),
        authority_version: Set(0),
        sessions_floor: Set(0),
        floor_reason: Set(None),
        kept_session: Set(None),
        floor_marked: Set(0),
        locale: Set(new.locale.map(|locale| locale.as_str().to_owned())),
    };
    Ok(row.insert(db).await?.into())
}

/// Condition of enabled users with the role.
pub(super) fn enabled_with_role(role: &str) -> Condition {
    let pattern = LikeExpr::new(format!("% {} %", escape_like(role))).escape('\\');
    Condition::all()
        .add(Expr::cust("' ' || roles || ' '").like(pattern))
        .add(Column::DisabledAt.is_null())
}

/// Condition of users whose name begins with `prefix`, as a range of the index: a search for a part of a name
/// would read all users. Both databases compare the keys byte by byte.
pub(super) fn name_begins_with(prefix: Option<&str>) -> Condition {
    let from = prefix.map(|prefix| Column::UsernameKey.gte(fold_username(prefix)));
    name_is_before_end_of(prefix).add_option(from)
}

/// Condition of users whose name comes before the end of that range.
fn name_is_before_end_of(prefix: Option<&str>) -> Condition {
    // No name has this character, which comes after all others.
    let after_last = prefix.map(|prefix| format!("{}{}", fold_username(prefix), char::MAX));
    Condition::all().add_option(after_last.map(|after_last| Column::UsernameKey.lt(after_last)))
}

fn escape_like(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_")
}

/// Splits a space-separated list, as the database stores it.
pub(super) fn split_spaces(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

impl From<Model> for User {
    fn from(row: Model) -> Self {
        Self {
            id: row.id.into(),
            username: row.username,
            roles: split_spaces(&row.roles),
            disabled_at: row.disabled_at.map(Time::from_millis),
            created_at: Time::from_millis(row.created_at),
            password_changed_at: Time::from_millis(row.password_changed_at),
            // No version is negative; a damaged one matches no condition of a statement.
            authority_version: u64::try_from(row.authority_version).unwrap_or(u64::MAX),
            locale: row.locale.as_deref().and_then(Locale::parse),
        }
    }
}

impl From<Model> for UserWithHash {
    fn from(mut row: Model) -> Self {
        let password_hash = std::mem::take(&mut row.password_hash).into();
        Self {
            user: row.into(),
            password_hash,
        }
    }
}
