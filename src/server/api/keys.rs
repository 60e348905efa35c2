//! Administration of signing keys.

use poem::Request;
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};

use super::Tag;
use super::answer::Private;
use super::caller::actor;
use super::input::OptionalBody;
use super::users::{Administrator, FreshAdministrator};
use crate::clock::Time;
use crate::server::App;
use crate::server::error::ApiError;
use crate::server::keyring::{KeyState, Rollover};
use crate::server::store::StoredKey;

/// Operations on signing keys.
pub(super) struct KeysApi(pub(super) App);

/// Where a key stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
enum KeyStateName {
    /// Published, does not sign yet.
    Next,
    /// Signs.
    Active,
    /// Signs no more; what it signed is still accepted.
    Retiring,
}

/// A signing key, without its private part.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct KeyAnswer {
    /// Names the key, as in the JWK Set and in tokens.
    kid: String,
    /// `EdDSA`, `ES256`, `RS256` or `HS256`.
    algorithm: String,
    /// Where it stands in its life.
    state: KeyStateName,
    /// From when it signs.
    signs_from: String,
    /// From when it no longer signs; absent while no successor is set.
    signs_until: Option<String>,
    /// When the key was made.
    created_at: String,
}

impl KeyAnswer {
    /// Returns `None` for a key that is not accepted any more.
    fn new(key: StoredKey, now: Time) -> Option<Self> {
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
struct KeysAnswer {
    /// The keys.
    items: Vec<KeyAnswer>,
}

/// When the new key takes over.
#[derive(Debug, Object)]
struct RotateKeysRequest {
    /// At once, because the old key leaked: its tokens are refused from now on, that of this
    /// request too. Not so where this is absent.
    #[oai(default)]
    at_once: bool,
}

#[OpenApi]
impl KeysApi {
    /// List signing keys
    ///
    /// Answers every key whose tokens are accepted.
    #[oai(
        path = "/v1/keys",
        method = "get",
        operation_id = "listKeys",
        tag = "Tag::Administration"
    )]
    #[expect(clippy::unused_async, reason = "handlers are async")]
    async fn list(&self, _guard: Administrator) -> Private<Json<KeysAnswer>> {
        let now = self.0.clock.now();
        let keys = self.0.keyring.rows().into_iter();
        let items = keys.filter_map(|key| KeyAnswer::new(key, now)).collect();
        Private::new(Json(KeysAnswer { items }))
    }

    /// Rotate the signing keys
    ///
    /// Makes a key that takes over from the active one, and answers it. It signs once every copy of
    /// the JWK Set that others hold has lapsed, a few minutes from now, and nobody is logged out.
    /// With `at_once` it signs from now on and the old ones are refused; sessions go on with their
    /// refresh tokens. Asks for a fresh token.
    #[oai(
        path = "/v1/keys/rotate",
        method = "post",
        operation_id = "rotateKeys",
        tag = "Tag::Administration"
    )]
    async fn rotate(
        &self,
        guard: FreshAdministrator,
        request: &Request,
        body: OptionalBody<RotateKeysRequest>,
    ) -> Result<Private<Json<KeyAnswer>>, ApiError> {
        let rollover = if body.0.at_once {
            Rollover::AtOnce
        } else {
            Rollover::Gradual
        };
        let by = actor(&guard.claims, request, &self.0.config);
        let made = self.0.rotate_keys(rollover, &by).await?;
        let key = KeyAnswer::new(made, self.0.clock.now())
            .ok_or_else(|| ApiError::internal("a key that was just made is gone"))?;
        Ok(Private::new(Json(key)))
    }
}
