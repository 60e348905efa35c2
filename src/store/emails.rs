//! Rows of `emails`: the addresses of users.
//!
//! Several users may claim an address, and one may prove it: then the claims of the others are deleted. The first
//! address that a user proves becomes the primary one.

use entity::email::{ActiveModel, Column, Entity, Model};
use entity::user;
use sea_orm::sea_query::{Expr, LockType};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbBackend, EntityTrait, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, Select, Set,
};

use super::codes::{self, CodeCheck, CodePurpose, NewCode, PresentedCode};
use super::security_events::{self, NewSecurityEvent};
use super::{
    NewDelivery, NewUser, Store, StoreError, User, UserId, UserWithHash, authorization, outbox,
    users, with_deadline,
};
use crate::ids::EmailId;
use crate::names::EmailAddress;
use crate::security_events::{Actor, EventKind};
use latchet_guard::clock::Time;

/// Most addresses of a user.
const MAX_ADDRESSES: u64 = 10;

/// An address of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// Its id.
    pub id: EmailId,
    /// User that claims it.
    pub user: UserId,
    /// The address.
    pub address: EmailAddress,
    /// Time at which the user added it.
    pub created_at: Time,
    /// Time at which it was proved; `None` until then.
    pub verified_at: Option<Time>,
    /// True for the one address that receives notices.
    pub is_primary: bool,
}

/// An address to be added, with the code that proves it.
#[derive(Clone, Debug)]
pub struct NewEmail {
    /// Id of its row, unless the user has added it before.
    pub id: EmailId,
    /// The address.
    pub address: EmailAddress,
    /// The code, for the id above.
    pub code: NewCode,
}

impl Store {
    /// Returns the addresses of a user, the oldest first.
    pub async fn emails(&self, user: &UserId) -> Result<Vec<Email>, StoreError> {
        let rows = with_deadline(async { Ok(of_user(user).all(self.reader()).await?) }).await?;
        rows.into_iter().map(Email::try_from).collect()
    }

    /// Returns the verified address with that key, and so its user.
    pub async fn verified_email(&self, key: &str) -> Result<Option<Email>, StoreError> {
        let found = Entity::find().filter(is_verified(key));
        let row = with_deadline(async { Ok(found.one(self.reader()).await?) }).await?;
        row.map(Email::try_from).transpose()
    }

    /// Returns the user with that verified address, and the password hash.
    pub async fn user_with_hash_by_address(
        &self,
        key: &str,
    ) -> Result<Option<UserWithHash>, StoreError> {
        let owner = Entity::find()
            .select_only()
            .column(Column::UserId)
            .filter(is_verified(key));
        let found = user::Entity::find()
            .filter(user::Column::Id.in_subquery(sea_orm::QueryTrait::into_query(owner)));
        let row = with_deadline(async { Ok(found.one(self.reader()).await?) }).await?;
        Ok(row.map(UserWithHash::from))
    }

    /// Creates a user who claims an address, with the code that proves it and the message about it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name is taken.
    pub async fn create_user_with_email(
        &self,
        new: NewUser,
        email: NewEmail,
        delivery: NewDelivery,
        (actor, now): (&Actor, Time),
    ) -> Result<User, StoreError> {
        with_deadline(async {
            let transaction = self.begin().await?;
            let user = users::insert(&transaction, new, now).await?;
            insert_claim(&transaction, &user.id, &email, now).await?;
            let owner = Some(user.id.clone());
            let code = NewCode {
                user: owner.clone(),
                ..email.code
            };
            codes::insert(&transaction, &code).await?;
            let delivery = NewDelivery {
                user: owner,
                ..delivery
            };
            outbox::insert(&transaction, &[delivery], now).await?;
            record(&transaction, EventKind::UserCreated, &user.id, (actor, now)).await?;
            transaction.commit().await?;
            self.outbox_signal().notify_one();
            Ok(user)
        })
        .await
    }

    /// Adds an address that the user has not proved yet, and the message with its code. For an address that was
    /// added before, only the code and the message are new.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the user has proved it already; [`StoreError::TooMany`] above the limit of
    /// addresses; [`StoreError::ActorRevoked`] when the token of the actor is not valid any more.
    pub async fn add_email(
        &self,
        user: &UserId,
        new: NewEmail,
        deliveries: &[NewDelivery],
        (actor, now): (&Actor, Time),
    ) -> Result<(), StoreError> {
        with_deadline(async {
            let transaction = self.begin().await?;
            authorization::authorize_owner(&transaction, actor, user).await?;
            let key = new.address.key();
            let known = of_user(user).filter(Column::AddressKey.eq(key));
            let id = match known.one(&transaction).await? {
                Some(row) if row.verified_at.is_some() => return Err(StoreError::Conflict),
                Some(row) => EmailId::from(row.id),
                None => {
                    if of_user(user).count(&transaction).await? >= MAX_ADDRESSES {
                        return Err(StoreError::TooMany);
                    }
                    insert_claim(&transaction, user, &new, now).await?;
                    new.id
                }
            };
            let email = Some(id);
            codes::insert(&transaction, &NewCode { email, ..new.code }).await?;
            outbox::insert(&transaction, deliveries, now).await?;
            transaction.commit().await?;
            self.outbox_signal().notify_one();
            Ok(())
        })
        .await
    }

