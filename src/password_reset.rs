//! Password reset links for users that forgot their password: an administrator creates one and passes it
//! on. The holder of the link can set the password, so only its hash is stored.

use std::time::Duration;

use secrecy::SecretString;

use super::accounts::{Accounts, link_hash, new_link_secret};
use super::config::WebOrigin;
use super::error::ApiError;
use super::ids::UserId;
use super::rotation::RevokeReason;
use super::security_events::Actor;
use super::store::{NewResetLink, OpenResetLink, ResetLinkPageRequest, StoreError, User};
use latchet_guard::clock::Time;

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

    /// Returns the user whose password a link sets.
    ///
    /// # Errors
    /// `not_found` for a link that is wrong, used or expired.
    pub async fn user_of_link(&self, link: &str) -> Result<User, ApiError> {
        let token_hash = link_hash(link);
        let found = self
            .accounts
            .store
            .user_of_reset_link(&token_hash, self.accounts.clock.now());
        found.await?.ok_or(NO_SUCH_LINK)
    }

    /// Sets a password by a link; all sessions of the user end. For an invalid link no password is
    /// hashed.
    ///
    /// # Errors
    /// `not_found` for a link that is wrong, used or expired; `weak_password`, after which the link
    /// stays valid.
    pub async fn reset_password(
        &self,
        link: &str,
        new: SecretString,
        by: &Actor,
    ) -> Result<(), ApiError> {
        let token_hash = link_hash(link);
        let user = self.user_of_link(link).await?;
        self.accounts.check_new_password(&new, &user.username)?;
        let hash = SecretString::from(self.accounts.passwords.hash(new).await?);
        let now = self.accounts.clock.now();
        let revocation = self
            .accounts
            .revocations
            .revocation(RevokeReason::PasswordChanged, now)
            .await?;
        let denial = self
            .accounts
            .store
            .use_reset_link(&token_hash, &hash, by, &revocation)
            .await?
            .ok_or(NO_SUCH_LINK)?;
        self.accounts.revocations.deny(&[denial], now).await?;
        tracing::info!(user.id = %user.id, "password reset");
        Ok(())
    }
}
