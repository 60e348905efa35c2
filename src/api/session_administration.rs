//! Administration of sessions.

use poem::Request;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use serde_json::json;

use super::Tag;
use super::client::user_actor;
use super::pagination::{
    default_page_size, default_user_page_size, parse_session_cursor, rows_to_query, split_page,
    without_nul,
};
use super::responses::{NoContent, NoStore};
use super::spec::{OperationSpec, examples};
use super::users::{AdministratorGuard, has_id_form, parse_user_id};
use crate::App;
use crate::error::ApiError;
use crate::ids::SessionId;
use crate::rotation::RevokeReason;
use crate::store::{ListedSession, SessionCursor, SessionPageRequest, SessionWithUsername};

/// Operations of administrators on sessions.
pub(super) struct SessionAdministrationApi(pub(super) App);

/// A session of a user: one login on one device.
#[derive(Debug, Object)]
#[oai(rename = "UserSessionAnswer")]
struct UserSessionResponse {
    /// Id of the session.
    id: String,
    /// Id of the user.
    user_id: String,
    /// User name as it was entered.
    username: String,
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

impl From<SessionWithUsername> for UserSessionResponse {
    fn from(named: SessionWithUsername) -> Self {
        let ListedSession {
            session,
            created_at,
            device,
        } = named.listed;
        Self {
            id: session.id.to_string(),
            user_id: session.user_id.to_string(),
            username: named.username,
            label: device.label,
            user_agent: device.user_agent,
            ip: device.ip,
            created_at: created_at.to_string(),
            refreshed_at: session.state.rotated_at.to_string(),
            expires_at: session.state.expires_at.to_string(),
        }
    }
}

/// A page of active sessions, newest login first.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
#[oai(rename = "UserSessionsAnswer")]
struct UserSessionListResponse {
    /// The sessions.
    items: Vec<UserSessionResponse>,
    /// Value of `after` for the next page; absent on the last page.
    next: Option<String>,
}

#[OpenApi]
impl SessionAdministrationApi {
    /// List the sessions of a user
    ///
    /// Returns the active sessions of the user.
    #[oai(
        path = "/v1/users/:id/sessions",
        method = "get",
        operation_id = "listUserSessions",
        tag = "Tag::Users"
    )]
    async fn list_of_user(
        &self,
        _guard: AdministratorGuard,
        /// Id of the user.
        id: Path<String>,
        /// The `next` of the previous page.
        #[oai(validator(max_length = 64))]
        after: Query<Option<String>>,
        /// Most items to return.
        #[oai(
            default = "default_user_page_size",
            validator(minimum(value = "1"), maximum(value = "200"))
        )]
        limit: Query<u32>,
    ) -> Result<NoStore<Json<UserSessionListResponse>>, ApiError> {
        let page = SessionPageRequest {
            user: Some(self.0.accounts.user(&parse_user_id(&id)?).await?.id),
            after: after.0.as_deref().map(parse_session_cursor).transpose()?,
            search: None,
            limit: rows_to_query(*limit),
        };
        self.page(&page, *limit).await
    }

    /// End the sessions of a user
    ///
    /// Logs the user out on every device at once. The account may log in again.
    #[oai(
        path = "/v1/users/:id/sessions",
        method = "delete",
        operation_id = "endUserSessions",
        tag = "Tag::Users"
    )]
    async fn end_all_of_user(
        &self,
        guard: AdministratorGuard,
        request: &Request,
        /// Id of the user.
        id: Path<String>,
    ) -> Result<NoStore<NoContent>, ApiError> {
        let id = self.0.accounts.user(&parse_user_id(&id)?).await?.id;
        let by = user_actor(&guard.claims, request, &self.0.config);
        self.0
            .revocations
            .end_all_sessions(&id, RevokeReason::Admin, &by)
            .await?;
        Ok(NoStore::new(NoContent::Success))
    }

    /// List the sessions of all users
    ///
    /// Returns the active sessions of all users, newest login first, one page at a time.
    #[oai(
        path = "/v1/sessions",
        method = "get",
        operation_id = "listSessions",
        tag = "Tag::Administration"
    )]
    async fn list(
        &self,
        _guard: AdministratorGuard,
        /// The `next` of the previous page.
        #[oai(validator(max_length = 64))]
        after: Query<Option<String>>,
        /// Only sessions of users whose name begins with this text, regardless of case.
        #[oai(validator(max_length = 254))]
        search: Query<Option<String>>,
        /// Most items to return.
        #[oai(
            default = "default_page_size",
            validator(minimum(value = "1"), maximum(value = "200"))
        )]
        limit: Query<u32>,
    ) -> Result<NoStore<Json<UserSessionListResponse>>, ApiError> {
        let page = SessionPageRequest {
            user: None,
            after: after.0.as_deref().map(parse_session_cursor).transpose()?,
            search: without_nul("search", search.0)?,
            limit: rows_to_query(*limit),
        };
        self.page(&page, *limit).await
    }

    /// End a session
    ///
    /// Logs the device of this session out at once.
    #[oai(
        path = "/v1/sessions/:id",
        method = "delete",
        operation_id = "endSession",
        tag = "Tag::Administration"
    )]
    async fn end(
        &self,
        guard: AdministratorGuard,
        request: &Request,
        /// Id of the session.
        id: Path<String>,
    ) -> Result<NoStore<NoContent>, ApiError> {
        if !has_id_form(&id) {
            return Err(ApiError::NotFound("there is no such session"));
        }
        let id = SessionId::from(id.as_str());
        let by = user_actor(&guard.claims, request, &self.0.config);
        self.0
            .revocations
            .end_session_as_administrator(&id, &by)
            .await?;
        Ok(NoStore::new(NoContent::Success))
    }
}

/// Returns the additions to the document.
pub(super) fn operation_specs() -> Vec<OperationSpec> {
    let session = json!({
        "id": examples::SESSION, "user_id": examples::USER, "username": "ada", "label": "Ada's laptop",
        "user_agent": "Mozilla/5.0", "ip": "192.0.2.7",
        "created_at": "2026-11-24T06:00:00Z", "refreshed_at": "2026-11-24T06:10:00Z",
        "expires_at": "2026-12-24T06:00:00Z",
    });
    let next = format!("1795500000000.{}", examples::SESSION);
    vec![
        OperationSpec::new("listUserSessions")
            .errors(&["not_found"])
            .response("200", json!({ "items": [session] })),
        OperationSpec::new("endUserSessions").errors(&["not_found"]),
        OperationSpec::new("listSessions")
            .response("200", json!({ "items": [session], "next": next })),
        OperationSpec::new("endSession").errors(&["not_found"]),
    ]
}

impl SessionAdministrationApi {
    async fn page(
        &self,
        page: &SessionPageRequest,
        limit: u32,
    ) -> Result<NoStore<Json<UserSessionListResponse>>, ApiError> {
        let sessions = self.0.sessions.list(page).await?;
        let (sessions, next) = split_page(sessions, limit, |named| {
            SessionCursor::of(&named.listed).to_string()
        });
        let items = sessions
            .into_iter()
            .map(UserSessionResponse::from)
            .collect();
        Ok(NoStore::new(Json(UserSessionListResponse { items, next })))
    }
}
