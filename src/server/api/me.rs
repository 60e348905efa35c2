//! The caller's own account and sessions.

use poem::Request;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use super::Tag;
use super::answer::{Done, Private, Tokens};
use super::caller::ip;
use super::cookies::Cookies;
use super::first_party::AccountHolder;
use super::input::Body;
use super::page::{cut, rows, session_place, user_page_size};
use super::secret::Password;
use super::users::{UserAnswer, is_id};
use crate::server::App;
use crate::server::error::ApiError;
use crate::server::store::{ListedSession, SessionId, SessionPage, SessionPlace, UserId};

/// Operations on the caller's own account.
pub(super) struct MeApi(pub(super) App);

/// The caller's account, and the content of the access token.
#[derive(Debug, Object)]
struct MeAnswer {
    /// The account.
    user: UserAnswer,
    /// The session that the access token belongs to.
    session_id: Option<String>,
    /// Roles in the access token: those of the account when the token was issued.
    roles: Vec<String>,
    /// Scopes in the access token, separated by spaces.
    scope: String,
}

/// The current and the new password.
#[derive(Debug, Object)]
struct PasswordRequest {
    /// Current password.
    current_password: Password,
    /// New password: long, and not a common one.
    new_password: Password,
}

/// A session: one login on one device.
#[derive(Debug, Object)]
struct SessionAnswer {
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
struct SessionsAnswer {
    /// The sessions.
    items: Vec<SessionAnswer>,
    /// Value of `after` for the next page; absent on the last page.
    next: Option<String>,
}

impl SessionAnswer {
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
impl MeApi {
    /// Read my account
    ///
    /// Returns the caller's account, and the session, roles and scopes in the access token.
    #[oai(
        path = "/v1/me",
        method = "get",
        operation_id = "me",
        tag = "Tag::Account"
    )]
    async fn me(&self, guard: AccountHolder) -> Result<Private<Json<MeAnswer>>, ApiError> {
        let claims = guard.claims;
        let user = self.0.user(&UserId::from(claims.sub.as_str())).await?;
        Ok(Private::new(Json(MeAnswer {
            user: user.into(),
            session_id: claims.sid.clone(),
            roles: claims.roles.clone(),
            scope: claims.scope.clone().unwrap_or_default(),
        })))
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
        guard: AccountHolder,
        request: &Request,
        body: Body<PasswordRequest>,
    ) -> Result<Tokens, ApiError> {
        let Body(passwords) = body;
        let ip = ip(request, &self.0.config);
        let (current, new) = (passwords.current_password.0, passwords.new_password.0);
        let grant = self
            .0
            .change_password(&guard.claims, current, new, ip)
            .await?;
        let cookies = Cookies::of(request, &self.0)
            .filter(|cookies| cookies.hold(request, &self.0, &grant.access.session_id));
        Ok(match cookies {
            None => Tokens::in_body(grant),
            Some(cookies) => {
                let csrf = Cookies::new_csrf(&self.0, &grant);
                Tokens::in_cookies(grant, &cookies, csrf)
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
        guard: AccountHolder,
        /// The `next` of the previous page.
        #[oai(validator(max_length = 64))]
        after: Query<Option<String>>,
        /// Most items to return.
        #[oai(
            default = "user_page_size",
            validator(minimum(value = "1"), maximum(value = "200"))
        )]
        limit: Query<u32>,
    ) -> Result<Private<Json<SessionsAnswer>>, ApiError> {
        let page = SessionPage {
            user: Some(UserId::from(guard.claims.sub.as_str())),
            after: after.0.as_deref().map(session_place).transpose()?,
            search: None,
            limit: rows(*limit),
        };
        let (sessions, next) = cut(self.0.sessions(&page).await?, *limit, |named| {
            SessionPlace::of(&named.listed).to_string()
        });
        let current = guard.claims.sid.as_deref();
        let sessions = sessions.into_iter();
        let items = sessions.map(|named| SessionAnswer::new(named.listed, current));
        Ok(Private::new(Json(SessionsAnswer {
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
        guard: AccountHolder,
        /// Id of the session.
        id: Path<String>,
    ) -> Result<Private<Done>, ApiError> {
        if !is_id(&id) {
            return Err(ApiError::NotFound("there is no such session"));
        }
        let owner = UserId::from(guard.claims.sub.as_str());
        let id = SessionId::from(id.as_str());
        self.0.log_out_device(&id, Some(&owner)).await?;
        Ok(Private::new(Done::Done))
    }
}
