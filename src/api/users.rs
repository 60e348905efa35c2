//! Administration of accounts.

use poem::Request;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use serde_json::json;

use super::Tag;
use super::client::user_actor;
use super::first_party::FirstParty;
use super::input::JsonBody;
use super::pagination::{default_page_size, rows_to_query, split_page, without_nul};
use super::responses::{CreatedResponse, NoContent, NoStore};
use super::secret_field::PasswordField;
use super::spec::{FRESH_CODE, OperationSpec, examples};
use crate::App;
use crate::accounts::NewAccount;
use crate::error::ApiError;
use crate::ids::UserId;
use crate::names::{self, ADMIN, Username};
use crate::store::{User, UserPageRequest};
use latchet_guard::{Fresh, HasRole, Jwt, RoleName};

/// Operations for administrators.
pub(super) struct UsersApi(pub(super) App);

/// The role of administrators, as a type.
pub(super) struct AdminRole;

impl RoleName for AdminRole {
    const NAME: &'static str = ADMIN;
}

/// Guard of operations that read, or that end a session or withdraw a link: an attacker gains nothing by
/// ending them, and in an emergency it is urgent.
pub(super) type AdministratorGuard = Jwt<(FirstParty, HasRole<AdminRole>)>;

/// Guard of operations that grant or remove rights. A stolen token or an unattended page is not enough: the
/// token must be fresh, from a recent check of the password.
pub(super) type FreshAdministratorGuard = Jwt<(Fresh, FirstParty, HasRole<AdminRole>)>;

/// An account.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
#[oai(rename = "UserAnswer")]
pub(super) struct UserResponse {
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
    /// Language of mails to the user; absent while it is not known.
    locale: Option<String>,
}

impl From<User> for UserResponse {
    fn from(user: User) -> Self {
        Self {
            disabled: user.is_disabled(),
            id: user.id.to_string(),
            username: user.username,
            roles: user.roles,
            created_at: user.created_at.to_string(),
            password_changed_at: user.password_changed_at.to_string(),
            locale: user.locale.map(|locale| locale.as_str().to_owned()),
        }
    }
}

/// A page of accounts, ordered by user name.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
#[oai(rename = "UsersAnswer")]
struct UserListResponse {
    /// The accounts.
    items: Vec<UserResponse>,
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
    password: PasswordField,
    /// Initial roles: words of `a-z`, `0-9`, `_`, `-`, `:` and `.`.
    #[oai(
        default,
        validator(max_items = 32, unique_items, min_length = 1, max_length = 64)
    )]
    roles: Vec<String>,
}

