//! Error responses of each operation, in the form of the API document.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::operation_codes;
use super::operation_spec::OperationSpec;
use crate::middleware::oauth_errors;
use crate::problem_codes::{error_sample, meaning};

const EXAMPLE_REQUEST_ID: &str = "5Jx0yVqvZ6h1mE4nUe2k9A";

/// The errors of one operation.
#[derive(Debug)]
pub(super) struct OperationErrors {
    codes: Vec<&'static str>,
    /// Path of an operation whose errors have the format of RFC 6749.
    oauth_path: Option<&'static str>,
}

/// An error: its name in the response, and its code.
type ErrorName = (&'static str, &'static str);

impl OperationErrors {
    /// Returns the errors of an operation, which is given as poem-openapi describes it.
    pub(super) fn new(spec: &OperationSpec, operation: &Value) -> Self {
        Self {
            codes: operation_codes::codes(spec, operation),
            oauth_path: spec.oauth_path,
        }
    }

    /// Returns the error responses by status.
    pub(super) fn responses(&self) -> Vec<(String, Value)> {
        let oauth = self.oauth_path.is_some();
        let responses = self.by_status().into_iter().map(|(status, names)| {
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

    fn by_status(&self) -> BTreeMap<u16, Vec<ErrorName>> {
        let mut errors_by_status = BTreeMap::<u16, Vec<ErrorName>>::new();
        for code in self.codes.iter().copied() {
            let problem = error_sample(code);
            let (status, name) = match self.oauth_path {
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
}

/// Returns the responses that operations refer to: those with one code.
pub(super) fn shared_responses(errors: &[OperationErrors]) -> BTreeMap<&'static str, Value> {
    let mut shared = BTreeMap::new();
    for errors in problems(errors) {
        for (status, names) in errors.by_status() {
            if let [(name, _)] = names.as_slice() {
                shared.insert(*name, with_headers(problem_response(&names), status));
            }
        }
    }
    shared
}

/// Returns the operations whose errors are problems (RFC 9457).
fn problems(errors: &[OperationErrors]) -> impl Iterator<Item = &OperationErrors> {
    errors.iter().filter(|errors| errors.oauth_path.is_none())
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
pub(super) fn examples(errors: &[OperationErrors]) -> Map<String, Value> {
    let mut examples = BTreeMap::new();
    for code in problems(errors).flat_map(|errors| errors.codes.iter().copied()) {
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
    use super::super::{complete_operations, operation_specs};
    use super::*;

    #[test]
    fn each_error_sample_has_its_code() {
        let (_, errors) = complete_operations();
        for code in errors
            .iter()
            .flat_map(|errors| errors.codes.iter().copied())
        {
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
    fn every_operation_and_no_other_has_a_specification() {
        let (paths, _) = complete_operations();
        let mut documented: Vec<&str> = paths
            .values()
            .filter_map(Value::as_object)
            .flat_map(Map::values)
            .filter_map(|operation| operation["operationId"].as_str())
            .collect();
        let mut specified: Vec<&str> = operation_specs().iter().map(|spec| spec.id).collect();
        documented.sort_unstable();
        specified.sort_unstable();

        assert_eq!(documented, specified);
    }
}