    /// Marks the address of a code as verified, and deletes what others claimed about it. `None` for a code that is
    /// not valid.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another user has proved the address.
    pub async fn verify_email(
        &self,
        presented: &PresentedCode,
        notices: &[NewDelivery],
        (actor, now): (&Actor, Time),
    ) -> Result<Option<UserId>, StoreError> {
        with_deadline(async {
            let transaction = self.begin().await?;
            let purpose = CodePurpose::VerifyEmail;
            let proven = match codes::check(&transaction, presented, purpose, now).await? {
                CodeCheck::Proven(proven) => proven,
                CodeCheck::WrongGuess => {
                    transaction.commit().await?;
                    return Ok(None);
                }
                CodeCheck::Invalid => return Ok(None),
            };
            let user = proven.user;
            let is_enabled = authorization::lock_if_enabled(&transaction, &user).await?;
            let Some(email) = proven.email.filter(|_| is_enabled) else {
                return Ok(None);
            };
            if !mark_verified(&transaction, &user, &email, now).await? {
                return Ok(None);
            }
            let event = NewSecurityEvent {
                user: Some(&user),
                ..NewSecurityEvent::new(EventKind::EmailVerified, actor, now)
            };
            security_events::insert(&transaction, event).await?;
            outbox::insert(&transaction, notices, now).await?;
            transaction.commit().await?;
            self.outbox_signal().notify_one();
            Ok(Some(user))
        })
        .await
    }

    /// Deletes an address of a user, and its codes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the user has no such address; [`StoreError::Conflict`] for the primary one
    /// while another one is verified.
    pub async fn remove_email(
        &self,
        user: &UserId,
        id: &EmailId,
        deliveries: &[NewDelivery],
        (actor, now): (&Actor, Time),
    ) -> Result<(), StoreError> {
        with_deadline(async {
            let transaction = self.begin().await?;
            authorization::authorize_owner(&transaction, actor, user).await?;
            let all = of_user(user).all(&transaction).await?;
            let removed = all.iter().find(|row| row.id == id.as_str());
            let removed = removed.ok_or(StoreError::NotFound)?;
            let verified = all.iter().filter(|row| row.verified_at.is_some());
            if removed.is_primary && verified.count() > 1 {
                return Err(StoreError::Conflict);
            }
            // Also those that set a password: the mails with them are in the mailbox of the address.
            codes::void_of_user(&transaction, user).await?;
            Entity::delete_by_id(id.as_str()).exec(&transaction).await?;
            if removed.verified_at.is_some() {
                record(&transaction, EventKind::EmailRemoved, user, (actor, now)).await?;
                outbox::insert(&transaction, deliveries, now).await?;
            }
            transaction.commit().await?;
            self.outbox_signal().notify_one();
            Ok(())
        })
        .await
    }

    /// Makes a verified address the primary one; may be repeated.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the user has no such address; [`StoreError::Conflict`] when it is not verified.
    pub async fn make_email_primary(
        &self,
        user: &UserId,
        id: &EmailId,
        deliveries: &[NewDelivery],
        (actor, now): (&Actor, Time),
    ) -> Result<(), StoreError> {
        with_deadline(async {
            let transaction = self.begin().await?;
            authorization::authorize_owner(&transaction, actor, user).await?;
            let found = of_user(user).filter(Column::Id.eq(id.as_str()));
            let row = found.one(&transaction).await?.ok_or(StoreError::NotFound)?;
            if row.verified_at.is_none() {
                return Err(StoreError::Conflict);
            }
            if row.is_primary {
                return Ok(());
            }
            set_primary(&transaction, user, id).await?;
            record(
                &transaction,
                EventKind::PrimaryEmailChanged,
                user,
                (actor, now),
            )
            .await?;
            outbox::insert(&transaction, deliveries, now).await?;
            transaction.commit().await?;
            self.outbox_signal().notify_one();
            Ok(())
        })
        .await
    }
}

