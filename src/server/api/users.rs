//! Administration of accounts.

use poem::Request;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use super::Tag;
use super::answer::{Created, Private};
use super::caller::actor;
use super::first_party::FirstParty;
use super::input::Body;
use super::page::{cut, page_size, rows, text};
use super::secret::Password;
use crate::guard::{Fresh, Jwt, Role, RoleName};
use crate::server::App;
use crate::server::accounts::NewAccount;
use crate::server::error::ApiError;
use crate::server::names::{self, ADMIN, Username};
use crate::server::store::{User, UserId, UserPage};

/// Operations for administrators.
pub(super) struct UsersApi(pub(super) App);

/// The role that administers this server, as a type.
pub(super) struct Admin;

impl RoleName for Admin {
    const NAME: &'static str = ADMIN;
}

/// The guard of what administrators may see, and of what takes a session or a link away: nobody gains
/// by that, and in an emergency it is urgent.
pub(super) type Administrator = Jwt<(FirstParty, Role<Admin>)>;

/// The guard of changes by which somebody gains or loses the means to act. A token that was stolen, or
/// a page that was left open, is not enough: the password was proved with this very token.
pub(super) type FreshAdministrator = Jwt<(Fresh, FirstParty, Role<Admin>)>;

/// An account.
#[derive(Debug, Object)]
pub(super) struct UserAnswer {
    /// Names the user for good: the `sub` of the tokens.
    id: String,
    /// User name as it was given.
    username: String,
    /// What the user may do.
    roles: Vec<String>,
    /// Whether the account may not log in.
    disabled: bool,
    /// When the account was made.
    created_at: String,
    /// When the password was last set.
    password_changed_at: String,
}

impl From<User> for UserAnswer {
    fn from(user: User) -> Self {
        Self {
            disabled: user.is_disabled(),
            id: user.id.to_string(),
            username: user.username,
            roles: user.roles,
            created_at: user.created_at.to_string(),
            password_changed_at: user.password_changed_at.to_string(),
        }
    }
}

/// A page of accounts, ordered by user name.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct UsersAnswer {
    /// The accounts.
    items: Vec<UserAnswer>,
    /// What to pass as `after` for the next page; absent on the last.
    next: Option<String>,
}

/// An account to be made.
#[derive(Debug, Object)]
struct CreateUserRequest {
    /// User name: letters, digits and the signs of ASCII (RFC 8265); unique in any case.
    #[oai(validator(min_length = 1, max_length = 254))]
    username: String,
    /// First password: long, and none of the common ones.
    password: Password,
    /// Roles from the start: words of `a-z`, `0-9`, `_`, `-`, `:` and `.`.
    #[oai(
        default,
        validator(max_items = 32, unique_items, min_length = 1, max_length = 64)
    )]
    roles: Vec<String>,
}

/// What a user may do from now on.
#[derive(Debug, Object)]
struct RolesRequest {
    /// All roles of the user: words of `a-z`, `0-9`, `_`, `-`, `:` and `.`.
    #[oai(validator(max_items = 32, unique_items, min_length = 1, max_length = 64))]
    roles: Vec<String>,
}

