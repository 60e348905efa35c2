//! Security events, for administrators.

use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};

use super::Tag;
use super::answer::Private;
use super::users::{Administrator, page_size};
use crate::server::App;
use crate::server::error::ApiError;
use crate::server::events::EventKind;
use crate::server::store::{Event, EventPage};

/// The operation on security events.
pub(super) struct EventsApi(pub(super) App);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
enum EventName {
    /// A superseded refresh token was shown after grace: theft. Its session was ended.
    RefreshReused,
    /// Too many attempts on an account, which is named if it exists, or from an address. It is told
    /// once, when logins begin to be refused.
    LoginThrottled,
    /// A password was set by its owner, or on the command line.
    PasswordChanged,
    /// A password was set by a link.
    PasswordReset,
    /// A link that sets a password was made.
    ResetLinkMade,
    /// An account was made.
    UserCreated,
    /// An account was disabled.
    UserDisabled,
    /// A disabled account was enabled.
    UserEnabled,
    /// A user has other roles.
    RolesChanged,
    /// One session was ended by an administrator, or all of a user by an administrator or that user.
    SessionsEnded,
    /// A signing key was made that takes over.
    KeyRotated,
    /// The first administrator was made by the link, or as the settings say.
    FirstAdministrator,
}

impl From<EventKind> for EventName {
    fn from(kind: EventKind) -> Self {
        match kind {
            EventKind::RefreshReused => Self::RefreshReused,
            EventKind::LoginThrottled => Self::LoginThrottled,
            EventKind::PasswordChanged => Self::PasswordChanged,
            EventKind::PasswordReset => Self::PasswordReset,
            EventKind::ResetLinkMade => Self::ResetLinkMade,
            EventKind::UserCreated => Self::UserCreated,
            EventKind::UserDisabled => Self::UserDisabled,
            EventKind::UserEnabled => Self::UserEnabled,
            EventKind::RolesChanged => Self::RolesChanged,
            EventKind::SessionsEnded => Self::SessionsEnded,
            EventKind::KeyRotated => Self::KeyRotated,
            EventKind::FirstAdministrator => Self::FirstAdministrator,
        }
    }
}

/// A security event.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct EventAnswer {
    /// Names the event; a later one has a higher number.
    id: i64,
    /// When it happened.
    at: String,
    /// What happened.
    kind: EventName,
    /// Names the user whom it concerns.
    user_id: Option<String>,
    /// Name of that user.
    username: Option<String>,
    /// Names the session that it concerns; it may be long gone.
    session_id: Option<String>,
    /// Name of the user who caused it, or what the token of another issuer calls them. Absent for the
    /// command line and the settings, and for those who had proved no account.
    by: Option<String>,
    /// Address of whoever caused it; absent for the command line and the settings.
    ip: Option<String>,
}

impl From<Event> for EventAnswer {
    fn from(event: Event) -> Self {
        let (user_id, username) = match event.user {
            Some(user) => (Some(user.id.to_string()), user.username),
            None => (None, None),
        };
        Self {
            id: event.id,
            at: event.at.to_string(),
            kind: event.kind.into(),
            user_id,
            username,
            session_id: event.session.map(|id| id.to_string()),
            by: event
                .by
                .map(|by| by.username.unwrap_or_else(|| by.id.to_string())),
            ip: event.ip,
        }
    }
}

/// A page of events, newest first.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct EventsAnswer {
    /// The events.
    items: Vec<EventAnswer>,
    /// What to pass as `after` for the next page; absent on the last.
    next: Option<String>,
}

#[OpenApi]
impl EventsApi {
    /// List security events
    ///
    /// Answers what happened to accounts, sessions and keys in the last 90 days, newest first, a page
    /// at a time. Logins, refreshes and logouts are not among it.
    #[oai(
        path = "/v1/events",
        method = "get",
        operation_id = "listEvents",
        tag = "Tag::Administration"
    )]
    async fn list(
        &self,
        _guard: Administrator,
        /// The `next` of the page before.
        #[oai(validator(max_length = 20))]
        after: Query<Option<String>>,
        /// At most this many.
        #[oai(
            default = "page_size",
            validator(minimum(value = "1"), maximum(value = "200"))
        )]
        limit: Query<u32>,
    ) -> Result<Private<Json<EventsAnswer>>, ApiError> {
        let page = EventPage {
            after: after.0.as_deref().map(place).transpose()?,
            // One more than asked for tells whether another page follows.
            limit: u64::from(*limit) + 1,
        };
        let mut events = self.0.events(&page).await?;
        let more = events.len() > *limit as usize;
        events.truncate(*limit as usize);
        let next = events
            .last()
            .filter(|_| more)
            .map(|event| event.id.to_string());
        let items = events.into_iter().map(EventAnswer::from).collect();
        Ok(Private::new(Json(EventsAnswer { items, next })))
    }
}

fn place(text: &str) -> Result<i64, ApiError> {
    text.parse()
        .map_err(|_| ApiError::invalid_field("after", "is not the `next` of a page"))
}
