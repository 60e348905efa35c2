//! Notes: each user sees and deletes their own. They are kept in memory and lost when the program ends.
#![expect(clippy::unused_async, reason = "handlers are async")]

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use latchet::error::ApiError;
use latchet_guard::clock::Clock;
use latchet_guard::keys::random_id;
use latchet_guard::{JwtFresh, JwtRequired};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};

/// Any user may write, so the number of notes is limited.
const MOST_NOTES: usize = 500;

/// Operations on the notes of the caller.
pub(crate) struct NotesApi {
    clock: Clock,
    /// By `sub`, the id of the user: names change.
    notes: Mutex<HashMap<String, Vec<Note>>>,
}

/// A note.
#[derive(Clone, Object)]
struct Note {
    /// Id.
    id: String,
    /// Text of the note.
    text: String,
    /// When, in milliseconds since 1970.
    created_at: i64,
}

/// A note to be added.
#[derive(Object)]
struct NewNote {
    /// Text of the note.
    #[oai(validator(min_length = 1, max_length = 2000))]
    text: String,
}

#[derive(ApiResponse)]
enum Added {
    /// The note as it is kept.
    #[oai(status = 201)]
    Added(Json<Note>),
}

#[derive(ApiResponse)]
enum Deleted {
    /// Gone.
    #[oai(status = 204)]
    Deleted,
}

#[OpenApi]
impl NotesApi {
    /// List
    ///
    /// The newest first.
    #[oai(path = "/notes", method = "get", operation_id = "listNotes")]
    async fn list(&self, jwt: JwtRequired) -> Json<Vec<Note>> {
        let notes = self.notes();
        let own = notes.get(&jwt.claims.sub).into_iter().flatten();
        Json(own.rev().cloned().collect())
    }

    /// Add
    #[oai(path = "/notes", method = "post", operation_id = "addNote")]
    async fn add(&self, jwt: JwtRequired, body: Json<NewNote>) -> Result<Added, ApiError> {
        let mut notes = self.notes();
        let own = notes.entry(jwt.claims.sub.clone()).or_default();
        if own.len() >= MOST_NOTES {
            return Err(ApiError::Conflict(
                "there is no room for another note: delete some",
            ));
        }
        let note = Note {
            id: random_id(),
            text: body.0.text,
            created_at: self.clock.now().millis(),
        };
        own.push(note.clone());
        Ok(Added::Added(Json(note)))
    }

    /// Delete one
    ///
    /// A note of another user counts as nonexistent.
    #[oai(path = "/notes/:id", method = "delete", operation_id = "deleteNote")]
    async fn delete(&self, jwt: JwtRequired, id: Path<String>) -> Result<Deleted, ApiError> {
        let mut notes = self.notes();
        let own = notes.get_mut(&jwt.claims.sub);
        let deleted = own.is_some_and(|own| {
            let before = own.len();
            own.retain(|note| note.id != id.0);
            own.len() < before
        });
        if deleted {
            Ok(Deleted::Deleted)
        } else {
            Err(ApiError::NotFound("there is no such note"))
        }
    }

    /// Delete all
    ///
    /// Requires a fresh token: from a login, or from `POST /v1/reauthenticate`.
    #[oai(path = "/notes", method = "delete", operation_id = "deleteNotes")]
    async fn delete_all(&self, jwt: JwtFresh) -> Deleted {
        self.notes().remove(&jwt.claims.sub);
        Deleted::Deleted
    }
}

impl NotesApi {
    /// Returns the operations, with no notes yet.
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            notes: Mutex::default(),
        }
    }

    fn notes(&self) -> MutexGuard<'_, HashMap<String, Vec<Note>>> {
        // Each change is one call, so a panic leaves nothing half done.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
