//! Password reset for users that forgot their password: by a mail to a verified address, or by a link that an
//! administrator creates and passes on. The holder of the link can set the password, so only its hash is stored.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::accounts::{Accounts, link_hash, new_link_secret};
use super::addresses::MailOrigin;
use super::config::WebOrigin;
use super::error::ApiError;
use super::ids::{EmailId, UserId};
use super::locale::Locale;
use super::mailed_secrets::{MailProof, MailedSecrets};
use super::mailer::{CODE_LIFETIME, MailChallenge};
use super::names::EmailAddress;
use super::rotation::RevokeReason;
use super::security_events::Actor;
use super::store::{
    CodePurpose, NewDelivery, NewPassword, NewResetLink, OpenResetLink, ResetLinkPageRequest,
    ResetRequest, Revocation, StoreError, User,
};
use super::throttle::Throttle;
use latchet_guard::clock::Time;
use latchet_guard::denylist::Denial;

/// Lifetime of a link.
const LINK_LIFETIME: Duration = Duration::from_hours(24);
const NO_SUCH_LINK: ApiError =
    ApiError::NotFound("this link is wrong, was used or withdrawn, or is older than 24 hours");

/// A link that sets a new password once.
#[derive(Debug)]
pub struct ResetLink {
    /// URL of a page of this server; the secret follows `#`, and browsers send no server that part.
    pub address: SecretString,
    /// End of its validity.
    pub expires_at: Time,
}

/// The links that reset passwords.
#[derive(Debug)]
pub struct PasswordResets {
    pub(super) accounts: Accounts,
    pub(super) throttle: Arc<Throttle>,
    pub(super) public_url: WebOrigin,
}

impl PasswordResets {
    /// Creates a link that sets a new password of the user, and invalidates an older one.
    ///
    /// # Errors
    /// `not_found`; `conflict` for a disabled account.
    pub async fn create(&self, id: &UserId, by: &Actor) -> Result<ResetLink, ApiError> {
        let secret = new_link_secret();
        let now = self.accounts.clock.now();
        let expires_at = now + LINK_LIFETIME;
        let link = NewResetLink {
            token_hash: link_hash(&secret),
            expires_at,
        };
        let created = self
            .accounts
            .store
            .create_reset_link(id, link, by, now)
            .await;
        created.map_err(|error| match error {
            StoreError::NotFound => ApiError::NotFound("there is no such user"),
            StoreError::Conflict => ApiError::Conflict("this account is disabled: enable it first"),
            other => other.into(),
        })?;
        tracing::info!(user.id = %id, "reset link created");
        Ok(ResetLink {
            address: format!("{}/reset#{secret}", self.public_url).into(),
            expires_at,
        })
    }

