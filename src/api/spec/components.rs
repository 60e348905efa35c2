//! Components of the document that operations refer to: error schemas, headers, security schemes.

use serde_json::{Map, Value, json};

use crate::problem_codes::error_sample;

/// Returns the headers of error responses.
pub(super) fn headers() -> Value {
    json!({
        "Retry-After": {
            "description": "Seconds to wait before a retry",
            "schema": { "type": "integer", "minimum": 1 },
            "example": 1,
        },
        "WWW-Authenticate": {
            "description": "Contains an `error` only if a token was sent and refused: refresh only then",
            "schema": { "type": "string" },
            "example": error_sample("token_expired").challenge,
        },
    })
}

/// Returns the schemas of error responses.
pub(super) fn schemas() -> Map<String, Value> {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let schemas = json!({
        "Problem": {
            "title": "Problem",
            "type": "object",
            "description": "Reason for an error response (RFC 9457)",
            "required": ["type", "title", "status", "code", "detail"],
            "properties": {
                "type": text("Always `about:blank`: `code` identifies the problem"),
                "title": text("Meaning of the status"),
                "status": { "type": "integer", "minimum": 400, "maximum": 599, "description": "HTTP status" },
                "code": text("Stable code of the problem, for programs"),
                "detail": text("Description of the problem, for people"),
                "request_id": text("Id of the request in the server's log"),
                "errors": {
                    "type": "array",
                    "description": "Faults of fields",
                    "items": {
                        "type": "object",
                        "required": ["field", "detail"],
                        "properties": {
                            "field": text("Name of the field"),
                            "detail": text("Description of the fault, worded to follow the name of the field"),
                        },
                    },
                },
            },
        },
        "OauthError": {
            "title": "OauthError",
            "type": "object",
            "description": "Reason for an error response (RFC 6749, 5.2)",
            "required": ["error"],
            "properties": {
                "error": text("Stable code of the problem, for programs"),
                "error_description": text("Description of the problem, for people"),
                "code": text("The `code` that other operations use for this problem"),
                "request_id": text("Id of the request in the server's log"),
            },
        },
    });
    schemas.as_object().cloned().unwrap_or_default()
}

/// Returns the security schemes besides that of the guards.
pub(super) fn security_schemes() -> Map<String, Value> {
    let schemes = json!({
        "accessToken": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The access token, however the client obtained it",
        },
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
                named `latchet_rt` on plain http on localhost",
        },
        "serviceSecret": {
            "type": "http",
            "scheme": "basic",
            "description": "Name and secret of a service, from `[token_services.NAME]` in the settings",
        },
        "csrfToken": {
            "type": "apiKey",
            "in": "header",
            "name": "X-CSRF-Token",
            "description": "Together with the refresh cookie: the value of the cookie `__Host-latchet_csrf`, or `csrf_token` of the response",
        },
    });
    schemes.as_object().cloned().unwrap_or_default()
}
