//! User accounts: their operations for the API and the command line.

use std::time::Duration;

use secrecy::SecretString;

use super::config::Config;
use super::error::ApiError;
use super::ids::UserId;
use super::locale::Locale;
use super::mail::MailContent;
use super::mailer::Mailer;
use super::names::{ADMIN, UserRole, Username};
use super::password::{PasswordHasher, PasswordPolicy};
use super::rotation::RevokeReason;
use super::security_events::Actor;
use super::sessions::Revocations;
use super::store::{
    NewPassword, NewUser, SessionWithOwner, Store, StoreError, User, UserPageRequest,
};
use super::text_file;
use latchet_guard::clock::Clock;
use latchet_guard::error::AuthError;
use latchet_guard::keys::random_id;

/// An account to be created.
#[derive(Debug)]
pub struct NewAccount {
    /// User name.
    pub username: Username,
    /// First password.
    pub password: SecretString,
    /// Roles from the start.
    pub roles: Vec<UserRole>,
    /// Language of mails, if it is known.
    pub locale: Option<Locale>,
}

/// The accounts. Clones share them.
#[derive(Clone, Debug)]
pub struct Accounts {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) revocations: Revocations,
    pub(super) passwords: PasswordHasher,
    pub(super) policy: PasswordPolicy,
    pub(super) mailer: Mailer,
}

impl Accounts {
    /// Creates an account.
    ///
    /// # Errors
    /// `weak_password`, `conflict` when the name is taken.
    pub async fn create_user(&self, account: NewAccount, by: &Actor) -> Result<User, ApiError> {
        let now = self.clock.now();
        let new = self.hash_new_account(account).await?;
        let created = self.store.create_user(new, by, now).await;
        let user = created.map_err(name_conflict)?;
        tracing::info!(user.id = %user.id, "user created");
        Ok(user)
    }

    /// Creates the first administrator by a one-time link. The roles in `account` are ignored.
    ///
    /// # Errors
    /// `not_found` for a link that is wrong, used or expired; otherwise as [`Accounts::create_user`].
    pub async fn create_administrator_by_link(
        &self,
        link: &str,
        account: NewAccount,
        by: &Actor,
    ) -> Result<User, ApiError> {
        let now = self.clock.now();
        let hash = link_hash(link);
        if !self.store.is_setup_link_usable(&hash, now).await? {
            return Err(NO_SUCH_LINK);
        }
        let new = self
            .hash_new_account(NewAccount {
                roles: vec![UserRole::admin()],
                ..account
            })
            .await?;
        let created = self
            .store
            .use_setup_link(&hash, new, by, now)
            .await
            .map_err(name_conflict)?;
        let user = created.ok_or(NO_SUCH_LINK)?;
        tracing::info!(user.id = %user.id, "first administrator created");
        Ok(user)
    }

