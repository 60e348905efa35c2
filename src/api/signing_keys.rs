//! Administration of signing keys.

use poem::Request;
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};
use serde_json::json;

use super::Tag;
use super::client::user_actor;
use super::input::OptionalJsonBody;
use super::responses::NoStore;
use super::spec::{FRESH_CODE, OperationSpec, examples};
use super::users::{AdministratorGuard, FreshAdministratorGuard};
use crate::App;
use crate::error::ApiError;
use crate::keyring::{KeyState, Rollover};
use crate::store::StoredSigningKey;
use latchet_guard::clock::Time;

/// Operations on signing keys.
pub(super) struct SigningKeysApi(pub(super) App);

/// State of a signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
enum KeyStateName {
    /// Published, but does not sign yet.
    Next,
    /// Signs new tokens.
    Active,
    /// No longer signs; tokens that it signed are still accepted.
    Retiring,
}

/// A signing key, without its private part.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
#[oai(rename = "KeyAnswer")]
struct KeyResponse {
    /// Id of the key, as in the JWK Set and in tokens.
    kid: String,
    /// `EdDSA`, `ES256`, `RS256` or `HS256`.
    algorithm: String,
    /// State of the key.
    state: KeyStateName,
    /// Time from which the key signs.
    signs_from: String,
    /// Time from which the key no longer signs; absent while there is no successor.
    signs_until: Option<String>,
    /// Creation time of the key.
    created_at: String,
}

impl KeyResponse {
    /// Returns `None` for a key that is no longer accepted.
    fn new(key: StoredSigningKey, now: Time) -> Option<Self> {
        let state = match KeyState::of(&key, now) {
            KeyState::Next => KeyStateName::Next,
            KeyState::Active => KeyStateName::Active,
            KeyState::Retiring => KeyStateName::Retiring,
            KeyState::Gone => return None,
        };
        Some(Self {
            kid: key.kid,
            algorithm: key.algorithm,
            state,
            signs_from: key.active_from.to_string(),
            signs_until: key.retiring_from.map(|time| time.to_string()),
            created_at: key.created_at.to_string(),
        })
    }
}

/// The keys that are accepted, newest first.
#[derive(Debug, Object)]
#[oai(rename = "KeysAnswer")]
struct KeyListResponse {
    /// The keys.
    items: Vec<KeyResponse>,
}

/// Options of a key rotation.
#[derive(Debug, Object)]
struct RotateKeysRequest {
    /// True to replace the old key at once, because it leaked: all its tokens are refused from now on,
    /// including the token of this request. The default is false.
    #[oai(default)]
    at_once: bool,
}

#[OpenApi]
impl SigningKeysApi {
    /// List signing keys
    ///
    /// Returns every key whose tokens are accepted.
    #[oai(
        path = "/v1/keys",
        method = "get",
        operation_id = "listKeys",
        tag = "Tag::Administration"
    )]
    #[expect(clippy::unused_async, reason = "handlers are async")]
    async fn list(&self, _guard: AdministratorGuard) -> NoStore<Json<KeyListResponse>> {
        let now = self.0.clock.now();
        let keys = self.0.signing_keys.keyring.stored_keys().into_iter();
        let items = keys.filter_map(|key| KeyResponse::new(key, now)).collect();
        NoStore::new(Json(KeyListResponse { items }))
    }

    /// Rotate the signing keys
    ///
    /// Creates a key that replaces the active one, and returns it. The new key signs after every cached copy
    /// of the JWK Set has expired, a few minutes from now, and no user is logged out. With `at_once` it
    /// signs from now on, and tokens of the old keys are refused; sessions continue with their refresh
    /// tokens. Requires a fresh token.
    #[oai(
        path = "/v1/keys/rotate",
        method = "post",
        operation_id = "rotateKeys",
        tag = "Tag::Administration"
    )]
    async fn rotate(
        &self,
        guard: FreshAdministratorGuard,
        request: &Request,
        body: OptionalJsonBody<RotateKeysRequest>,
    ) -> Result<NoStore<Json<KeyResponse>>, ApiError> {
        let rollover = if body.0.at_once {
            Rollover::AtOnce
        } else {
            Rollover::Gradual
        };
        let by = user_actor(&guard.claims, request, &self.0.config);
        let created = self.0.signing_keys.rotate(rollover, &by).await?;
        let key = KeyResponse::new(created, self.0.clock.now())
            .ok_or_else(|| ApiError::internal("the new signing key is not in use"))?;
        Ok(NoStore::new(Json(key)))
    }
}

/// Returns the additions to the document.
pub(super) fn operation_specs() -> Vec<OperationSpec> {
    let key = json!({
        "kid": examples::KID, "algorithm": "EdDSA", "state": "next",
        "signs_from": "2026-11-24T06:05:05Z", "created_at": "2026-11-24T06:00:00Z",
    });
    vec![
        OperationSpec::new("listKeys").response("200", json!({ "items": [key] })),
        OperationSpec::new("rotateKeys")
            .errors(&[FRESH_CODE, "conflict"])
            .requests(&[
                ("gradual", "The new key is published first", json!({})),
                ("at_once", "The old key leaked", json!({ "at_once": true })),
            ])
            .response("200", key),
    ]
}