    /// Returns a page of the valid links, by the name of their user.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn list(&self, page: &ResetLinkPageRequest) -> Result<Vec<OpenResetLink>, ApiError> {
        Ok(self
            .accounts
            .store
            .reset_links(page, self.accounts.clock.now())
            .await?)
    }

    /// Invalidates the link of a user.
    ///
    /// # Errors
    /// `not_found` when there is none.
    pub async fn withdraw(&self, id: &UserId, by: &Actor) -> Result<(), ApiError> {
        let now = self.accounts.clock.now();
        let withdrawn = self.accounts.store.withdraw_reset_link(id, by, now).await;
        withdrawn.map_err(|error| match error {
            StoreError::NotFound => ApiError::NotFound("there is no open link for this user"),
            other => other.into(),
        })?;
        tracing::info!(user.id = %id, "reset link withdrawn");
        Ok(())
    }

    /// Sends a mail with a link and a code that set a new password, if an account has verified the address. The
    /// response and the work are the same if none has.
    ///
    /// # Errors
    /// `not_found` where mail is off; `too_many_requests`.
    pub async fn request_by_mail(
        &self,
        address: EmailAddress,
        origin: MailOrigin,
    ) -> Result<MailChallenge, ApiError> {
        let accounts = &self.accounts;
        accounts.mailer.require_on()?;
        let (now, key) = (accounts.clock.now(), address.key());
        let writing = self.write_reset_mail(address, origin.locale, now);
        self.throttle
            .count_mail(&key, (origin.ip, now), writing)
            .await
    }

    async fn write_reset_mail(
        &self,
        address: EmailAddress,
        preferred: Locale,
        now: Time,
    ) -> Result<MailChallenge, ApiError> {
        let Accounts { store, mailer, .. } = &self.accounts;
        let (user, email, to) = match store.verified_email(&address.key()).await? {
            // To the address as it was verified, not as it was typed.
            Some(email) => (email.user, email.id, email.address),
            None => (UserId::random(), EmailId::random(), address),
        };
        let owner = store.user(&user).await?;
        let locale = owner.as_ref().and_then(|owner| owner.locale);
        let locale = locale.unwrap_or(preferred);
        let name = owner.map_or_else(String::new, |owner| owner.username);
        let secrets = MailedSecrets::random();
        let delivery = NewDelivery {
            user: Some(user.clone()),
            ..mailer.password_reset(to.clone(), (&name, locale), &secrets)
        };
        let request = ResetRequest {
            user,
            email,
            hashes: secrets.hashes(),
            expires_at: now + CODE_LIFETIME,
            delivery,
            decoy: mailer.decoy(to, locale),
        };
        store.create_reset_code(&request, now).await?;
        Ok(MailChallenge::of(secrets))
    }

    /// Returns the user whose password a link sets, of a mail or of an administrator.
    ///
    /// # Errors
    /// `not_found` for a link that is wrong, used or expired.
    pub async fn user_of_link(&self, link: &SecretString) -> Result<User, ApiError> {
        let store = &self.accounts.store;
        let now = self.accounts.clock.now();
        let token_hash = link_hash(link.expose_secret());
        if let Some(user) = store.user_of_reset_link(&token_hash, now).await? {
            return Ok(user);
        }
        let presented = MailProof::Link(link.clone()).hashed();
        let purpose = CodePurpose::ResetPassword;
        let owner = store.user_of_code(&presented, purpose, now).await?;
        owner.map(|owner| owner.user).ok_or(NO_SUCH_LINK)
    }

    /// Sets a password by a link or by the code of a mail; all sessions of the user end, and every other link and
    /// code of the account is void. It starts no session. For an invalid link no password is hashed.
    ///
    /// # Errors
    /// `not_found` for a link that is wrong, used or expired, `invalid_code` for such a code; `weak_password`, after
    /// which both stay valid; `too_many_requests`.
    pub async fn reset_password(
        &self,
        proof: &MailProof,
        new: SecretString,
        ip: IpAddr,
    ) -> Result<(), ApiError> {
        let accounts = &self.accounts;
        let user = match proof {
            MailProof::Link(link) => self.user_of_link(link).await?,
            MailProof::Code { .. } => {
                let now = accounts.clock.now();
                let presented = proof.hashed();
                let purpose = CodePurpose::ResetPassword;
                let owner = accounts.store.user_of_code(&presented, purpose, now);
                self.throttle.count_wrong_code(ip, now, owner).await?.user
            }
        };
        accounts.check_new_password(&new, &user.username)?;
        let hash = SecretString::from(accounts.passwords.hash(new).await?);
        let password = accounts.new_password(hash, &user).await?;
        let now = accounts.clock.now();
        let revocation = accounts
            .revocations
            .revocation(RevokeReason::PasswordChanged, now)
            .await?;
        let by = Actor::Anonymous { ip };
        let accepted = self.use_proof(proof, &password, (&by, &revocation)).await?;
        let denial = accepted.ok_or(match proof {
            MailProof::Link(_) => NO_SUCH_LINK,
            MailProof::Code { .. } => ApiError::InvalidCode,
        })?;
        accounts.revocations.deny(&[denial], now).await?;
        tracing::info!(user.id = %user.id, "password reset");
        Ok(())
    }

    /// Sets the password by the proof. A link is one of an administrator or of a mail.
    async fn use_proof(
        &self,
        proof: &MailProof,
        password: &NewPassword,
        (by, revocation): (&Actor, &Revocation),
    ) -> Result<Option<Denial>, StoreError> {
        let store = &self.accounts.store;
        if let MailProof::Link(link) = proof {
            let token_hash = link_hash(link.expose_secret());
            let used = store.use_reset_link(&token_hash, password, by, revocation);
            if let Some(denial) = used.await? {
                return Ok(Some(denial));
            }
        }
        let presented = proof.hashed();
        store
            .use_reset_code(&presented, password, by, revocation)
            .await
    }
}
