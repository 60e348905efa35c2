//! Which refusals each operation answers: the one table, and what the document makes of it.

use std::collections::BTreeMap;
use std::time::Duration;

use poem::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::error::{AuthError, FieldError, Problem};
use crate::guard::SECURITY_SCHEME;
use crate::server::envelope::oauth;
use crate::server::error::ApiError;

const REQUEST_ID: &str = "5Jx0yVqvZ6h1mE4nUe2k9A";

/// What every guard may say.
const GUARD: &[&str] = &[
    "missing_token",
    "malformed_token",
    "invalid_token",
    "token_expired",
    "wrong_token_type",
    "token_revoked",
];
/// What the guard of a role says too.
const ROLE: &[&str] = &["insufficient_scope"];
/// What readers of a refresh token say.
const REFRESH: &[&str] = &[
    "missing_token",
    "malformed_token",
    "invalid_token",
    "wrong_token_type",
    "csrf_failed",
];
/// What every reader of a body may say.
const BODY: &[&str] = &["validation_failed", "unsupported_media_type"];
/// What any request may be told, whatever it asks for: a body is read before its route is.
const ANY: &[&str] = &[
    "payload_too_large",
    "request_timeout",
    "internal",
    "unavailable",
];
/// What every check of a password may say.
const PASSWORD: &[&str] = &["invalid_credentials", "too_many_requests"];

/// The table: operations, and the codes of their refusals.
const OPERATIONS: &[(&str, &[&[&str]])] = &[
    ("login", &[BODY, PASSWORD, ANY]),
    (
        "refreshSession",
        &[
            BODY,
            REFRESH,
            &["refresh_reused", "session_expired", "session_revoked"],
            ANY,
        ],
    ),
    ("logout", &[BODY, REFRESH, &["token_expired"], ANY]),
    ("logoutEverywhere", &[GUARD, &["validation_failed"], ANY]),
    (
        "reauthenticate",
        &[GUARD, BODY, PASSWORD, &["session_revoked"], ANY],
    ),
    (
        "register",
        &[BODY, &["weak_password", "not_found", "conflict"], ANY],
    ),
    (
        "setUp",
        &[BODY, &["weak_password", "not_found", "conflict"], ANY],
    ),
    ("me", &[GUARD, &["validation_failed", "not_found"], ANY]),
    (
        "changePassword",
        &[GUARD, BODY, PASSWORD, &["weak_password", "conflict"], ANY],
    ),
    ("listMySessions", &[GUARD, &["validation_failed"], ANY]),
    (
        "revokeMySession",
        &[GUARD, &["validation_failed", "not_found"], ANY],
    ),
    ("listUsers", &[GUARD, ROLE, &["validation_failed"], ANY]),
    (
        "createUser",
        &[GUARD, ROLE, BODY, &["weak_password", "conflict"], ANY],
    ),
    (
        "readUser",
        &[GUARD, ROLE, &["validation_failed", "not_found"], ANY],
    ),
    (
        "disableUser",
        &[GUARD, ROLE, &["validation_failed", "not_found"], ANY],
    ),
    (
        "enableUser",
        &[GUARD, ROLE, &["validation_failed", "not_found"], ANY],
    ),
    ("setUserRoles", &[GUARD, ROLE, BODY, &["not_found"], ANY]),
    (
        "endUserSessions",
        &[GUARD, ROLE, &["validation_failed", "not_found"], ANY],
    ),
    (
        "issueToken",
        &[
            BODY,
            PASSWORD,
            &[
                "unsupported_grant_type",
                "invalid_scope",
                "malformed_token",
                "invalid_token",
                "wrong_token_type",
                "refresh_reused",
                "session_expired",
                "session_revoked",
            ],
            ANY,
        ],
    ),
    ("revokeToken", &[BODY, ANY]),
    ("introspectToken", &[GUARD, ROLE, BODY, ANY]),
    ("jwks", &[ANY]),
    ("authorizationServerMetadata", &[ANY]),
    ("livez", &[ANY]),
    ("readyz", &[ANY]),
];

/// Operations whose refusals have the form of RFC 6749, and their paths.
const OAUTH: &[(&str, &str)] = &[
    ("issueToken", "/oauth/token"),
    ("revokeToken", "/oauth/revoke"),
    ("introspectToken", "/oauth/introspect"),
];

/// Returns the refusals of an operation as responses by status.
pub(super) fn responses(operation: &str) -> Vec<(String, Value)> {
    let oauth = oauth_path(operation).is_some();
    let responses = by_status(operation).into_iter().map(|(status, names)| {
        let response = match names.as_slice() {
            [(name, _)] if !oauth => json!({ "$ref": format!("#/components/responses/{name}") }),
            names if oauth => with_headers(oauth_response(names), status),
            names => with_headers(problem_response(names), status),
        };
        (status.to_string(), response)
    });
    responses.collect()
}

/// Returns the responses that operations refer to: those with one reason.
pub(super) fn shared_responses() -> BTreeMap<&'static str, Value> {
    let mut shared = BTreeMap::new();
    for (operation, _) in OPERATIONS.iter().filter(|(id, _)| oauth_path(id).is_none()) {
        for (status, names) in by_status(operation) {
            if let [(name, _)] = names.as_slice() {
                shared.insert(*name, with_headers(problem_response(&names), status));
            }
        }
    }
    shared
}

/// A reason: its name on the wire, and its code elsewhere.
type Name = (&'static str, &'static str);

