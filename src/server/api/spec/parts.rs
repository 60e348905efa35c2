//! Parts of the document that operations refer to: bodies of refusals, headers, places of tokens.

use serde_json::{Map, Value, json};

use super::samples::sample;
use crate::guard::SECURITY_SCHEME;

/// Returns the headers that refusals share.
pub(super) fn headers() -> Value {
    json!({
        "Retry-After": {
            "description": "Seconds after which to ask again",
            "schema": { "type": "integer", "minimum": 1 },
            "example": 1,
        },
        "WWW-Authenticate": {
            "description": "Names an `error` only when a token was shown and refused: refresh on exactly that",
            "schema": { "type": "string" },
            "example": sample("token_expired").challenge,
        },
    })
}

/// Returns the bodies of refusals.
pub(super) fn schemas() -> Map<String, Value> {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let schemas = json!({
        "Problem": {
            "title": "Problem",
            "type": "object",
            "description": "Why a request was refused (RFC 9457)",
            "required": ["type", "title", "status", "code", "detail"],
            "properties": {
                "type": text("Always `about:blank`: `code` says which problem it is"),
                "title": text("What the status means"),
                "status": { "type": "integer", "minimum": 400, "maximum": 599, "description": "HTTP status" },
                "code": text("Stable name of the problem, for programs"),
                "detail": text("What went wrong, for people"),
                "request_id": text("Finds the request in the server's log"),
                "errors": {
                    "type": "array",
                    "description": "What is wrong with which field",
                    "items": {
                        "type": "object",
                        "required": ["field", "detail"],
                        "properties": {
                            "field": text("Name of the field"),
                            "detail": text("What is wrong with it, to be read after its name"),
                        },
                    },
                },
            },
        },
        "OauthError": {
            "title": "OauthError",
            "type": "object",
            "description": "Why a request was refused (RFC 6749, 5.2)",
            "required": ["error"],
            "properties": {
                "error": text("Stable name of the problem, for programs"),
                "error_description": text("What went wrong, for people"),
                "code": text("The `code` that other operations use for it"),
                "request_id": text("Finds the request in the server's log"),
            },
        },
    });
    schemas.as_object().cloned().unwrap_or_default()
}

/// Returns the security of operations that take a token in one of several places.
pub(super) fn security(operation: &str) -> Option<Value> {
    let refresh = json!({ "refreshToken": [] });
    let cookie = json!({ "refreshCookie": [], "csrfToken": [] });
    match operation {
        "refreshSession" => Some(json!([cookie, refresh, {}])),
        "makePartyToken" => Some(json!([{ (SECURITY_SCHEME): [] }, { "serviceSecret": [] }])),
        "verify" => Some(json!([{ (SECURITY_SCHEME): [] }])),
        "logout" => Some(json!([{ (SECURITY_SCHEME): [] }, cookie, refresh, {}])),
        _ => None,
    }
}

/// Returns the places where those operations take a token.
pub(super) fn security_schemes() -> Map<String, Value> {
    let schemes = json!({
        "refreshToken": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The refresh token, in `Authorization` instead of the body",
        },
        "refreshCookie": {
            "type": "apiKey",
            "in": "cookie",
            "name": "__Host-latchet_rt",
            "description": "The refresh token as a cookie, set by a login with `\"transport\": \"cookie\"`; \
                named `latchet_rt` on plain http on this machine",
        },
        "serviceSecret": {
            "type": "http",
            "scheme": "basic",
            "description": "Name and secret of a service, as in `[token_services.NAME]` of the settings",
        },
        "csrfToken": {
            "type": "apiKey",
            "in": "header",
            "name": "X-CSRF-Token",
            "description": "Beside the cookie: the value of the cookie `__Host-latchet_csrf`, or `csrf_token` of the answer",
        },
    });
    schemes.as_object().cloned().unwrap_or_default()
}
