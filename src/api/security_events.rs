//! The list of security events, for administrators.

use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::types::ToJSON;
use poem_openapi::{Object, OpenApi};
use serde_json::{Value, json};

use super::Tag;
use super::pagination::{default_page_size, rows_to_query, split_page};
use super::responses::NoStore;
use super::spec::{OperationSpec, examples};
use super::users::AdministratorGuard;
use crate::App;
use crate::error::ApiError;
use crate::security_events::EventKind;
use crate::store::{EventPageRequest, SecurityEvent};

/// The operation on security events.
pub(super) struct SecurityEventsApi(pub(super) App);

/// A security event.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
#[oai(rename = "EventAnswer")]
pub(super) struct EventResponse {
    /// Id of the event; a later event has a higher number.
    id: i64,
    /// Time of the event.
    at: String,
    /// Kind of the event.
    kind: EventKind,
    /// Id of the affected user.
    user_id: Option<String>,
    /// Name of the affected user.
    username: Option<String>,
    /// Id of the affected session, which may no longer exist.
    session_id: Option<String>,
    /// Name of the user that caused the event, or the `sub` of a token of another issuer. Absent if the
    /// command line or the settings caused it, or a request without a login.
    by: Option<String>,
    /// IP address of the request that caused the event; absent for the command line and the settings.
    ip: Option<String>,
}

impl From<SecurityEvent> for EventResponse {
    fn from(event: SecurityEvent) -> Self {
        let (user_id, username) = match event.user {
            Some(user) => (Some(user.id.to_string()), user.username),
            None => (None, None),
        };
        Self {
            id: event.id,
            at: event.at.to_string(),
            kind: event.kind,
            user_id,
            username,
            session_id: event.session.map(|id| id.to_string()),
            by: event
                .actor
                .map(|by| by.username.unwrap_or_else(|| by.id.to_string())),
            ip: event.ip,
        }
    }
}

/// Returns an event in the format of the API, for the command line.
pub(crate) fn event_json(event: SecurityEvent) -> Value {
    EventResponse::from(event).to_json().unwrap_or_default()
}

/// A page of events, newest first.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
#[oai(rename = "EventsAnswer")]
struct EventListResponse {
    /// The events.
    items: Vec<EventResponse>,
    /// Value of `after` for the next page; absent on the last page.
    next: Option<String>,
}

#[OpenApi]
impl SecurityEventsApi {
    /// List security events
    ///
    /// Returns the events on accounts, sessions and keys, newest first, one page at a time. Logins, refreshes
    /// and logouts are not recorded. Events are kept for 90 days, unless the server is configured otherwise.
    #[oai(
        path = "/v1/events",
        method = "get",
        operation_id = "listEvents",
        tag = "Tag::Administration"
    )]
    async fn list(
        &self,
        _guard: AdministratorGuard,
        /// The `next` of the previous page.
        #[oai(validator(max_length = 20))]
        after: Query<Option<String>>,
        /// Most items to return.
        #[oai(
            default = "default_page_size",
            validator(minimum(value = "1"), maximum(value = "200"))
        )]
        limit: Query<u32>,
    ) -> Result<NoStore<Json<EventListResponse>>, ApiError> {
        let page = EventPageRequest {
            after: after.0.as_deref().map(parse_event_cursor).transpose()?,
            limit: rows_to_query(*limit),
        };
        let events = self.0.store.events(&page).await?;
        let (events, next) = split_page(events, *limit, |event| event.id.to_string());
        let items = events.into_iter().map(EventResponse::from).collect();
        Ok(NoStore::new(Json(EventListResponse { items, next })))
    }
}

/// Returns the additions to the document.
pub(super) fn operation_specs() -> Vec<OperationSpec> {
    let event = json!({
        "id": 42, "at": "2026-11-24T06:00:00Z", "kind": "sessions_ended",
        "user_id": examples::USER, "username": "ada", "session_id": examples::SESSION,
        "by": "grace", "ip": "192.0.2.7",
    });
    vec![
        OperationSpec::new("listEvents").response("200", json!({ "items": [event], "next": "42" })),
    ]
}

fn parse_event_cursor(text: &str) -> Result<i64, ApiError> {
    text.parse()
        .map_err(|_| ApiError::invalid_field("after", "is not the `next` of a page"))
}