fn by_status(operation: &str) -> BTreeMap<u16, Vec<Name>> {
    let path = oauth_path(operation);
    let mut by_status = BTreeMap::<u16, Vec<Name>>::new();
    for code in codes(operation) {
        let problem = sample(code);
        let (status, name) = match path {
            Some(path) => oauth::form(&problem, path),
            None => (problem.status, code),
        };
        let names = by_status.entry(status.as_u16()).or_default();
        if names.iter().all(|(known, _)| *known != name) {
            names.push((name, code));
        }
    }
    by_status
}

fn oauth_path(operation: &str) -> Option<&'static str> {
    OAUTH
        .iter()
        .find(|(id, _)| *id == operation)
        .map(|(_, path)| *path)
}

fn codes(operation: &str) -> impl Iterator<Item = &'static str> {
    let row = OPERATIONS.iter().find(|(id, _)| *id == operation);
    row.map(|(_, groups)| *groups)
        .unwrap_or_default()
        .iter()
        .copied()
        .flatten()
        .copied()
}

fn problem_response(names: &[Name]) -> Value {
    let examples = names.iter().map(|(name, _)| {
        (
            (*name).to_owned(),
            json!({ "$ref": format!("#/components/examples/{name}") }),
        )
    });
    json!({
        "description": listed(names),
        "content": { "application/problem+json": {
            "schema": { "$ref": "#/components/schemas/Problem" },
            "examples": examples.collect::<Map<_, _>>(),
        }},
    })
}

fn oauth_response(names: &[Name]) -> Value {
    let examples = names.iter().map(|(name, code)| {
        let detail = sample(code).detail;
        let body = json!({
            "error": name, "error_description": detail, "code": code, "request_id": REQUEST_ID,
        });
        (
            (*name).to_owned(),
            json!({ "summary": detail, "value": body }),
        )
    });
    json!({
        "description": listed(names),
        "content": { "application/json": {
            "schema": { "$ref": "#/components/schemas/OauthError" },
            "examples": examples.collect::<Map<_, _>>(),
        }},
    })
}

fn listed(names: &[Name]) -> String {
    names
        .iter()
        .map(|(name, _)| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn with_headers(mut response: Value, status: u16) -> Value {
    let name = match status {
        401 => "WWW-Authenticate",
        429 | 503 => "Retry-After",
        _ => return response,
    };
    response["headers"] = json!({ name: { "$ref": format!("#/components/headers/{name}") } });
    response
}

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

/// Returns one example of each refusal, as the server writes it.
pub(super) fn examples() -> Map<String, Value> {
    let mut examples = BTreeMap::new();
    let problems = OPERATIONS.iter().filter(|(id, _)| oauth_path(id).is_none());
    for code in problems.flat_map(|(id, _)| codes(id)) {
        let problem = sample(code);
        let mut value = json!({
            "type": "about:blank",
            "title": problem.title(),
            "status": problem.status.as_u16(),
            "code": code,
            "detail": problem.detail,
            "request_id": REQUEST_ID,
        });
        if !problem.errors.is_empty() {
            value["errors"] = json!(problem.errors);
        }
        examples.insert(
            code.to_owned(),
            json!({ "summary": problem.detail, "value": value }),
        );
    }
    examples.into_iter().collect()
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
        "csrfToken": {
            "type": "apiKey",
            "in": "header",
            "name": "X-CSRF-Token",
            "description": "Beside the cookie: the value of the cookie `__Host-latchet_csrf`, or `csrf_token` of the answer",
        },
    });
    schemes.as_object().cloned().unwrap_or_default()
}

/// Returns a refusal as the server makes it.
fn sample(code: &str) -> Problem {
    let auth = |error: AuthError| error.problem();
    match code {
        "missing_token" => auth(AuthError::MissingToken),
        "malformed_token" => auth(AuthError::MalformedToken("it is not a JWT")),
        "invalid_token" => auth(AuthError::InvalidToken("the signature does not match")),
        "token_expired" => auth(AuthError::TokenExpired),
        "wrong_token_type" => auth(AuthError::WrongTokenType),
        "token_revoked" => auth(AuthError::TokenRevoked),
        "insufficient_scope" => auth(AuthError::InsufficientScope),
        "csrf_failed" => auth(AuthError::CsrfFailed("the header X-CSRF-Token is missing")),
        "invalid_credentials" => ApiError::InvalidCredentials.problem(),
        "refresh_reused" => ApiError::RefreshReused.problem(),
        "session_expired" => ApiError::SessionExpired.problem(),
        "session_revoked" => ApiError::SessionRevoked.problem(),
        "weak_password" => {
            ApiError::WeakPassword("is one of the 10,000 most common".into()).problem()
        }
        "conflict" => ApiError::Conflict("this user name is taken").problem(),
        "not_found" => ApiError::NotFound("no such user").problem(),
        "validation_failed" => ApiError::InvalidInput {
            detail: "`username` is required".into(),
            errors: vec![FieldError {
                field: "username".into(),
                detail: "is required".into(),
            }],
        }
        .problem(),
        "unsupported_grant_type" => ApiError::UnsupportedGrantType.problem(),
        "invalid_scope" => ApiError::InvalidScope.problem(),
        "too_many_requests" => ApiError::TooManyRequests {
            retry_after: Duration::from_secs(42),
        }
        .problem(),
        "unavailable" => ApiError::unavailable("").problem(),
        "request_timeout" => Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            "the body did not arrive in time",
        ),
        "payload_too_large" => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "payload_too_large",
            "the body is too large",
        ),
        "unsupported_media_type" => Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "this `Content-Type` is not understood here",
        ),
        _ => ApiError::internal("").problem(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_example_carries_its_own_code() {
        for code in OPERATIONS.iter().flat_map(|(id, _)| codes(id)) {
            if !["unsupported_grant_type", "invalid_scope"].contains(&code) {
                assert_eq!(sample(code).code, code);
            }
        }
    }
}
