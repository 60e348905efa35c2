//! Links for users who forgot their password: an administrator makes one and hands it over. Whoever
//! has the link sets the password, so only its hash is kept.

use std::time::Duration;

use secrecy::SecretString;

use super::App;
use super::accounts::{link_hash, link_secret};
use super::error::ApiError;
use super::events::Actor;
use super::rotation::RevokeReason;
use super::store::{NewResetLink, OpenResetLink, ResetLinkPage, StoreError, User, UserId};
use crate::clock::Time;

/// Life of a link.
const LIFE: Duration = Duration::from_hours(24);
const NO_SUCH_LINK: ApiError =
    ApiError::NotFound("this link is wrong, was used or withdrawn, or is older than 24 hours");

/// A link that sets a new password once.
#[derive(Debug)]
pub struct ResetLink {
    /// Address of a page of this server; the secret stands after `#`, which browsers send to nobody.
    pub address: SecretString,
    /// When it stops working.
    pub expires_at: Time,
}

impl App {
    /// Makes a link that sets a new password of the user, and makes an older one worthless.
    ///
    /// # Errors
    /// `not_found`; `conflict` for an account that is disabled.
    pub async fn make_reset_link(&self, id: &UserId, by: &Actor) -> Result<ResetLink, ApiError> {
        let secret = link_secret();
        let now = self.clock.now();
        let expires_at = now + LIFE;
        let link = NewResetLink {
            token_hash: link_hash(&secret),
            expires_at,
        };
        let made = self.store.create_reset_link(id, link, by, now).await;
        made.map_err(|error| match error {
            StoreError::NotFound => ApiError::NotFound("there is no such user"),
            StoreError::Conflict => ApiError::Conflict("this account is disabled: enable it first"),
            other => other.into(),
        })?;
        tracing::info!(user.id = %id, "reset link made");
        Ok(ResetLink {
            address: format!("{}/reset#{secret}", self.config.public_url).into(),
            expires_at,
        })
    }

    /// Returns a page of the links that are open, by the name of their user.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn reset_links(&self, page: &ResetLinkPage) -> Result<Vec<OpenResetLink>, ApiError> {
        Ok(self.store.reset_links(page, self.clock.now()).await?)
    }

    /// Makes the link of a user worthless.
    ///
    /// # Errors
    /// `not_found` when there is none.
    pub async fn withdraw_reset_link(&self, id: &UserId, by: &Actor) -> Result<(), ApiError> {
        let now = self.clock.now();
        let withdrawn = self.store.withdraw_reset_link(id, by, now).await;
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
    /// `not_found` for a link that is wrong, used or past its time.
    pub async fn user_of_reset_link(&self, link: &str) -> Result<User, ApiError> {
        let token_hash = link_hash(link);
        let found = self.store.user_of_reset_link(&token_hash, self.clock.now());
        found.await?.ok_or(NO_SUCH_LINK)
    }

    /// Sets a password by a link; all sessions of the user end. A link that is no good costs no
    /// hashing.
    ///
    /// # Errors
    /// `not_found` for a link that is wrong, used or past its time; `weak_password`, which leaves the
    /// link as it is.
    pub async fn reset_password(
        &self,
        link: &str,
        new: SecretString,
        by: &Actor,
    ) -> Result<(), ApiError> {
        let token_hash = link_hash(link);
        let user = self.user_of_reset_link(link).await?;
        self.acceptable(&new, &user.username)?;
        let hash = SecretString::from(self.passwords.hash(new).await?);
        let now = self.clock.now();
        let revocation = self.revocation(RevokeReason::PasswordChanged, now).await?;
        let denial = self
            .store
            .use_reset_link(&token_hash, &hash, by, &revocation)
            .await?
            .ok_or(NO_SUCH_LINK)?;
        self.deny(&[denial], now).await?;
        tracing::info!(user.id = %user.id, "password reset");
        Ok(())
    }
}
