//! Administration of sessions.

use poem::Request;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use super::Tag;
use super::answer::{Done, Private};
use super::caller::actor;
use super::page::{cut, page_size, rows, session_place, text, user_page_size};
use super::users::{Administrator, is_id, known};
use crate::server::App;
use crate::server::error::ApiError;
use crate::server::rotation::RevokeReason;
use crate::server::store::{ListedSession, NamedSession, SessionId, SessionPage, SessionPlace};

/// Operations of administrators on sessions.
pub(super) struct UserSessionsApi(pub(super) App);

/// A session of a user: one login on one device.
#[derive(Debug, Object)]
struct UserSessionAnswer {
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

impl From<NamedSession> for UserSessionAnswer {
    fn from(named: NamedSession) -> Self {
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
struct UserSessionsAnswer {
    /// The sessions.
    items: Vec<UserSessionAnswer>,
    /// Value of `after` for the next page; absent on the last page.
    next: Option<String>,
}

#[OpenApi]
impl UserSessionsApi {
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
        _guard: Administrator,
        /// Id of the user.
        id: Path<String>,
        /// The `next` of the previous page.
        #[oai(validator(max_length = 64))]
        after: Query<Option<String>>,
        /// Most items to return.
        #[oai(
            default = "user_page_size",
            validator(minimum(value = "1"), maximum(value = "200"))
        )]
        limit: Query<u32>,
    ) -> Result<Private<Json<UserSessionsAnswer>>, ApiError> {
        let page = SessionPage {
            user: Some(self.0.user(&known(&id)?).await?.id),
            after: after.0.as_deref().map(session_place).transpose()?,
            search: None,
            limit: rows(*limit),
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
        guard: Administrator,
        request: &Request,
        /// Id of the user.
        id: Path<String>,
    ) -> Result<Private<Done>, ApiError> {
        let id = self.0.user(&known(&id)?).await?.id;
        let by = actor(&guard.claims, request, &self.0.config);
        self.0.end_sessions(&id, RevokeReason::Admin, &by).await?;
        Ok(Private::new(Done::Done))
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
        _guard: Administrator,
        /// The `next` of the previous page.
        #[oai(validator(max_length = 64))]
        after: Query<Option<String>>,
        /// Only sessions of users whose name contains this text, regardless of case.
        #[oai(validator(max_length = 254))]
        search: Query<Option<String>>,
        /// Most items to return.
        #[oai(
            default = "page_size",
            validator(minimum(value = "1"), maximum(value = "200"))
        )]
        limit: Query<u32>,
    ) -> Result<Private<Json<UserSessionsAnswer>>, ApiError> {
        let page = SessionPage {
            user: None,
            after: after.0.as_deref().map(session_place).transpose()?,
            search: text("search", search.0)?,
            limit: rows(*limit),
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
        guard: Administrator,
        request: &Request,
        /// Id of the session.
        id: Path<String>,
    ) -> Result<Private<Done>, ApiError> {
        if !is_id(&id) {
            return Err(ApiError::NotFound("there is no such session"));
        }
        let id = SessionId::from(id.as_str());
        let by = actor(&guard.claims, request, &self.0.config);
        self.0.end_session(&id, &by).await?;
        Ok(Private::new(Done::Done))
    }
}

impl UserSessionsApi {
    async fn page(
        &self,
        page: &SessionPage,
        limit: u32,
    ) -> Result<Private<Json<UserSessionsAnswer>>, ApiError> {
        let sessions = self.0.sessions(page).await?;
        let (sessions, next) = cut(sessions, limit, |named| {
            SessionPlace::of(&named.listed).to_string()
        });
        let items = sessions.into_iter().map(UserSessionAnswer::from).collect();
        Ok(Private::new(Json(UserSessionsAnswer { items, next })))
    }
}
