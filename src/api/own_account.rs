//! The caller's own account and sessions.

use poem::Request;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use serde_json::json;

use super::Tag;
use super::client::{client_ip, user_actor};
use super::cookies::SessionCookies;
use super::first_party::{FreshOwnAccountGuard, OwnAccountGuard};
use super::input::JsonBody;
use super::pagination::{default_user_page_size, parse_session_cursor, rows_to_query, split_page};
use super::responses::{NoContent, NoStore, SessionTokensResponse};
use super::secret_field::PasswordField;
use super::spec::{FRESH_CODE, OperationSpec, PASSWORD_CODES, examples};
use super::users::{UserResponse, has_id_form};
use crate::App;
use crate::error::ApiError;
use crate::ids::{SessionId, UserId};
use crate::store::{ListedSession, SessionCursor, SessionPageRequest};

/// Operations on the caller's own account.
pub(super) struct OwnAccountApi(pub(super) App);

/// The caller's account, and the content of the access token.
#[derive(Debug, Object)]
#[oai(rename = "MeAnswer")]
struct OwnAccountResponse {
    /// The account.
    user: UserResponse,
    /// The session that the access token belongs to.
    session_id: Option<String>,
    /// Roles in the access token: those of the account when the token was issued.
    roles: Vec<String>,
    /// Scopes in the access token, separated by spaces.
    scope: String,
}

/// The current and the new password.
#[derive(Debug, Object)]
#[oai(rename = "PasswordRequest")]
struct ChangePasswordRequest {
    /// Current password.
    current_password: PasswordField,
    /// New password: long, and not a common one.
    new_password: PasswordField,
}

/// A session: one login on one device.
#[derive(Debug, Object)]
#[oai(rename = "SessionAnswer")]
struct SessionResponse {
    /// Id of the session.
    id: String,
    /// True for the session of this request's access token.
    current: bool,
    /// Name of the device, given at login; may be empty.
    label: String,
    /// User agent at login; may be empty.
    user_agent: String,
    /// IP address at login.
    ip: String,
    /// Time of the login.
    created_at: String,
    /// Time of the last refresh.
    refreshed_at: String,
    /// Time when the session ends, regardless of refreshes.
    expires_at: String,
}

/// A page of the caller's active sessions, newest login first.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
#[oai(rename = "SessionsAnswer")]
struct SessionListResponse {
    /// The sessions.
    items: Vec<SessionResponse>,
    /// Value of `after` for the next page; absent on the last page.
    next: Option<String>,
}

impl SessionResponse {
    fn new(listed: ListedSession, current: Option<&str>) -> Self {
        let ListedSession {
            session,
            created_at,
            device,
        } = listed;
        Self {
            current: current == Some(session.id.as_str()),
            id: session.id.to_string(),
            label: device.label,
            user_agent: device.user_agent,
            ip: device.ip,
            created_at: created_at.to_string(),
            refreshed_at: session.state.rotated_at.to_string(),
            expires_at: session.state.expires_at.to_string(),
        }
    }
}

