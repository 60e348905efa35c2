//! The e-mail addresses of users. An address counts only after a secret that was mailed to it was presented.

use std::net::IpAddr;
use std::sync::Arc;

use super::accounts::Accounts;
use super::error::ApiError;
use super::ids::{EmailId, UserId};
use super::locale::Locale;
use super::mail::MailContent;
use super::mailed_secrets::{MailProof, MailedSecrets};
use super::mailer::{CODE_LIFETIME, MailChallenge};
use super::names::EmailAddress;
use super::security_events::Actor;
use super::store::{
    CodeOwner, CodePurpose, Email, NewCode, NewDelivery, NewEmail, StoreError, User,
};
use super::throttle::Throttle;
use latchet_guard::clock::Time;

const NO_SUCH_ADDRESS: ApiError = ApiError::NotFound("you have no such address");
const ALREADY_VERIFIED: ApiError =
    ApiError::Conflict("this address is verified already: nothing has to be done");
const VERIFIED_ELSEWHERE: ApiError =
    ApiError::Conflict("another account has verified this address in the meantime");
const TOO_MANY: ApiError = ApiError::Conflict("you have ten addresses: remove one first");
const PRIMARY: ApiError =
    ApiError::Conflict("this is the primary address: make another one primary first");
const NOT_VERIFIED: ApiError = ApiError::Conflict("this address is not verified yet");

/// The addresses of users.
#[derive(Debug)]
pub struct Addresses {
    pub(super) accounts: Accounts,
    pub(super) throttle: Arc<Throttle>,
}

/// Language and network address of a client that causes a mail.
#[derive(Clone, Copy, Debug)]
pub struct MailOrigin {
    /// Language that the client prefers.
    pub locale: Locale,
    /// Its network address.
    pub ip: IpAddr,
}

