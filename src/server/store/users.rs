//! Rows of `users`.

use entity::user::{ActiveModel, Column, Entity, Model};
use sea_orm::sea_query::{Expr, ExprTrait, LikeExpr};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, Set, UpdateMany,
};
use secrecy::{ExposeSecret, SecretString};

use super::{Revocation, SessionId, Store, StoreError, UserId, limited, reset_links, sessions};
use crate::clock::Time;
use crate::denylist::Denial;

/// Somebody who can log in. The hash of the password stays out of it: see [`UserWithHash`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The `sub` of the user's tokens.
    pub id: UserId,
    /// As typed when created.
    pub username: String,
    /// What the user may do, by name.
    pub roles: Vec<String>,
    /// When an administrator disabled the account; `None` while it may log in.
    pub disabled_at: Option<Time>,
    /// When the account was made.
    pub created_at: Time,
    /// When the password was last set.
    pub password_changed_at: Time,
}

impl User {
    /// Returns whether the account may not log in.
    pub fn is_disabled(&self) -> bool {
        self.disabled_at.is_some()
    }
}

/// A user together with what the password is checked against.
#[derive(Clone, Debug)]
pub struct UserWithHash {
    /// The user.
    pub user: User,
    /// PHC string of argon2id.
    pub password_hash: SecretString,
}

/// A user to be made.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// As typed; another user's name in another case is a conflict.
    pub username: String,
    /// PHC string of argon2id.
    pub password_hash: SecretString,
    /// Names of roles, without spaces in them.
    pub roles: Vec<String>,
}

/// Which users to list: a page of them, ordered by folded name.
#[derive(Clone, Debug)]
pub struct UserPage {
    /// Only users whose name comes after this one, the last of the page before.
    pub after: Option<String>,
    /// Only users whose name contains this, in any case.
    pub search: Option<String>,
    /// At most this many.
    pub limit: u64,
}

/// Returns the form of a user name that is compared: two names that fold alike are one.
pub fn fold_username(username: &str) -> String {
    username.to_lowercase()
}

impl Store {
    /// Makes a user.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name is taken.
    pub async fn create_user(&self, new: NewUser, now: Time) -> Result<User, StoreError> {
        limited(insert(self.writer(), new, now)).await
    }

