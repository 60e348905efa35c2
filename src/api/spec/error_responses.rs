//! Error responses of each operation, in the form of the API document.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::error_samples::error_sample;
use super::operation_codes::OPERATION_CODES;
use crate::middleware::oauth_errors;
use crate::problem_codes::meaning;

const EXAMPLE_REQUEST_ID: &str = "5Jx0yVqvZ6h1mE4nUe2k9A";

/// Operations whose errors have the format of RFC 6749, and their paths.
const OAUTH_OPERATIONS: &[(&str, &str)] = &[
    ("issueToken", "/oauth/token"),
    ("revokeToken", "/oauth/revoke"),
    ("introspectToken", "/oauth/introspect"),
];

/// Returns the error responses of an operation by status.
pub(super) fn responses(operation: &str) -> Vec<(String, Value)> {
    let oauth = oauth_path(operation).is_some();
    let responses = errors_by_status(operation)
        .into_iter()
        .map(|(status, names)| {
            let response = match names.as_slice() {
                [(name, _)] if !oauth => {
                    json!({ "$ref": format!("#/components/responses/{name}") })
                }
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
    for (operation, _) in OPERATION_CODES
        .iter()
        .filter(|(id, _)| oauth_path(id).is_none())
    {
        for (status, names) in errors_by_status(operation) {
            if let [(name, _)] = names.as_slice() {
                shared.insert(*name, with_headers(problem_response(&names), status));
            }
        }
    }
    shared
}

/// An error: its name in the response, and its code in the table.
type ErrorName = (&'static str, &'static str);

fn errors_by_status(operation: &str) -> BTreeMap<u16, Vec<ErrorName>> {
    let path = oauth_path(operation);
    let mut errors_by_status = BTreeMap::<u16, Vec<ErrorName>>::new();
    for code in codes(operation) {
        let problem = error_sample(code);
        let (status, name) = match path {
            Some(path) => oauth_errors::oauth_status_and_error(&problem, path),
            None => (problem.status, code),
        };
        let names = errors_by_status.entry(status.as_u16()).or_default();
        if names.iter().all(|(known, _)| *known != name) {
            names.push((name, code));
        }
    }
    errors_by_status
}

fn oauth_path(operation: &str) -> Option<&'static str> {
    OAUTH_OPERATIONS
        .iter()
        .find(|(id, _)| *id == operation)
        .map(|(_, path)| *path)
}

fn codes(operation: &str) -> impl Iterator<Item = &'static str> {
    let row = OPERATION_CODES.iter().find(|(id, _)| *id == operation);
    row.map(|(_, groups)| *groups)
        .unwrap_or_default()
        .iter()
        .copied()
        .flatten()
        .copied()
}

fn problem_response(names: &[ErrorName]) -> Value {
    let examples = names.iter().map(|(name, _)| {
        (
            (*name).to_owned(),
            json!({ "$ref": format!("#/components/examples/{name}") }),
        )
    });
    json!({
        "description": joined_names(names),
        "content": { "application/problem+json": {
            "schema": { "$ref": "#/components/schemas/Problem" },
            "examples": examples.collect::<Map<_, _>>(),
        }},
    })
}

fn oauth_response(names: &[ErrorName]) -> Value {
    let examples = names.iter().map(|(name, code)| {
        let problem = error_sample(code);
        let detail = problem.detail;
        let body = json!({
            "error": name, "error_description": detail, "code": problem.code, "request_id": EXAMPLE_REQUEST_ID,
        });
        (
            (*name).to_owned(),
            json!({ "summary": detail, "value": body }),
        )
    });
    json!({
        "description": joined_names(names),
        "content": { "application/json": {
            "schema": { "$ref": "#/components/schemas/OauthError" },
            "examples": examples.collect::<Map<_, _>>(),
        }},
    })
}

fn joined_names(names: &[ErrorName]) -> String {
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
    let problems = OPERATION_CODES
        .iter()
        .filter(|(id, _)| oauth_path(id).is_none());
    for code in problems.flat_map(|(id, _)| codes(id)) {
        let problem = error_sample(code);
        let mut value = json!({
            "type": "about:blank",
            "title": problem.title(),
            "status": problem.status.as_u16(),
            "code": code,
            "detail": problem.detail,
            "request_id": EXAMPLE_REQUEST_ID,
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
    fn each_error_sample_has_its_code() {
        for code in OPERATION_CODES.iter().flat_map(|(id, _)| codes(id)) {
            let shared = match code {
                // Outside `/oauth/` a scope is a field like any other.
                "invalid_scope" => "validation_failed",
                "client_authentication" => "invalid_client",
                "another_client" => "invalid_grant",
                code => code,
            };
            assert_eq!(error_sample(code).code, shared);
        }
    }

    #[test]
    fn the_table_has_every_operation_and_no_other() {
        let document = crate::api::spec::document();
        let mut documented: Vec<&str> = document
            .paths
            .values()
            .filter_map(Value::as_object)
            .flat_map(Map::values)
            .filter_map(|operation| operation["operationId"].as_str())
            .collect();
        let mut in_table: Vec<&str> = OPERATION_CODES.iter().map(|(id, _)| *id).collect();
        documented.sort_unstable();
        in_table.sort_unstable();

        assert_eq!(documented, in_table);
    }
}