#[OpenApi]
impl OwnAccountApi {
    /// Read my account
    ///
    /// Returns the caller's account, and the session, roles and scopes in the access token.
    #[oai(
        path = "/v1/me",
        method = "get",
        operation_id = "me",
        tag = "Tag::Account"
    )]
    async fn me(
        &self,
        guard: OwnAccountGuard,
    ) -> Result<NoStore<Json<OwnAccountResponse>>, ApiError> {
        let claims = guard.claims;
        let user = self
            .0
            .accounts
            .user(&UserId::from(claims.sub.as_str()))
            .await?;
        Ok(NoStore::new(Json(OwnAccountResponse {
            user: user.into(),
            session_id: claims.sid.clone(),
            roles: claims.roles.clone(),
            scope: claims.scope.clone().unwrap_or_default(),
        })))
    }

    /// Delete my account
    ///
    /// Deletes the account with everything that is kept of it, for ever, and ends all its sessions at once. The last
    /// administrator cannot be deleted. Requires a fresh token.
    #[oai(
        path = "/v1/me",
        method = "delete",
        operation_id = "deleteMe",
        tag = "Tag::Account"
    )]
    async fn delete(
        &self,
        guard: FreshOwnAccountGuard,
        request: &Request,
    ) -> Result<NoStore<NoContent>, ApiError> {
        let user = UserId::from(guard.claims.sub.as_str());
        let by = user_actor(&guard.claims, request, &self.0.config);
        self.0.accounts.delete_user(&user, &by).await?;
        Ok(NoStore::new(NoContent::Success))
    }

    /// Change the password
    ///
    /// Ends all other sessions of the user. This session continues with the tokens of the response, which
    /// are sent as by a refresh: as a cookie if the request had the cookie of this session, otherwise in the
    /// body. During the grace period the old refresh token is exchanged for the same successor; old CSRF
    /// values are valid for nothing else.
    #[oai(
        path = "/v1/me/password",
        method = "post",
        operation_id = "changePassword",
        tag = "Tag::Account"
    )]
    async fn change_password(
        &self,
        guard: OwnAccountGuard,
        request: &Request,
        body: JsonBody<ChangePasswordRequest>,
    ) -> Result<SessionTokensResponse, ApiError> {
        let JsonBody(passwords) = body;
        let ip = client_ip(request, &self.0.config);
        let (current, new) = (passwords.current_password.0, passwords.new_password.0);
        let grant = self
            .0
            .sessions
            .change_password(&guard.claims, current, new, ip)
            .await?;
        let cookies = SessionCookies::for_request(request, &self.0)
            .filter(|cookies| cookies.contain_session(&grant.access.session_id));
        Ok(match cookies {
            None => SessionTokensResponse::in_body(grant),
            Some(cookies) => {
                let csrf = SessionCookies::csrf_value_of(&self.0, &grant);
                SessionTokensResponse::in_cookies(grant, &cookies, csrf)
            }
        })
    }

    /// List my sessions
    ///
    /// Returns the active sessions of the caller.
    #[oai(
        path = "/v1/me/sessions",
        method = "get",
        operation_id = "listMySessions",
        tag = "Tag::Account"
    )]
    async fn sessions(
        &self,
        guard: OwnAccountGuard,
        /// The `next` of the previous page.
        #[oai(validator(max_length = 64))]
        after: Query<Option<String>>,
        /// Most items to return.
        #[oai(
            default = "default_user_page_size",
            validator(minimum(value = "1"), maximum(value = "200"))
        )]
        limit: Query<u32>,
    ) -> Result<NoStore<Json<SessionListResponse>>, ApiError> {
        let page = SessionPageRequest {
            user: Some(UserId::from(guard.claims.sub.as_str())),
            after: after.0.as_deref().map(parse_session_cursor).transpose()?,
            search: None,
            limit: rows_to_query(*limit),
        };
        let (sessions, next) = split_page(self.0.sessions.list(&page).await?, *limit, |named| {
            SessionCursor::of(&named.listed).to_string()
        });
        let current = guard.claims.sid.as_deref();
        let sessions = sessions.into_iter();
        let items = sessions.map(|named| SessionResponse::new(named.listed, current));
        Ok(NoStore::new(Json(SessionListResponse {
            items: items.collect(),
            next,
        })))
    }

    /// End one of my sessions
    ///
    /// Logs the device out at once.
    #[oai(
        path = "/v1/me/sessions/:id",
        method = "delete",
        operation_id = "revokeMySession",
        tag = "Tag::Account"
    )]
    async fn revoke_session(
        &self,
        guard: OwnAccountGuard,
        /// Id of the session.
        id: Path<String>,
    ) -> Result<NoStore<NoContent>, ApiError> {
        if !has_id_form(&id) {
            return Err(ApiError::NotFound("there is no such session"));
        }
        let owner = UserId::from(guard.claims.sub.as_str());
        let id = SessionId::from(id.as_str());
        self.0
            .revocations
            .log_out_session(&id, Some(&owner))
            .await?;
        Ok(NoStore::new(NoContent::Success))
    }
}

/// Returns the additions to the document.
pub(super) fn operation_specs() -> Vec<OperationSpec> {
    let session = json!({
        "id": examples::SESSION, "current": true, "label": "Ada's laptop",
        "user_agent": "Mozilla/5.0", "ip": "192.0.2.7",
        "created_at": "2026-11-24T06:00:00Z", "refreshed_at": "2026-11-24T06:10:00Z",
        "expires_at": "2026-12-24T06:00:00Z",
    });
    vec![
        OperationSpec::new("me").errors(&["not_found"]).response(
            "200",
            json!({
                "user": examples::user(), "session_id": examples::SESSION,
                "roles": ["editor"], "scope": "",
            }),
        ),
        OperationSpec::new("deleteMe").errors(&[FRESH_CODE, "not_found", "conflict"]),
        OperationSpec::new("changePassword")
            .errors(PASSWORD_CODES)
            .errors(&["weak_password", "conflict", "session_expired"])
            .request(json!({
                "current_password": examples::PASSWORD,
                "new_password": "a new and longer pass phrase",
            }))
            .responses(&examples::session_tokens()),
        OperationSpec::new("listMySessions").response("200", json!({ "items": [session] })),
        OperationSpec::new("revokeMySession").errors(&["not_found"]),
    ]
}