    /// Returns whether there is an enabled administrator.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn has_administrator(&self) -> Result<bool, ApiError> {
        Ok(self.store.has_user_with_role(ADMIN).await?)
    }

    /// Returns the secret of a new set-up link, or `None` when an administrator exists.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn create_setup_link(&self) -> Result<Option<String>, ApiError> {
        if self.has_administrator().await? {
            return Ok(None);
        }
        let secret = new_link_secret();
        let expires_at = self.clock.now() + SETUP_LINK_LIFETIME;
        self.store
            .create_setup_link(&link_hash(&secret), expires_at)
            .await?;
        Ok(Some(secret))
    }

    /// Creates the administrator that the settings name, if there is no administrator and no user of
    /// that name. An existing account is left unchanged, since an administrator may have disabled it:
    /// then the log names the commands that restore an administrator, and the server starts.
    ///
    /// # Errors
    /// `weak_password`, an invalid name, or a file that cannot be read, if the account is needed.
    pub async fn create_configured_administrator(&self, config: &Config) -> Result<(), ApiError> {
        let (Some(name), Some(file)) = (
            &config.bootstrap_admin,
            &config.bootstrap_admin_password_file,
        ) else {
            return Ok(());
        };
        if self.needs_no_administrator(name).await? {
            return Ok(());
        }
        let username = Username::parse(name)
            .map_err(|detail| ApiError::invalid_field("bootstrap_admin", detail))?;
        let password = text_file::read_line(file).map_err(|error| {
            let file = file.display();
            ApiError::misconfigured(format!(
                "cannot read bootstrap_admin_password_file {file}: {error}"
            ))
        })?;
        let account = NewAccount {
            username,
            password,
            roles: vec![UserRole::admin()],
            locale: None,
        };
        let new = self.hash_new_account(account).await?;
        let now = self.clock.now();
        match self.store.create_first_administrator(new, now).await {
            Ok(user) => {
                tracing::info!(user.id = %user.id, "first administrator created");
                Ok(())
            }
            // Another replica, started at the same time, was faster.
            Err(StoreError::Conflict) if self.needs_no_administrator(name).await? => Ok(()),
            Err(error) => Err(name_conflict(error)),
        }
    }

    /// Returns whether no account has to be created. Warns if there is no administrator then.
    async fn needs_no_administrator(&self, name: &str) -> Result<bool, ApiError> {
        if self.store.has_user_with_role(ADMIN).await? {
            return Ok(true);
        }
        let Some(user) = self.store.user_by_name(name).await? else {
            return Ok(false);
        };
        let name = user.username;
        let mut commands = Vec::new();
        if user.disabled_at.is_some() {
            commands.push(format!("latchet user enable {name}"));
        }
        if !user.roles.iter().any(|role| role == ADMIN) {
            let roles = user.roles.join(" ");
            commands.push(format!("latchet user roles {name} {ADMIN} {roles}"));
        }
        let commands: Vec<&str> = commands.iter().map(|command| command.trim_end()).collect();
        tracing::warn!(
            user.id = %user.id,
            "there is no administrator: the account of bootstrap_admin exists, but is disabled or lacks the role; if that account is yours, run `{}`",
            commands.join("` and `")
        );
        Ok(true)
    }

    /// Sets a password without the old one, for the command line. All sessions of the user end.
    ///
    /// # Errors
    /// `weak_password`, `not_found`.
    pub async fn set_password(&self, id: &UserId, new: SecretString) -> Result<(), ApiError> {
        let user = self.user(id).await?;
        self.check_new_password(&new, &user.username)?;
        self.replace_password(&user, new, &Actor::Operator).await?;
        Ok(())
    }

    pub(super) async fn replace_password(
        &self,
        user: &User,
        new: SecretString,
        by: &Actor,
    ) -> Result<Option<SessionWithOwner>, ApiError> {
        let hash = SecretString::from(self.passwords.hash(new).await?);
        let password = self.new_password(hash, user).await?;
        let now = self.clock.now();
        let revocation = self
            .revocations
            .revocation(RevokeReason::PasswordChanged, now)
            .await?;
        let set = self
            .store
            .set_password(user, &password, by, &revocation)
            .await;
        let (denial, kept) = set.map_err(|error| match error {
            StoreError::Conflict => PASSWORD_CHANGED,
            StoreError::NotFound => ApiError::SessionExpired,
            other => other.into(),
        })?;
        self.revocations.deny(&[denial], now).await?;
        tracing::info!(user.id = %user.id, "password changed");
        Ok(kept)
    }

    /// Returns a new password of a user with the mail that reports it.
    pub(super) async fn new_password(
        &self,
        hash: SecretString,
        user: &User,
    ) -> Result<NewPassword, ApiError> {
        let content = MailContent::PasswordChanged {
            username: user.username.clone(),
            at: self.clock.now(),
        };
        let notices = self.mailer.notice(user, content).await?;
        Ok(NewPassword { hash, notices })
    }

    /// Disables an account: no login, and every session ends at once.
    ///
    /// # Errors
    /// `not_found`; `conflict` when administrators disable their own account.
    pub async fn disable_user(&self, id: &UserId, by: &Actor) -> Result<User, ApiError> {
        if by.is_user(id) {
            return Err(OWN_ACCOUNT);
        }
        let now = self.clock.now();
        let revocation = self
            .revocations
            .revocation(RevokeReason::Disabled, now)
            .await?;
        let denial = self
            .store
            .disable_user(id, by, &revocation)
            .await
            .map_err(no_such_user)?;
        self.revocations.deny(&[denial], now).await?;
        tracing::info!(user.id = %id, "user disabled");
        self.user(id).await
    }

    /// Lets a disabled account log in again. Sessions that ended stay ended.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn enable_user(&self, id: &UserId, by: &Actor) -> Result<User, ApiError> {
        let now = self.clock.now();
        let enabled = self.store.enable_user(id, by, now).await;
        enabled.map_err(no_such_user)?;
        tracing::info!(user.id = %id, "user enabled");
        self.user(id).await
    }

    /// Deletes an account with everything that is kept of it. All its sessions and access tokens end at once. Its
    /// primary address receives a notice.
    ///
    /// # Errors
    /// `not_found`; `conflict` for the last administrator.
    pub async fn delete_user(&self, id: &UserId, by: &Actor) -> Result<(), ApiError> {
        let user = self.user(id).await?;
        let now = self.clock.now();
        let content = MailContent::AccountDeleted {
            username: user.username.clone(),
            at: now,
        };
        let notices = self.mailer.notice(&user, content).await?;
        let period = self.revocations.token_lifetimes.denial_period(now).await?;
        let deleted = self.store.delete_user(id, &notices, by, period).await;
        let denial = deleted.map_err(no_such_user)?;
        self.revocations.deny(&[denial], now).await?;
        self.store.empty_journal().await;
        tracing::info!(user.id = %id, "user deleted");
        Ok(())
    }

    /// Replaces the roles of a user. Tokens with the old roles are refused from now on, and the next
    /// refresh issues one with the new roles.
    ///
    /// # Errors
    /// `not_found`; `conflict` when administrators would take their own role [`ADMIN`] away.
    pub async fn set_roles(
        &self,
        id: &UserId,
        roles: &[UserRole],
        by: &Actor,
    ) -> Result<User, ApiError> {
        if by.is_user(id) && !roles.contains(&UserRole::admin()) {
            return Err(OWN_ROLE);
        }
        let roles = unique_role_names(roles);
        let now = self.clock.now();
        let period = self.revocations.token_lifetimes.denial_period(now).await?;
        let set = self.store.set_roles(id, &roles, by, period).await;
        if let Some(denial) = set.map_err(no_such_user)? {
            self.revocations.deny(&[denial], now).await?;
        }
        tracing::info!(user.id = %id, ?roles, "roles set");
        self.user(id).await
    }

    /// Returns the writer of mails.
    pub fn mailer(&self) -> &Mailer {
        &self.mailer
    }

    /// Returns a user.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn user(&self, id: &UserId) -> Result<User, ApiError> {
        self.store.user(id).await?.ok_or(NO_SUCH_USER)
    }

    /// Returns the user of a token, for a proxy that passes the name on.
    ///
    /// # Errors
    /// `unknown_user` when there is none, or the account is disabled: a token of another issuer may
    /// name a disabled one.
    pub async fn enabled_user(&self, id: &UserId) -> Result<User, ApiError> {
        let user = self.store.user(id).await?;
        let active = user.filter(|user| !user.is_disabled());
        active.ok_or_else(|| AuthError::UnknownUser(id.to_string()).into())
    }

    /// Returns a page of users, by name.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn users(&self, page: &UserPageRequest) -> Result<Vec<User>, ApiError> {
        Ok(self.store.users(page).await?)
    }

    async fn hash_new_account(&self, account: NewAccount) -> Result<NewUser, ApiError> {
        self.check_new_password(&account.password, account.username.as_str())?;
        let password_hash = SecretString::from(self.passwords.hash(account.password).await?);
        Ok(NewUser {
            username: account.username.into_string(),
            password_hash,
            roles: unique_role_names(&account.roles),
            locale: account.locale,
        })
    }

    pub(super) fn check_new_password(
        &self,
        password: &SecretString,
        username: &str,
    ) -> Result<(), ApiError> {
        self.policy
            .check(password, username)
            .map_err(ApiError::WeakPassword)
    }
}