#[OpenApi]
impl UsersApi {
    /// List users
    ///
    /// Answers accounts by user name, a page at a time.
    #[oai(
        path = "/v1/users",
        method = "get",
        operation_id = "listUsers",
        tag = "Tag::Users"
    )]
    async fn list(
        &self,
        _guard: Administrator,
        /// The `next` of the page before.
        #[oai(validator(max_length = 254))]
        after: Query<Option<String>>,
        /// Only users whose name contains this, in any case.
        #[oai(validator(max_length = 254))]
        search: Query<Option<String>>,
        /// At most this many.
        #[oai(
            default = "page_size",
            validator(minimum(value = "1"), maximum(value = "200"))
        )]
        limit: Query<u32>,
    ) -> Result<Private<Json<UsersAnswer>>, ApiError> {
        let page = UserPage {
            after: text("after", after.0)?,
            search: text("search", search.0)?,
            limit: rows(*limit),
        };
        let users = self.0.users(&page).await?;
        let (users, next) = cut(users, *limit, |user| user.username.clone());
        let items = users.into_iter().map(UserAnswer::from).collect();
        Ok(Private::new(Json(UsersAnswer { items, next })))
    }

    /// Create a user
    ///
    /// Makes an account that can log in at once. Asks for a fresh token.
    #[oai(
        path = "/v1/users",
        method = "post",
        operation_id = "createUser",
        tag = "Tag::Users"
    )]
    async fn create(
        &self,
        guard: FreshAdministrator,
        request: &Request,
        body: Body<CreateUserRequest>,
    ) -> Result<Private<Created<UserAnswer>>, ApiError> {
        let Body(asked) = body;
        let account = NewAccount {
            username: username(&asked.username)?,
            password: asked.password.0,
            roles: roles(&asked.roles)?,
        };
        let by = actor(&guard.claims, request, &self.0.config);
        let user = self.0.create_user(account, &by).await?;
        let location = format!("/v1/users/{}", user.id);
        Ok(Private::new(Created::Created(Json(user.into()), location)))
    }

    /// Read a user
    ///
    /// Answers one account.
    #[oai(
        path = "/v1/users/:id",
        method = "get",
        operation_id = "readUser",
        tag = "Tag::Users"
    )]
    async fn read(
        &self,
        _guard: Administrator,
        /// Names the user, as the list does.
        id: Path<String>,
    ) -> Result<Private<Json<UserAnswer>>, ApiError> {
        Ok(Private::new(Json(self.0.user(&known(&id)?).await?.into())))
    }

    /// Disable a user
    ///
    /// No login from now on, and every session of the user ends at once. Nobody disables their own
    /// account. Asks for a fresh token.
    #[oai(
        path = "/v1/users/:id/disable",
        method = "post",
        operation_id = "disableUser",
        tag = "Tag::Users"
    )]
    async fn disable(
        &self,
        guard: FreshAdministrator,
        request: &Request,
        /// Names the user, as the list does.
        id: Path<String>,
    ) -> Result<Private<Json<UserAnswer>>, ApiError> {
        let by = actor(&guard.claims, request, &self.0.config);
        let user = self.0.disable_user(&known(&id)?, &by).await?;
        Ok(Private::new(Json(user.into())))
    }

    /// Enable a user
    ///
    /// Lets a disabled account log in again. Sessions that have ended stay ended. Asks for a fresh
    /// token.
    #[oai(
        path = "/v1/users/:id/enable",
        method = "post",
        operation_id = "enableUser",
        tag = "Tag::Users"
    )]
    async fn enable(
        &self,
        guard: FreshAdministrator,
        request: &Request,
        /// Names the user, as the list does.
        id: Path<String>,
    ) -> Result<Private<Json<UserAnswer>>, ApiError> {
        let by = actor(&guard.claims, request, &self.0.config);
        let user = self.0.enable_user(&known(&id)?, &by).await?;
        Ok(Private::new(Json(user.into())))
    }

    /// Set the roles of a user
    ///
    /// Replaces all of them. Access tokens carry the new ones from the next refresh on. Nobody takes
    /// their own role `admin`. Asks for a fresh token.
    #[oai(
        path = "/v1/users/:id/roles",
        method = "put",
        operation_id = "setUserRoles",
        tag = "Tag::Users"
    )]
    async fn set_roles(
        &self,
        guard: FreshAdministrator,
        request: &Request,
        /// Names the user, as the list does.
        id: Path<String>,
        body: Body<RolesRequest>,
    ) -> Result<Private<Json<UserAnswer>>, ApiError> {
        let roles = roles(&body.0.roles)?;
        let by = actor(&guard.claims, request, &self.0.config);
        let user = self.0.set_roles(&known(&id)?, &roles, &by).await?;
        Ok(Private::new(Json(user.into())))
    }
}

/// Parses a user name that is to be stored.
pub(super) fn username(text: &str) -> Result<Username, ApiError> {
    Username::parse(text).map_err(|fault| ApiError::invalid_field("username", fault))
}

fn roles(texts: &[String]) -> Result<Vec<names::Role>, ApiError> {
    let roles = texts.iter().map(|text| names::Role::parse(text));
    roles
        .collect::<Result<_, _>>()
        .map_err(|fault| ApiError::invalid_field("roles", fault))
}

/// What is no id names nobody.
pub(super) fn known(id: &str) -> Result<UserId, ApiError> {
    if is_id(id) {
        Ok(UserId::from(id))
    } else {
        Err(ApiError::NotFound("there is no such user"))
    }
}

/// Returns whether this has the form of the ids that the server makes.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 22
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}
