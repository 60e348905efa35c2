//! Users: what the API and the command line may do with them.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use secrecy::SecretString;
use unicode_normalization::UnicodeNormalization;

use super::App;
use super::error::ApiError;
use super::rotation::RevokeReason;
use super::store::{Allowance, Attempt, NewUser, SessionId, StoreError, User, UserId, UserPage};
use crate::clock::Time;
use crate::keys::random_id;
use crate::token::Claims;

/// The role that administers this server.
pub const ADMIN: &str = "admin";

/// A user name fit to be stored, in one Unicode form (NFKC) however it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username(String);

impl Username {
    /// Longest user name, in bytes.
    pub const LONGEST: usize = 254;

    /// Parses a user name: 1 to 254 bytes of visible characters without spaces.
    ///
    /// # Errors
    /// When it is none; the text says why, to be read after "the user name".
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let name: String = text.nfkc().collect();
        if name.is_empty() || name.len() > Self::LONGEST {
            return Err("must have 1 to 254 bytes");
        }
        if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("must not contain spaces or control characters");
        }
        Ok(Self(name))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A role name: it stands in tokens and is compared byte by byte.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Role(String);

impl Role {
    /// Parses a role: 1 to 64 of `a-z 0-9 _ - : .`.
    ///
    /// # Errors
    /// When it is none; the text says why, to be read after "the role".
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-:.".contains(c);
        if text.is_empty() || text.len() > 64 || !text.chars().all(fits) {
            return Err("must have 1 to 64 characters of a-z, 0-9, _, -, : and .");
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An account to be made.
#[derive(Debug)]
pub struct NewAccount {
    /// Whose.
    pub username: Username,
    /// First password.
    pub password: SecretString,
    /// Roles from the start.
    pub roles: Vec<Role>,
}

/// The counters that one attempt was counted on, so that a success can be taken off them.
pub(super) struct CountedAttempt {
    names: [String; 2],
}

impl App {
    /// Makes an account.
    ///
    /// # Errors
    /// `weak_password`, `conflict` when the name is taken.
    pub async fn create_user(&self, account: NewAccount) -> Result<User, ApiError> {
        let now = self.clock.now();
        let new = self.prepare(account).await?;
        let user = self.store.create_user(new, now).await.map_err(name_taken)?;
        tracing::info!(user.id = %user.id, "user created");
        Ok(user)
    }

    /// Makes the first administrator by a one-time link, whatever roles the account asks for.
    ///
    /// # Errors
    /// `not_found` for a link that is wrong, used or past its time; as [`App::create_user`].
    pub async fn set_up(&self, link: &str, account: NewAccount) -> Result<User, ApiError> {
        let now = self.clock.now();
        let hash = link_hash(link);
        if !self.store.is_setup_link_usable(&hash, now).await? {
            return Err(NO_SUCH_LINK);
        }
        let new = self
            .prepare(NewAccount {
                roles: vec![Role(ADMIN.to_owned())],
                ..account
            })
            .await?;
        let made = self
            .store
            .use_setup_link(&hash, new, now)
            .await
            .map_err(name_taken)?;
        let user = made.ok_or(NO_SUCH_LINK)?;
        tracing::info!(user.id = %user.id, "first administrator created");
        Ok(user)
    }

    /// Returns the secret of a new set-up link, or `None` when an administrator exists.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn setup_link(&self) -> Result<Option<String>, ApiError> {
        if self.store.has_user_with_role(ADMIN).await? {
            return Ok(None);
        }
        let secret = format!("{}{}", random_id(), random_id());
        let expires_at = self.clock.now() + SETUP_LINK_LIFE;
        self.store
            .create_setup_link(&link_hash(&secret), expires_at)
            .await?;
        Ok(Some(secret))
    }

    /// Makes the administrator that the settings name, unless an administrator exists.
    ///
    /// # Errors
    /// `weak_password`, or a name that is none or is another user's.
    pub async fn bootstrap(&self) -> Result<(), ApiError> {
        let config = &self.config;
        let (Some(name), Some(file)) = (
            &config.bootstrap_admin,
            &config.bootstrap_admin_password_file,
        ) else {
            return Ok(());
        };
        if self.store.has_user_with_role(ADMIN).await? {
            return Ok(());
        }
        let username = Username::parse(name)
            .map_err(|detail| ApiError::invalid_field("bootstrap_admin", detail))?;
        let password = std::fs::read_to_string(file).map_err(ApiError::internal)?;
        let account = NewAccount {
            username,
            password: SecretString::from(password.trim_end_matches(['\r', '\n'])),
            roles: vec![Role(ADMIN.to_owned())],
        };
        match self.create_user(account).await {
            // Another replica, started at the same moment, was faster.
            Err(ApiError::Conflict(_)) if self.store.has_user_with_role(ADMIN).await? => Ok(()),
            made => made.map(drop),
        }
    }

    /// Changes a password; the session that asked stays, all others end.
    ///
    /// # Errors
    /// `invalid_credentials` for a wrong current password; `weak_password`; `too_many_requests`.
    pub async fn change_password(
        &self,
        claims: &Claims,
        current: SecretString,
        new: SecretString,
        ip: IpAddr,
    ) -> Result<(), ApiError> {
        let account = self.user(&UserId::from(claims.sub.as_str())).await?;
        self.acceptable(&new, &account.username)?;
        let now = self.clock.now();
        let user = self
            .prove_password(&account.username, current, ip, now)
            .await?;
        let keep = claims.sid.as_deref().map(SessionId::from);
        self.replace_password(&user, new, keep.as_ref()).await
    }

    /// Sets a password without knowing the old one; all sessions of the user end.
    ///
    /// # Errors
    /// `weak_password`, `not_found`.
    pub async fn set_password(&self, id: &UserId, new: SecretString) -> Result<(), ApiError> {
        let user = self.user(id).await?;
        self.acceptable(&new, &user.username)?;
        self.replace_password(&user, new, None).await
    }

    async fn replace_password(
        &self,
        user: &User,
        new: SecretString,
        keep: Option<&SessionId>,
    ) -> Result<(), ApiError> {
        let hash = SecretString::from(self.passwords.hash(new).await?);
        let now = self.clock.now();
        let revocation = self.revocation(RevokeReason::PasswordChanged, now);
        let denials = self
            .store
            .set_password(user, &hash, keep, &revocation)
            .await?;
        self.denylist.deny(&denials, now).await?;
        tracing::info!(user.id = %user.id, "password changed");
        Ok(())
    }

    /// Disables an account: no login, and every session ends at once.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn disable_user(&self, id: &UserId) -> Result<User, ApiError> {
        let now = self.clock.now();
        let revocation = self.revocation(RevokeReason::Disabled, now);
        let denials = self
            .store
            .disable_user(id, &revocation)
            .await
            .map_err(no_such_user)?;
        self.denylist.deny(&denials, now).await?;
        tracing::info!(user.id = %id, "user disabled");
        self.user(id).await
    }