    /// Returns the user with that id.
    pub async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        let row = limited(async { Ok(Entity::find_by_id(id.as_str()).one(self.reader()).await?) });
        Ok(row.await?.map(User::from))
    }

    /// Returns the user with that name, in any case.
    pub async fn user_by_name(&self, username: &str) -> Result<Option<User>, StoreError> {
        Ok(self
            .user_with_hash_by_name(username)
            .await?
            .map(|found| found.user))
    }

    /// Returns the user with that id, to check a password.
    pub async fn user_with_hash(&self, id: &UserId) -> Result<Option<UserWithHash>, StoreError> {
        let row = limited(async { Ok(Entity::find_by_id(id.as_str()).one(self.reader()).await?) });
        Ok(row.await?.map(UserWithHash::from))
    }

    /// Returns the user with that name, in any case, to check a password.
    pub async fn user_with_hash_by_name(
        &self,
        username: &str,
    ) -> Result<Option<UserWithHash>, StoreError> {
        let named = Entity::find().filter(Column::UsernameKey.eq(fold_username(username)));
        let row = limited(async { Ok(named.one(self.reader()).await?) }).await?;
        Ok(row.map(UserWithHash::from))
    }

    /// Returns one page of users.
    pub async fn users(&self, page: &UserPage) -> Result<Vec<User>, StoreError> {
        let mut found = Entity::find().filter(matching(page.search.as_deref()));
        if let Some(after) = &page.after {
            found = found.filter(Column::UsernameKey.gt(fold_username(after)));
        }
        let found = found.order_by_asc(Column::UsernameKey).limit(page.limit);
        let rows = limited(async { Ok(found.all(self.reader()).await?) }).await?;
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// Returns how many users have a name that contains `search`.
    pub async fn count_users(&self, search: Option<&str>) -> Result<u64, StoreError> {
        let found = Entity::find().filter(matching(search));
        limited(async { Ok(found.count(self.reader()).await?) }).await
    }

    /// Returns whether any user who is not disabled has that role.
    pub async fn has_user_with_role(&self, role: &str) -> Result<bool, StoreError> {
        let pattern = LikeExpr::new(format!("% {} %", escape_like(role))).escape('\\');
        let found = Entity::find()
            .filter(Expr::cust("' ' || roles || ' '").like(pattern))
            .filter(Column::DisabledAt.is_null());
        let row = limited(async { Ok(found.one(self.reader()).await?) }).await?;
        Ok(row.is_some())
    }

    /// Replaces the user's roles. Tokens that were issued keep the old ones until they expire.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such user.
    pub async fn set_roles(&self, id: &UserId, roles: &[String]) -> Result<(), StoreError> {
        let update = Entity::update_many()
            .col_expr(Column::Roles, Expr::val(roles.join(" ")))
            .filter(Column::Id.eq(id.as_str()));
        limited(async { found(update.exec(self.writer()).await?.rows_affected) }).await
    }

    /// Sets the password of `verified` and revokes the user's sessions, except `keep`.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the password was changed since `verified` was read: whoever
    /// proved the old password proves nothing any more.
    pub async fn set_password(
        &self,
        verified: &User,
        password_hash: &SecretString,
        keep: Option<&SessionId>,
        revocation: &Revocation,
    ) -> Result<Vec<Denial>, StoreError> {
        let update = with_password(password_hash, revocation.now)
            .filter(Column::Id.eq(verified.id.as_str()))
            .filter(Column::PasswordChangedAt.eq(verified.password_changed_at.millis()));
        limited(async {
            let transaction = self.begin().await?;
            if update.exec(&transaction).await?.rows_affected == 0 {
                return Err(StoreError::Conflict);
            }
            reset_links::use_up(&transaction, &verified.id).await?;
            let denials =
                sessions::revoke_all(&transaction, &verified.id, keep, revocation).await?;
            transaction.commit().await?;
            Ok(denials)
        })
        .await
    }

    /// Replaces a hash by one of the same password with today's parameters; does nothing when the
    /// password was changed meanwhile.
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
    /// [`StoreError::NotFound`] when there is no such user.
    pub async fn disable_user(
        &self,
        id: &UserId,
        revocation: &Revocation,
    ) -> Result<Vec<Denial>, StoreError> {
        let now = revocation.now.millis();
        let update = Entity::update_many()
            .col_expr(
                Column::DisabledAt,
                Expr::col(Column::DisabledAt).if_null(now),
            )
            .filter(Column::Id.eq(id.as_str()));
        limited(async {
            let transaction = self.begin().await?;
            found(update.exec(&transaction).await?.rows_affected)?;
            reset_links::use_up(&transaction, id).await?;
            let denials = sessions::revoke_all(&transaction, id, None, revocation).await?;
            transaction.commit().await?;
            Ok(denials)
        })
        .await
    }

    /// Lets the account log in again; may be repeated. Its old sessions stay revoked.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such user.
    pub async fn enable_user(&self, id: &UserId) -> Result<(), StoreError> {
        let update = Entity::update_many()
            .col_expr(Column::DisabledAt, Expr::value(None::<i64>))
            .filter(Column::Id.eq(id.as_str()));
        limited(async { found(update.exec(self.writer()).await?.rows_affected) }).await
    }
}

/// Begins an update that sets a password; the caller says whose.
pub(super) fn with_password(password_hash: &SecretString, now: Time) -> UpdateMany<Entity> {
    Entity::update_many()
        .col_expr(
            Column::PasswordHash,
            Expr::val(password_hash.expose_secret()),
        )
        .col_expr(Column::PasswordChangedAt, Expr::val(now.millis()))
}

/// Makes a user, in a transaction or outside.
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
    };
    Ok(row.insert(db).await?.into())
}

fn found(rows_affected: u64) -> Result<(), StoreError> {
    if rows_affected == 0 {
        return Err(StoreError::NotFound);
    }
    Ok(())
}

pub(super) fn matching(search: Option<&str>) -> Condition {
    let all = Condition::all();
    let Some(search) = search else { return all };
    let pattern = format!("%{}%", escape_like(&fold_username(search)));
    all.add(Column::UsernameKey.like(LikeExpr::new(pattern).escape('\\')))
}

fn escape_like(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_")
}

/// Splits what the database keeps between spaces.
pub(super) fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

impl From<Model> for User {
    fn from(row: Model) -> Self {
        Self {
            id: row.id.into(),
            username: row.username,
            roles: words(&row.roles),
            disabled_at: row.disabled_at.map(Time::from_millis),
            created_at: Time::from_millis(row.created_at),
            password_changed_at: Time::from_millis(row.password_changed_at),
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
