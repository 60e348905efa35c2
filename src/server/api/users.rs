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

/// The role of administrators, as a type.
pub(super) struct Admin;

impl RoleName for Admin {
    const NAME: &'static str = ADMIN;
}

/// Guard of operations that read, or that end a session or withdraw a link: an attacker gains nothing by
/// ending them, and in an emergency it is urgent.
pub(super) type Administrator = Jwt<(FirstParty, Role<Admin>)>;

/// Guard of operations that grant or remove rights. A stolen token or an unattended page is not enough: the
/// token must be fresh, from a recent check of the password.
pub(super) type FreshAdministrator = Jwt<(Fresh, FirstParty, Role<Admin>)>;

/// An account.
#[derive(Debug, Object)]
pub(super) struct UserAnswer {
    /// Id of the user, which never changes: the `sub` of the tokens.
    id: String,
    /// User name as it was entered.
    username: String,
    /// Roles of the user.
    roles: Vec<String>,
    /// True if the account cannot log in.
    disabled: bool,
    /// Creation time of the account.
    created_at: String,
    /// Time when the password was last set.
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
    /// Value of `after` for the next page; absent on the last page.
    next: Option<String>,
}

/// A new account.
#[derive(Debug, Object)]
struct CreateUserRequest {
    /// User name: letters, digits and ASCII symbols (RFC 8265); unique regardless of case.
    #[oai(validator(min_length = 1, max_length = 254))]
    username: String,
    /// Initial password: long, and not a common one.
    password: Password,
    /// Initial roles: words of `a-z`, `0-9`, `_`, `-`, `:` and `.`.
    #[oai(
        default,
        validator(max_items = 32, unique_items, min_length = 1, max_length = 64)
    )]
    roles: Vec<String>,
}

/// New roles of a user.
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
    /// Returns accounts ordered by user name, one page at a time.
    #[oai(
        path = "/v1/users",
        method = "get",
        operation_id = "listUsers",
        tag = "Tag::Users"
    )]
    async fn list(
        &self,
        _guard: Administrator,
        /// The `next` of the previous page.
        #[oai(validator(max_length = 254))]
        after: Query<Option<String>>,
        /// Only users whose name contains this text, regardless of case.
        #[oai(validator(max_length = 254))]
        search: Query<Option<String>>,
        /// Most items to return.
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
    /// Creates an account that can log in at once. Requires a fresh token.
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
    /// Returns one account.
    #[oai(
        path = "/v1/users/:id",
        method = "get",
        operation_id = "readUser",
        tag = "Tag::Users"
    )]
    async fn read(
        &self,
        _guard: Administrator,
        /// Id of the user.
        id: Path<String>,
    ) -> Result<Private<Json<UserAnswer>>, ApiError> {
        Ok(Private::new(Json(self.0.user(&known(&id)?).await?.into())))
    }

    /// Disable a user
    ///
    /// Blocks logins of the user, and ends every session of the user at once. Administrators cannot disable
    /// their own account. Requires a fresh token.
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
        /// Id of the user.
        id: Path<String>,
    ) -> Result<Private<Json<UserAnswer>>, ApiError> {
        let by = actor(&guard.claims, request, &self.0.config);
        let user = self.0.disable_user(&known(&id)?, &by).await?;
        Ok(Private::new(Json(user.into())))
    }

    /// Enable a user
    ///
    /// Lets a disabled account log in again. Its ended sessions do not come back. Requires a fresh token.
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
        /// Id of the user.
        id: Path<String>,
    ) -> Result<Private<Json<UserAnswer>>, ApiError> {
        let by = actor(&guard.claims, request, &self.0.config);
        let user = self.0.enable_user(&known(&id)?, &by).await?;
        Ok(Private::new(Json(user.into())))
    }

    /// Set the roles of a user
    ///
    /// Replaces all roles of the user. Access tokens contain the new roles from the next refresh on.
    /// Administrators cannot remove their own role `admin`. Requires a fresh token.
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
        /// Id of the user.
        id: Path<String>,
        body: Body<RolesRequest>,
    ) -> Result<Private<Json<UserAnswer>>, ApiError> {
        let roles = roles(&body.0.roles)?;
        let by = actor(&guard.claims, request, &self.0.config);
        let user = self.0.set_roles(&known(&id)?, &roles, &by).await?;
        Ok(Private::new(Json(user.into())))
    }
}

/// Parses the user name of a new account.
pub(super) fn username(text: &str) -> Result<Username, ApiError> {
    Username::parse(text).map_err(|fault| ApiError::invalid_field("username", fault))
}

fn roles(texts: &[String]) -> Result<Vec<names::Role>, ApiError> {
    let roles = texts.iter().map(|text| names::Role::parse(text));
    roles
        .collect::<Result<_, _>>()
        .map_err(|fault| ApiError::invalid_field("roles", fault))
}

/// Returns the id in a path. A text that is not an id is answered like the id of an unknown user.
pub(super) fn known(id: &str) -> Result<UserId, ApiError> {
    if is_id(id) {
        Ok(UserId::from(id))
    } else {
        Err(ApiError::NotFound("there is no such user"))
    }
}

/// Returns whether a text has the form of the server's ids.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 22
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}