    /// Lets a disabled account log in again. Sessions that ended stay ended.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn enable_user(&self, id: &UserId) -> Result<User, ApiError> {
        self.store.enable_user(id).await.map_err(no_such_user)?;
        tracing::info!(user.id = %id, "user enabled");
        self.user(id).await
    }

    /// Replaces the roles of a user; tokens carry them from the next refresh on.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn set_roles(&self, id: &UserId, roles: &[Role]) -> Result<User, ApiError> {
        let roles = names(roles);
        self.store
            .set_roles(id, &roles)
            .await
            .map_err(no_such_user)?;
        tracing::info!(user.id = %id, ?roles, "roles set");
        self.user(id).await
    }

    /// Returns a user.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn user(&self, id: &UserId) -> Result<User, ApiError> {
        self.store.user(id).await?.ok_or(NO_SUCH_USER)
    }

    /// Returns a page of users, by name.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn users(&self, page: &UserPage) -> Result<Vec<User>, ApiError> {
        Ok(self.store.users(page).await?)
    }

    async fn prepare(&self, account: NewAccount) -> Result<NewUser, ApiError> {
        self.acceptable(&account.password, account.username.as_str())?;
        let password_hash = SecretString::from(self.passwords.hash(account.password).await?);
        Ok(NewUser {
            username: account.username.0,
            password_hash,
            roles: names(&account.roles),
        })
    }

    fn acceptable(&self, password: &SecretString, username: &str) -> Result<(), ApiError> {
        self.password_policy
            .check(password, username)
            .map_err(ApiError::WeakPassword)
    }

    /// Counts a login attempt before anything is looked at, so that a flood costs no hashing.
    pub(super) async fn count_attempt(
        &self,
        username: &str,
        ip: IpAddr,
        now: Time,
    ) -> Result<CountedAttempt, ApiError> {
        let account: String = username.nfkc().flat_map(char::to_lowercase).collect();
        let counters = [
            (
                self.derived.throttle_name("ip", &network(ip)),
                self.config.throttle_ip,
            ),
            (
                self.derived.throttle_name("account", &account),
                self.config.throttle_account,
            ),
        ];
        for (name, rate) in &counters {
            let allowance = Allowance {
                attempts: rate.limit,
                window: rate.window,
            };
            if let Attempt::Refused { retry_after } =
                self.store.attempt(name, allowance, now).await?
            {
                return Err(ApiError::TooManyRequests { retry_after });
            }
        }
        Ok(CountedAttempt {
            names: counters.map(|(name, _)| name),
        })
    }

    /// Takes a successful attempt off the counters: only failures use them up.
    pub(super) async fn forgive_attempt(&self, attempt: CountedAttempt, now: Time) {
        for name in &attempt.names {
            if let Err(error) = self.store.give_back_attempt(name, now).await {
                tracing::warn!(%error, "a successful login stays counted against the throttle");
            }
        }
    }
}