/// New roles of a user.
#[derive(Debug, Object)]
#[oai(rename = "RolesRequest")]
struct SetRolesRequest {
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
        _guard: AdministratorGuard,
        /// The `next` of the previous page.
        #[oai(validator(max_length = 254))]
        after: Query<Option<String>>,
        /// Only users whose name begins with this text, regardless of case.
        #[oai(validator(max_length = 254))]
        search: Query<Option<String>>,
        /// Most items to return.
        #[oai(
            default = "default_page_size",
            validator(minimum(value = "1"), maximum(value = "200"))
        )]
        limit: Query<u32>,
    ) -> Result<NoStore<Json<UserListResponse>>, ApiError> {
        let page = UserPageRequest {
            after: without_nul("after", after.0)?,
            search: without_nul("search", search.0)?,
            limit: rows_to_query(*limit),
        };
        let users = self.0.accounts.users(&page).await?;
        let (users, next) = split_page(users, *limit, |user| user.username.clone());
        let items = users.into_iter().map(UserResponse::from).collect();
        Ok(NoStore::new(Json(UserListResponse { items, next })))
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
        guard: FreshAdministratorGuard,
        request: &Request,
        body: JsonBody<CreateUserRequest>,
    ) -> Result<NoStore<CreatedResponse<UserResponse>>, ApiError> {
        let JsonBody(input) = body;
        let account = NewAccount {
            username: parse_username(&input.username)?,
            password: input.password.0,
            roles: parse_roles(&input.roles)?,
            locale: None,
        };
        let by = user_actor(&guard.claims, request, &self.0.config);
        let user = self.0.accounts.create_user(account, &by).await?;
        let location = format!("/v1/users/{}", user.id);
        Ok(NoStore::new(CreatedResponse::Created(
            Json(user.into()),
            location,
        )))
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
        _guard: AdministratorGuard,
        /// Id of the user.
        id: Path<String>,
    ) -> Result<NoStore<Json<UserResponse>>, ApiError> {
        Ok(NoStore::new(Json(
            self.0.accounts.user(&parse_user_id(&id)?).await?.into(),
        )))
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
        guard: FreshAdministratorGuard,
        request: &Request,
        /// Id of the user.
        id: Path<String>,
    ) -> Result<NoStore<Json<UserResponse>>, ApiError> {
        let by = user_actor(&guard.claims, request, &self.0.config);
        let user = self
            .0
            .accounts
            .disable_user(&parse_user_id(&id)?, &by)
            .await?;
        Ok(NoStore::new(Json(user.into())))
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
        guard: FreshAdministratorGuard,
        request: &Request,
        /// Id of the user.
        id: Path<String>,
    ) -> Result<NoStore<Json<UserResponse>>, ApiError> {
        let by = user_actor(&guard.claims, request, &self.0.config);
        let user = self
            .0
            .accounts
            .enable_user(&parse_user_id(&id)?, &by)
            .await?;
        Ok(NoStore::new(Json(user.into())))
    }

    /// Delete a user
    ///
    /// Deletes the account with everything that is kept of it, for ever, and ends all its sessions at once. The events
    /// keep its id. The last administrator cannot be deleted. Requires a fresh token.
    #[oai(
        path = "/v1/users/:id",
        method = "delete",
        operation_id = "deleteUser",
        tag = "Tag::Users"
    )]
    async fn delete(
        &self,
        guard: FreshAdministratorGuard,
        request: &Request,
        /// Id of the user.
        id: Path<String>,
    ) -> Result<NoStore<NoContent>, ApiError> {
        let by = user_actor(&guard.claims, request, &self.0.config);
        let id = parse_user_id(&id)?;
        self.0.accounts.delete_user(&id, &by).await?;
        Ok(NoStore::new(NoContent::Success))
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
        guard: FreshAdministratorGuard,
        request: &Request,
        /// Id of the user.
        id: Path<String>,
        body: JsonBody<SetRolesRequest>,
    ) -> Result<NoStore<Json<UserResponse>>, ApiError> {
        let roles = parse_roles(&body.0.roles)?;
        let by = user_actor(&guard.claims, request, &self.0.config);
        let user = self
            .0
            .accounts
            .set_roles(&parse_user_id(&id)?, &roles, &by)
            .await?;
        Ok(NoStore::new(Json(user.into())))
    }
}

/// Returns the additions to the document.
pub(super) fn operation_specs() -> Vec<OperationSpec> {
    vec![
        OperationSpec::new("listUsers")
            .response("200", json!({ "items": [examples::user()], "next": "ada" })),
        OperationSpec::new("createUser")
            .errors(&[FRESH_CODE, "weak_password", "conflict"])
            .request(json!({
                "username": "grace", "password": examples::PASSWORD, "roles": ["editor"],
            }))
            .response("201", examples::user()),
        OperationSpec::new("readUser")
            .errors(&["not_found"])
            .response("200", examples::user()),
        OperationSpec::new("disableUser")
            .errors(&[FRESH_CODE, "not_found", "conflict"])
            .response("200", examples::user()),
        OperationSpec::new("enableUser")
            .errors(&[FRESH_CODE, "not_found"])
            .response("200", examples::user()),
        OperationSpec::new("deleteUser").errors(&[FRESH_CODE, "not_found", "conflict"]),
        OperationSpec::new("setUserRoles")
            .errors(&[FRESH_CODE, "not_found", "conflict"])
            .request(json!({ "roles": ["admin", "editor"] }))
            .response("200", examples::user()),
    ]
}

/// Parses the user name of a new account.
pub(super) fn parse_username(text: &str) -> Result<Username, ApiError> {
    Username::parse(text).map_err(|fault| ApiError::invalid_field("username", fault))
}

fn parse_roles(texts: &[String]) -> Result<Vec<names::UserRole>, ApiError> {
    let roles = texts.iter().map(|text| names::UserRole::parse(text));
    roles.collect::<Result<_, _>>().map_err(|fault| {
        let detail = format!("contains an invalid role: each role {fault}");
        ApiError::invalid_field("roles", detail)
    })
}

/// Returns the id in a path. A text that is not an id is answered like the id of an unknown user.
pub(super) fn parse_user_id(id: &str) -> Result<UserId, ApiError> {
    if has_id_form(id) {
        Ok(UserId::from(id))
    } else {
        Err(ApiError::NotFound("there is no such user"))
    }
}

/// Returns whether a text has the form of the server's ids.
pub(super) fn has_id_form(text: &str) -> bool {
    text.len() == 22
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}
