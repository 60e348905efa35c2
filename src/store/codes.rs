//! Rows of `codes`: secrets of mailed links and mailed codes, each valid once.
//!
//! A mail carries a link with a long secret, and six digits that are valid only together with the secret of the
//! request, which the client that asked for the mail received. Wrong digits are counted for all requests of a user:
//! another request gives no more guesses. The link remains valid.

use entity::code::{ActiveModel, Column, Entity, Model};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, Set,
};

use super::{
    NewDelivery, Store, StoreError, User, UserId, authorization, emails, outbox, with_deadline,
};
use crate::ids::EmailId;
use latchet_guard::clock::Time;

/// Wrong codes that a user's requests for one purpose allow until they expire.
const MAX_WRONG_GUESSES: i64 = 5;

/// Purpose of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodePurpose {
    /// Proof of an address.
    VerifyEmail,
    /// A new password without the old one.
    ResetPassword,
}

impl CodePurpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify_email",
            Self::ResetPassword => "reset_password",
        }
    }
}

/// A code to be recorded.
#[derive(Clone, Debug)]
pub struct NewCode {
    /// Purpose.
    pub purpose: CodePurpose,
    /// User; `None` for a request about an unknown address.
    pub user: Option<UserId>,
    /// Address that it proves.
    pub email: Option<EmailId>,
    /// Hashes of its secrets.
    pub hashes: CodeHashes,
    /// Time of expiry.
    pub expires_at: Time,
}

/// A request for a mail that resets a password.
#[derive(Clone, Debug)]
pub struct ResetRequest {
    /// User of the address; any id that no user has for an unknown address.
    pub user: UserId,
    /// The address; any id that no address has for an unknown one.
    pub email: EmailId,
    /// Hashes of the secrets.
    pub hashes: CodeHashes,
    /// Time of expiry.
    pub expires_at: Time,
    /// The message with the link and the code.
    pub delivery: NewDelivery,
    /// A message that is not delivered.
    pub decoy: NewDelivery,
}

/// Hashes of the secrets of a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeHashes {
    /// Hash of the secret of the request.
    pub request: String,
    /// Hash of the secret in the link.
    pub link: String,
    /// Hash of the secret of the request together with the six digits.
    pub code: String,
}

/// Proof that a mail was received, by hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PresentedCode {
    /// The secret in the link.
    Link {
        /// Its hash.
        link: String,
    },
    /// The secret of the request and the digits.
    Digits {
        /// Hash of the secret of the request.
        request: String,
        /// Hash of both.
        code: String,
    },
}

/// User and address of a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeOwner {
    /// The user.
    pub user: User,
    /// The address that the code proves.
    pub email: Option<EmailId>,
}

/// A code whose secret was presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProvenCode {
    pub(super) user: UserId,
    pub(super) email: Option<EmailId>,
}

/// Result of comparing a presented code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CodeCheck {
    /// It is right. The row of the user is locked.
    Proven(ProvenCode),
    /// Wrong digits. The caller has to commit, or else they are not counted.
    WrongGuess,
    /// Unknown, used or expired, or too many wrong codes were presented.
    Invalid,
}

impl Store {
    /// Records the code of a request for a mail to an address, and the message that carries it. If the account does not
    /// exist, is disabled, or has not verified the address, it writes as much: a code without a user, and the decoy.
    pub async fn create_reset_code(
        &self,
        request: &ResetRequest,
        now: Time,
    ) -> Result<(), StoreError> {
        with_deadline(async {
            let transaction = self.begin().await?;
            // Until the commit, the account is not deleted, and the address is not removed.
            let user = &request.user;
            let is_enabled = authorization::lock_if_enabled(&transaction, user).await?;
            let has_address = emails::has_verified(&transaction, user, &request.email).await?;
            let (user, delivery) = if is_enabled && has_address {
                (Some(user.clone()), &request.delivery)
            } else {
                (None, &request.decoy)
            };
            let code = NewCode {
                purpose: CodePurpose::ResetPassword,
                user,
                email: None,
                hashes: request.hashes.clone(),
                expires_at: request.expires_at,
            };
            insert(&transaction, &code).await?;
            outbox::insert(&transaction, std::slice::from_ref(delivery), now).await?;
            transaction.commit().await?;
            self.outbox_signal().notify_one();
            Ok(())
        })
        .await
    }

    /// Returns the owner of a code that is valid now, if the account is enabled, without using the code. Wrong digits
    /// are counted.
    pub async fn user_of_code(
        &self,
        presented: &PresentedCode,
        purpose: CodePurpose,
        now: Time,
    ) -> Result<Option<CodeOwner>, StoreError> {
        let check = with_deadline(async {
            let transaction = self.begin().await?;
            let check = check(&transaction, presented, purpose, now).await?;
            transaction.commit().await?;
            Ok(check)
        });
        let CodeCheck::Proven(ProvenCode { user, email }) = check.await? else {
            return Ok(None);
        };
        let user = self.user(&user).await?;
        let enabled = user.filter(|user| !user.is_disabled());
        Ok(enabled.map(|user| CodeOwner { user, email }))
    }
}