/// Lifetime of a link that creates the first administrator.
const SETUP_LINK_LIFETIME: Duration = Duration::from_mins(30);
/// Keeps administrators from locking themselves out by mistake.
const OWN_ACCOUNT: ApiError = ApiError::Conflict(
    "this is your own account: let another administrator disable it, or run `latchet user disable`",
);
const OWN_ROLE: ApiError = ApiError::Conflict(
    "this takes your own role `admin`: let another administrator take it, or run `latchet user roles`",
);
const PASSWORD_CHANGED: ApiError =
    ApiError::Conflict("the password was changed in the meantime: try again with the new one");
const NO_SUCH_USER: ApiError = ApiError::NotFound("there is no such user");
const NO_SUCH_LINK: ApiError = ApiError::NotFound(
    "this link is not valid: it is incomplete, was used, is older than 30 minutes, or an administrator exists",
);

fn no_such_user(error: StoreError) -> ApiError {
    match error {
        StoreError::NotFound => NO_SUCH_USER,
        other => other.into(),
    }
}

fn name_conflict(error: StoreError) -> ApiError {
    match error {
        StoreError::Conflict => ApiError::Conflict("this user name is taken"),
        other => other.into(),
    }
}

fn unique_role_names(roles: &[UserRole]) -> Vec<String> {
    let unique: std::collections::BTreeSet<&str> = roles.iter().map(UserRole::as_str).collect();
    unique.into_iter().map(str::to_owned).collect()
}

/// Returns the secret of a new link: 256 bits, which cannot be guessed.
pub(super) fn new_link_secret() -> String {
    format!("{}{}", random_id(), random_id())
}

/// Returns the hash under which the secret of a link is stored.
pub(super) fn link_hash(secret: &str) -> String {
    use base64::Engine;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret.as_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest)
}
