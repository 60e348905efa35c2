//! Export of everything that is kept of the caller.

use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use serde_json::json;

use super::Tag;
use super::email_addresses::EmailResponse;
use super::first_party::OwnAccountGuard;
use super::responses::NoStore;
use super::security_events::EventResponse;
use super::spec::{OperationSpec, examples};
use super::users::UserResponse;
use crate::App;
use crate::error::ApiError;
use crate::ids::UserId;
use crate::store::{KeptSession, SecurityEvent};

/// Most events of an export, the latest ones.
const MAX_EVENTS: u64 = 10_000;

/// The operation that exports an account.
pub(super) struct AccountExportApi(pub(super) App);

/// Everything that is kept of a user, except secrets and hashes of them.
#[derive(Debug, Object)]
#[oai(rename = "ExportAnswer")]
struct ExportResponse {
    /// Time of the export.
    exported_at: String,
    /// The account.
    user: UserResponse,
    /// E-mail addresses, verified or not.
    emails: Vec<EmailResponse>,
    /// Sessions, newest first: active ones, and ended ones for some days.
    sessions: Vec<ExportedSessionResponse>,
    /// Security events about the user, oldest first; without the name and the address of others who caused them.
    events: Vec<EventResponse>,
}

/// A session of the export.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
#[oai(rename = "ExportedSession")]
struct ExportedSessionResponse {
    /// Id of the session.
    id: String,
    /// OAuth client of the login.
    client_id: String,
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
    /// Time when it was ended before that.
    ended_at: Option<String>,
}

impl From<KeptSession> for ExportedSessionResponse {
    fn from(kept: KeptSession) -> Self {
        let (listed, session) = (&kept.listed, &kept.listed.session);
        Self {
            id: session.id.to_string(),
            client_id: session.client_id.clone(),
            label: listed.device.label.clone(),
            user_agent: listed.device.user_agent.clone(),
            ip: listed.device.ip.clone(),
            created_at: listed.created_at.to_string(),
            refreshed_at: session.state.rotated_at.to_string(),
            expires_at: session.state.expires_at.to_string(),
            ended_at: kept.revoked_at.map(|at| at.to_string()),
        }
    }
}

#[OpenApi]
impl AccountExportApi {
    /// Export my account
    ///
    /// Returns everything that is kept of the caller in one document, except secrets and hashes of them.
    #[oai(
        path = "/v1/me/export",
        method = "get",
        operation_id = "exportMe",
        tag = "Tag::Account"
    )]
    async fn export(
        &self,
        guard: OwnAccountGuard,
    ) -> Result<NoStore<Json<ExportResponse>>, ApiError> {
        let (app, id) = (&self.0, UserId::from(guard.claims.sub.as_str()));
        let user = app.accounts.user(&id).await?;
        let emails = app.addresses.list(&id).await?;
        let sessions = app.store.kept_sessions(&id).await?;
        let events = app.store.events_about(&id, MAX_EVENTS).await?;
        Ok(NoStore::new(Json(ExportResponse {
            exported_at: app.clock.now().to_string(),
            user: user.into(),
            emails: emails.into_iter().map(EmailResponse::from).collect(),
            sessions: sessions
                .into_iter()
                .map(ExportedSessionResponse::from)
                .collect(),
            events: events
                .into_iter()
                .map(|event| own_event(event, &id))
                .collect(),
        })))
    }
}

/// Returns an event without the name and the address of another user who caused it.
fn own_event(event: SecurityEvent, user: &UserId) -> EventResponse {
    let is_of_other = event.actor.as_ref().is_some_and(|actor| actor.id != *user);
    EventResponse::from(if is_of_other {
        SecurityEvent {
            actor: None,
            ip: None,
            ..event
        }
    } else {
        event
    })
}

/// Returns the additions to the document.
pub(super) fn operation_specs() -> Vec<OperationSpec> {
    let session = json!({
        "id": examples::SESSION, "client_id": "latchet", "label": "Ada's laptop",
        "user_agent": "Mozilla/5.0", "ip": "192.0.2.7", "created_at": "2026-11-24T06:00:00Z",
        "refreshed_at": "2026-11-24T06:10:00Z", "expires_at": "2026-12-24T06:00:00Z",
    });
    let event = json!({
        "id": 42, "at": "2026-11-24T06:00:00Z", "kind": "user_created",
        "user_id": examples::USER, "username": "ada", "ip": "192.0.2.7",
    });
    vec![
        OperationSpec::new("exportMe")
            .errors(&["not_found"])
            .response(
                "200",
                json!({
                    "exported_at": "2026-11-24T06:15:00Z", "user": examples::user(), "emails": [],
                    "sessions": [session], "events": [event],
                }),
            ),
    ]
}