/// Records a code.
pub(super) async fn insert<C: ConnectionTrait>(db: &C, code: &NewCode) -> Result<(), StoreError> {
    let row = ActiveModel {
        request_hash: Set(code.hashes.request.clone()),
        purpose: Set(code.purpose.as_str().to_owned()),
        user_id: Set(code.user.as_ref().map(UserId::to_string)),
        email_id: Set(code.email.as_ref().map(EmailId::to_string)),
        link_hash: Set(code.hashes.link.clone()),
        code_hash: Set(code.hashes.code.clone()),
        wrong_guesses: Set(0),
        expires_at: Set(code.expires_at.millis()),
    };
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// Compares a presented code, and counts wrong digits. Must be the first step of a transaction, because it locks
/// the user.
pub(super) async fn check<C: ConnectionTrait>(
    db: &C,
    presented: &PresentedCode,
    purpose: CodePurpose,
    now: Time,
) -> Result<CodeCheck, StoreError> {
    let wanted = match presented {
        PresentedCode::Link { link } => Column::LinkHash.eq(link.as_str()),
        PresentedCode::Digits { request, .. } => Column::RequestHash.eq(request.as_str()),
    };
    let find = || {
        let found = Entity::find().filter(is_usable(purpose, now));
        found.filter(wanted.clone()).one(db)
    };
    let Some(row) = find().await? else {
        return Ok(CodeCheck::Invalid);
    };
    // Guesses at one user are compared one after the other, and each sees the count of those before.
    if let Some(user) = &row.user_id {
        authorization::lock_user(db, &UserId::from(user.as_str())).await?;
    }
    let Some(row) = find().await? else {
        return Ok(CodeCheck::Invalid);
    };
    let PresentedCode::Digits { code, .. } = presented else {
        return Ok(proven(row).map_or(CodeCheck::Invalid, CodeCheck::Proven));
    };
    if wrong_guesses(db, &row, now).await? >= MAX_WRONG_GUESSES {
        return Ok(CodeCheck::Invalid);
    }
    // Hashes of secrets with 256 bits: the time of the comparison reveals nothing about the digits.
    if row.code_hash == *code
        && let Some(proven) = proven(row.clone())
    {
        return Ok(CodeCheck::Proven(proven));
    }
    Entity::update_many()
        .col_expr(Column::WrongGuesses, Expr::col(Column::WrongGuesses).add(1))
        .filter(Column::RequestHash.eq(row.request_hash))
        .exec(db)
        .await?;
    Ok(CodeCheck::WrongGuess)
}

/// Voids every code of a user. The rows remain until they expire: the wrong guesses in them still count. Must run in the
/// transaction of a change that voids them.
pub(super) async fn void_of_user<C: ConnectionTrait>(
    db: &C,
    user: &UserId,
) -> Result<(), StoreError> {
    Entity::update_many()
        // No hash contains a space.
        .col_expr(Column::LinkHash, Expr::cust("'void ' || request_hash"))
        .col_expr(Column::CodeHash, Expr::val(""))
        .filter(Column::UserId.eq(user.as_str()))
        .exec(db)
        .await?;
    Ok(())
}

/// Deletes the codes that would prove one of the addresses.
pub(super) async fn delete_of_emails<C: ConnectionTrait>(
    db: &C,
    emails: &[EmailId],
) -> Result<(), StoreError> {
    let ids = emails.iter().map(EmailId::as_str);
    Entity::delete_many()
        .filter(Column::EmailId.is_in(ids))
        .exec(db)
        .await?;
    Ok(())
}

/// Returns the wrong guesses at all codes of the user of a row, or at that row if it has none.
async fn wrong_guesses<C: ConnectionTrait>(
    db: &C,
    row: &Model,
    now: Time,
) -> Result<i64, StoreError> {
    let Some(user) = &row.user_id else {
        return Ok(row.wrong_guesses);
    };
    let guesses: Vec<i64> = Entity::find()
        .select_only()
        .column(Column::WrongGuesses)
        .filter(Column::UserId.eq(user.as_str()))
        .filter(Column::Purpose.eq(row.purpose.as_str()))
        .filter(Column::ExpiresAt.gt(now.millis()))
        .into_tuple()
        .all(db)
        .await?;
    Ok(guesses.into_iter().sum())
}

fn is_usable(purpose: CodePurpose, now: Time) -> Condition {
    Condition::all()
        .add(Column::Purpose.eq(purpose.as_str()))
        .add(Column::ExpiresAt.gt(now.millis()))
}

fn proven(row: Model) -> Option<ProvenCode> {
    Some(ProvenCode {
        user: row.user_id?.into(),
        email: row.email_id.map(EmailId::from),
    })
}
