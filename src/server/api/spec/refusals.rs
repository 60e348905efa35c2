//! Error responses of each operation: the table, and their form in the document.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::samples::sample;
use crate::server::envelope::oauth;
use crate::server::problem_codes::meaning;

const REQUEST_ID: &str = "5Jx0yVqvZ6h1mE4nUe2k9A";

/// Codes of every guard.
const GUARD: &[&str] = &[
    "missing_token",
    "malformed_token",
    "invalid_token",
    "token_expired",
    "wrong_token_type",
    "token_revoked",
];
/// Further codes of guards that require a role or a first-party token.
const ROLE: &[&str] = &["insufficient_scope"];
/// Further codes of guards that require a fresh token.
const FRESH: &[&str] = &["fresh_token_required"];
/// Codes of operations that read a refresh token.
const REFRESH: &[&str] = &[
    "missing_token",
    "malformed_token",
    "invalid_token",
    "wrong_token_type",
    "csrf_failed",
];
/// Codes of every operation with a body.
const BODY: &[&str] = &[
    "validation_failed",
    "unsupported_media_type",
    "payload_too_large",
    "request_timeout",
];
/// Codes of every operation.
const ANY: &[&str] = &["internal", "unavailable"];
/// Codes of every operation that verifies a password.
const PASSWORD: &[&str] = &["invalid_credentials", "too_many_requests"];

/// The table of operations and their error codes.
const OPERATIONS: &[(&str, &[&[&str]])] = &[
    ("login", &[BODY, PASSWORD, &["csrf_failed"], ANY]),
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
    (
        "verify",
        &[GUARD, ROLE, &["unknown_user", "validation_failed"], ANY],
    ),
    (
        "logoutEverywhere",
        &[GUARD, ROLE, &["validation_failed"], ANY],
    ),
    (
        "reauthenticate",
        &[GUARD, ROLE, BODY, PASSWORD, &["session_revoked"], ANY],
    ),
    (
        "register",
        &[
            BODY,
            &[
                "weak_password",
                "not_found",
                "conflict",
                "too_many_requests",
            ],
            ANY,
        ],
    ),
    (
        "setUp",
        &[BODY, &["weak_password", "not_found", "conflict"], ANY],
    ),
    (
        "me",
        &[GUARD, ROLE, &["validation_failed", "not_found"], ANY],
    ),
    (
        "changePassword",
        &[
            GUARD,
            ROLE,
            BODY,
            PASSWORD,
            &["weak_password", "conflict", "session_expired"],
            ANY,
        ],
    ),
    (
        "listMySessions",
        &[GUARD, ROLE, &["validation_failed"], ANY],
    ),
    (
        "revokeMySession",
        &[GUARD, ROLE, &["validation_failed", "not_found"], ANY],
    ),
    ("listUsers", &[GUARD, ROLE, &["validation_failed"], ANY]),
    (
        "createUser",
        &[
            GUARD,
            ROLE,
            FRESH,
            BODY,
            &["weak_password", "conflict"],
            ANY,
        ],
    ),
    (
        "readUser",
        &[GUARD, ROLE, &["validation_failed", "not_found"], ANY],
    ),
    (
        "disableUser",
        &[
            GUARD,
            ROLE,
            FRESH,
            &["validation_failed", "not_found", "conflict"],
            ANY,
        ],
    ),
    (
        "enableUser",
        &[GUARD, ROLE, FRESH, &["validation_failed", "not_found"], ANY],
    ),
    (
        "setUserRoles",
        &[GUARD, ROLE, FRESH, BODY, &["not_found", "conflict"], ANY],
    ),
    (
        "makeResetLink",
        &[
            GUARD,
            ROLE,
            FRESH,
            &["validation_failed", "not_found", "conflict"],
            ANY,
        ],
    ),
    (
        "withdrawResetLink",
        &[GUARD, ROLE, &["validation_failed", "not_found"], ANY],
    ),
    (
        "listResetLinks",
        &[GUARD, ROLE, &["validation_failed"], ANY],
    ),
    ("readResetLinkUser", &[BODY, &["not_found"], ANY]),
    (
        "resetPassword",
        &[BODY, &["weak_password", "not_found"], ANY],
    ),
    (
        "listUserSessions",
        &[GUARD, ROLE, &["validation_failed", "not_found"], ANY],
    ),
    (
        "endUserSessions",
        &[GUARD, ROLE, &["validation_failed", "not_found"], ANY],
    ),
    ("listSessions", &[GUARD, ROLE, &["validation_failed"], ANY]),
    (
        "endSession",
        &[GUARD, ROLE, &["validation_failed", "not_found"], ANY],
    ),
    ("listKeys", &[GUARD, ROLE, &["validation_failed"], ANY]),
    ("listEvents", &[GUARD, ROLE, &["validation_failed"], ANY]),
    (
        "rotateKeys",
        &[GUARD, ROLE, FRESH, BODY, &["conflict"], ANY],
    ),
    (
        "issueToken",
        &[
            BODY,
            PASSWORD,
            &[
                "client_authentication",
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
    (
        "revokeToken",
        &[BODY, &["client_authentication", "another_client"], ANY],
    ),
    (
        "introspectToken",
        &[GUARD, ROLE, BODY, &["client_authentication"], ANY],
    ),
    (
        "makePartyToken",
        &[
            GUARD,
            ROLE,
            BODY,
            &[
                "invalid_client",
                "too_many_requests",
                "forbidden",
                "not_found",
            ],
            ANY,
        ],
    ),
    ("jwks", &[ANY]),
    ("authorizationServerMetadata", &[ANY]),
    ("openidConfiguration", &[ANY]),
    ("livez", &[ANY]),
    ("readyz", &[ANY]),
];

/// Operations whose errors have the format of RFC 6749, and their paths.
const OAUTH: &[(&str, &str)] = &[
    ("issueToken", "/oauth/token"),
    ("revokeToken", "/oauth/revoke"),
    ("introspectToken", "/oauth/introspect"),
];

/// Returns the error responses of an operation by status.
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

/// Returns the responses that operations refer to: those with one code.
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

/// An error: its name in the response, and its code in the table.
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
        let problem = sample(code);
        let detail = problem.detail;
        let body = json!({
            "error": name, "error_description": detail, "code": problem.code, "request_id": REQUEST_ID,
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

/// Returns one example of each error, as the server sends it.
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
            json!({ "summary": problem.detail, "description": meaning(code), "value": value }),
        );
    }
    examples.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sample_has_the_code_that_it_stands_for() {
        for code in OPERATIONS.iter().flat_map(|(id, _)| codes(id)) {
            let shared = match code {
                // Outside `/oauth/` a scope is a field like any other.
                "invalid_scope" => "validation_failed",
                "client_authentication" => "invalid_client",
                "another_client" => "invalid_grant",
                code => code,
            };
            assert_eq!(sample(code).code, shared);
        }
    }

    #[test]
    fn the_table_has_every_operation_and_no_other() {
        let document = crate::server::api::spec::document();
        let mut documented: Vec<&str> = document
            .paths
            .values()
            .filter_map(Value::as_object)
            .flat_map(Map::values)
            .filter_map(|operation| operation["operationId"].as_str())
            .collect();
        let mut listed: Vec<&str> = OPERATIONS.iter().map(|(id, _)| *id).collect();
        documented.sort_unstable();
        listed.sort_unstable();

        assert_eq!(documented, listed);
    }
}