/// Adds an address that is not proved yet. Must run in a transaction that has locked the user.
pub(super) async fn insert_claim<C: ConnectionTrait>(
    db: &C,
    user: &UserId,
    new: &NewEmail,
    now: Time,
) -> Result<(), StoreError> {
    let row = ActiveModel {
        id: Set(new.id.to_string()),
        user_id: Set(user.to_string()),
        address: Set(new.address.to_string()),
        address_key: Set(new.address.key()),
        created_at: Set(now.millis()),
        verified_at: Set(None),
        is_primary: Set(false),
    };
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// Returns whether a user has verified an address.
pub(super) async fn has_verified<C: ConnectionTrait>(
    db: &C,
    user: &UserId,
    email: &EmailId,
) -> Result<bool, StoreError> {
    let found = Entity::find_by_id(email.as_str())
        .filter(Column::UserId.eq(user.as_str()))
        .filter(Column::VerifiedAt.is_not_null());
    Ok(found.one(db).await?.is_some())
}

/// Marks an address as verified and deletes the claims of others. Returns false when the address was removed
/// meanwhile.
async fn mark_verified<C: ConnectionTrait>(
    db: &C,
    user: &UserId,
    email: &EmailId,
    now: Time,
) -> Result<bool, StoreError> {
    let found = of_user(user).filter(Column::Id.eq(email.as_str()));
    let Some(row) = found.one(db).await? else {
        return Ok(false);
    };
    let claims = lock_claims(db, &row.address_key).await?;
    if claims.iter().all(|claim| claim.id != row.id) {
        return Ok(false);
    }
    if claims
        .iter()
        .any(|claim| claim.verified_at.is_some() && claim.id != row.id)
    {
        return Err(StoreError::Conflict);
    }
    Entity::update_many()
        .col_expr(Column::VerifiedAt, Expr::val(now.millis()))
        .filter(Column::Id.eq(email.as_str()))
        .exec(db)
        .await?;
    let primary = of_user(user).filter(Column::IsPrimary.eq(true));
    if primary.one(db).await?.is_none() {
        set_primary(db, user, email).await?;
    }
    let ids: Vec<EmailId> = claims.into_iter().map(|row| row.id.into()).collect();
    codes::delete_of_emails(db, &ids).await?;
    let others = ids.iter().filter(|id| *id != email).map(EmailId::as_str);
    Entity::delete_many()
        .filter(Column::Id.is_in(others))
        .exec(db)
        .await?;
    Ok(true)
}

/// Locks all claims to an address, in the order of their ids: of two users that prove it at once, the second one waits
/// for the first, and then finds no claim of its own.
async fn lock_claims<C: ConnectionTrait>(db: &C, key: &str) -> Result<Vec<Model>, StoreError> {
    let mut claims = Entity::find()
        .filter(Column::AddressKey.eq(key))
        .order_by_asc(Column::Id);
    // On SQLite there is only one writing transaction at a time.
    if db.get_database_backend() == DbBackend::Postgres {
        claims = claims.lock(LockType::Update);
    }
    Ok(claims.all(db).await?)
}

async fn set_primary<C: ConnectionTrait>(
    db: &C,
    user: &UserId,
    email: &EmailId,
) -> Result<(), StoreError> {
    // One after the other: the index allows one primary address at any time.
    for (value, condition) in [
        (false, Column::Id.ne(email.as_str())),
        (true, Column::Id.eq(email.as_str())),
    ] {
        Entity::update_many()
            .col_expr(Column::IsPrimary, Expr::val(value))
            .filter(Column::UserId.eq(user.as_str()))
            .filter(Column::IsPrimary.ne(value))
            .filter(condition)
            .exec(db)
            .await?;
    }
    Ok(())
}

async fn record<C: ConnectionTrait>(
    db: &C,
    kind: EventKind,
    user: &UserId,
    (actor, now): (&Actor, Time),
) -> Result<(), StoreError> {
    let event = NewSecurityEvent {
        user: Some(user),
        session: actor.session(),
        ..NewSecurityEvent::new(kind, actor, now)
    };
    security_events::insert(db, event).await
}

fn of_user(user: &UserId) -> Select<Entity> {
    Entity::find()
        .filter(Column::UserId.eq(user.as_str()))
        .order_by_asc(Column::CreatedAt)
        .order_by_asc(Column::Id)
}

fn is_verified(key: &str) -> Condition {
    Condition::all()
        .add(Column::AddressKey.eq(key))
        .add(Column::VerifiedAt.is_not_null())
}

impl TryFrom<Model> for Email {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id.into(),
            user: row.user_id.into(),
            address: EmailAddress::parse(&row.address).map_err(StoreError::malformed)?,
            created_at: Time::from_millis(row.created_at),
            verified_at: row.verified_at.map(Time::from_millis),
            is_primary: row.is_primary,
        })
    }
}