/// Life of a link that makes the first administrator.
const SETUP_LINK_LIFE: Duration = Duration::from_mins(30);
const NO_SUCH_USER: ApiError = ApiError::NotFound("there is no such user");
const NO_SUCH_LINK: ApiError =
    ApiError::NotFound("this link is wrong, was used, or is older than 30 minutes");

fn no_such_user(error: StoreError) -> ApiError {
    match error {
        StoreError::NotFound => NO_SUCH_USER,
        other => other.into(),
    }
}

fn name_taken(error: StoreError) -> ApiError {
    match error {
        StoreError::Conflict => ApiError::Conflict("this user name is taken"),
        other => other.into(),
    }
}

fn names(roles: &[Role]) -> Vec<String> {
    let unique: std::collections::BTreeSet<&str> = roles.iter().map(Role::as_str).collect();
    unique.into_iter().map(str::to_owned).collect()
}

/// What is counted as one address: an IPv6 customer has a whole /64.
fn network(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

fn link_hash(secret: &str) -> String {
    use base64::Engine;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret.as_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_is_one_however_it_was_composed() {
        let composed = Username::parse("\u{c1}lice").unwrap();
        assert_eq!(composed, Username::parse("A\u{301}lice").unwrap());
    }

    #[test]
    fn user_names_without_a_name_in_them_are_refused() {
        for bad in ["", " ", "a b", "a\0b", "a\nb", "\u{2003}", &"x".repeat(255)] {
            assert!(Username::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn roles_are_plain_words() {
        assert!(Role::parse("notes:write").is_ok());
        for bad in ["", "Admin", "a b", "ä", &"x".repeat(65)] {
            assert!(Role::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_ipv6_customer_is_one_address() {
        let ip = |text: &str| network(text.parse().unwrap());
        assert_eq!(ip("2001:db8:1:2::1"), ip("2001:db8:1:2:ffff::9"));
        assert_ne!(ip("2001:db8:1:2::1"), ip("2001:db8:1:3::1"));
        assert_eq!(ip("::ffff:192.0.2.1"), ip("192.0.2.1"));
    }
}