impl Addresses {
    /// Returns the addresses of a user, the oldest first.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn list(&self, user: &UserId) -> Result<Vec<Email>, ApiError> {
        Ok(self.accounts.store.emails(user).await?)
    }

    /// Adds an address to the account of the actor, and sends it a mail; for an address that was added before,
    /// another mail. If another account has verified the address, its owner receives a mail instead.
    ///
    /// # Errors
    /// `not_found` where mail is off; `conflict` when the user has verified the address, or has ten of them;
    /// `too_many_requests`.
    pub async fn add(
        &self,
        user: &UserId,
        address: EmailAddress,
        by: &Actor,
        origin: MailOrigin,
    ) -> Result<MailChallenge, ApiError> {
        let accounts = &self.accounts;
        accounts.mailer.require_on()?;
        let user = accounts.user(user).await?;
        let now = accounts.clock.now();
        let key = address.key();
        let adding = self.add_unverified(user, address, (by, now), origin);
        self.throttle
            .count_mail(&key, (origin.ip, now), adding)
            .await
    }

    async fn add_unverified(
        &self,
        user: User,
        address: EmailAddress,
        (by, now): (&Actor, Time),
        origin: MailOrigin,
    ) -> Result<MailChallenge, ApiError> {
        let accounts = &self.accounts;
        let locale = user.locale.unwrap_or(origin.locale);
        let secrets = MailedSecrets::random();
        let delivery = match accounts.store.verified_email(&address.key()).await? {
            Some(email) if email.user == user.id => return Err(ALREADY_VERIFIED),
            Some(email) => accounts.mailer.address_in_use(email.address, locale),
            None => {
                let recipient = (user.username.as_str(), locale);
                let to = address.clone();
                accounts.mailer.proof_of_address(to, recipient, &secrets)
            }
        };
        let delivery = NewDelivery {
            user: Some(user.id.clone()),
            ..delivery
        };
        let new = new_email(
            address,
            Some(user.id.clone()),
            &secrets,
            now + CODE_LIFETIME,
        );
        let added = accounts
            .store
            .add_email(&user.id, new, &[delivery], (by, now))
            .await;
        added.map_err(|error| match error {
            StoreError::Conflict => ALREADY_VERIFIED,
            StoreError::TooMany => TOO_MANY,
            other => other.into(),
        })?;
        Ok(MailChallenge::of(secrets))
    }

    /// Verifies the address of a mailed link or code. The primary address receives a notice of another one.
    ///
    /// # Errors
    /// `invalid_code`; `conflict` when another account has verified the address; `too_many_requests`.
    pub async fn verify(&self, proof: &MailProof, ip: IpAddr) -> Result<(), ApiError> {
        let accounts = &self.accounts;
        let now = accounts.clock.now();
        let presented = proof.hashed();
        let purpose = CodePurpose::VerifyEmail;
        let owner = accounts.store.user_of_code(&presented, purpose, now);
        let CodeOwner { user, email } = self.throttle.count_wrong_code(ip, now, owner).await?;
        let notices = self.notices_of_verification(&user, email.as_ref()).await?;
        let actor = Actor::Anonymous { ip };
        let verified = accounts
            .store
            .verify_email(&presented, &notices, (&actor, now))
            .await;
        let verified = verified.map_err(|error| match error {
            StoreError::Conflict => VERIFIED_ELSEWHERE,
            other => other.into(),
        })?;
        let user = verified.ok_or(ApiError::InvalidCode)?;
        tracing::info!(user.id = %user, "address verified");
        Ok(())
    }

    /// Returns the notice to the present primary address, unless that is the one that is verified.
    async fn notices_of_verification(
        &self,
        user: &User,
        verified: Option<&EmailId>,
    ) -> Result<Vec<NewDelivery>, ApiError> {
        let emails = self.accounts.store.emails(&user.id).await?;
        let primary = emails.iter().find(|email| email.is_primary);
        let added = emails.iter().find(|email| Some(&email.id) == verified);
        let (Some(primary), Some(added)) = (primary, added) else {
            return Ok(Vec::new());
        };
        let content = MailContent::AddressAdded {
            username: user.username.clone(),
            address: added.address.clone(),
            at: self.accounts.clock.now(),
        };
        Ok(vec![self.accounts.mailer.notice_to(primary, user, content)])
    }

    /// Removes an address from the account of the actor. Mails that were sent to it prove nothing from then on.
    ///
    /// # Errors
    /// `not_found`; `conflict` for the primary address while another one is verified.
    pub async fn remove(&self, user: &UserId, id: &EmailId, by: &Actor) -> Result<(), ApiError> {
        let accounts = &self.accounts;
        let user = accounts.user(user).await?;
        let emails = accounts.store.emails(&user.id).await?;
        let removed = emails.iter().find(|email| email.id == *id);
        let removed = removed.ok_or(NO_SUCH_ADDRESS)?;
        let primary = emails.iter().find(|email| email.is_primary);
        let now = accounts.clock.now();
        let notice = primary.filter(|_| accounts.mailer.is_on()).map(|primary| {
            let content = MailContent::AddressRemoved {
                username: user.username.clone(),
                address: removed.address.clone(),
                at: now,
            };
            accounts.mailer.notice_to(primary, &user, content)
        });
        let notices: Vec<NewDelivery> = notice.into_iter().collect();
        let done = accounts
            .store
            .remove_email(&user.id, id, &notices, (by, now));
        done.await.map_err(|error| match error {
            StoreError::NotFound => NO_SUCH_ADDRESS,
            StoreError::Conflict => PRIMARY,
            other => other.into(),
        })?;
        tracing::info!(user.id = %user.id, "address removed");
        Ok(())
    }

    /// Makes a verified address of the actor the one that receives notices; the one before receives a notice of it.
    ///
    /// # Errors
    /// `not_found`; `conflict` when it is not verified.
    pub async fn make_primary(
        &self,
        user: &UserId,
        id: &EmailId,
        by: &Actor,
    ) -> Result<(), ApiError> {
        let accounts = &self.accounts;
        let user = accounts.user(user).await?;
        let emails = accounts.store.emails(&user.id).await?;
        let chosen = emails.iter().find(|email| email.id == *id);
        let chosen = chosen.ok_or(NO_SUCH_ADDRESS)?;
        let now = accounts.clock.now();
        let content = MailContent::PrimaryAddressChanged {
            username: user.username.clone(),
            address: chosen.address.clone(),
            at: now,
        };
        let notices = accounts.mailer.notice(&user, content).await?;
        let done = accounts
            .store
            .make_email_primary(&user.id, id, &notices, (by, now));
        done.await.map_err(|error| match error {
            StoreError::NotFound => NO_SUCH_ADDRESS,
            StoreError::Conflict => NOT_VERIFIED,
            other => other.into(),
        })?;
        tracing::info!(user.id = %user.id, "primary address changed");
        Ok(())
    }
}

/// Returns an address to be added, with the code that proves it.
pub(super) fn new_email(
    address: EmailAddress,
    user: Option<UserId>,
    secrets: &MailedSecrets,
    expires_at: Time,
) -> NewEmail {
    let id = EmailId::random();
    NewEmail {
        code: NewCode {
            purpose: CodePurpose::VerifyEmail,
            user,
            email: Some(id.clone()),
            hashes: secrets.hashes(),
            expires_at,
        },
        id,
        address,
    }
}
