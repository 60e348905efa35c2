//! The OpenAPI document: the output of poem-openapi, corrected and completed.
//!
//! This module adds the error responses of an operation, its examples, and the security of operations that
//! accept a token in several places. The file of each handler declares these in an `OperationSpec`.
//! `openapi.yaml` in the repository is this document, printed by `latchet openapi`; a test fails when it is
//! stale.

use latchet_guard::SECURITY_SCHEME;
use poem_openapi::OpenApi;
use poem_openapi::registry::Registry;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Api, operation_specs};
use error_responses::OperationErrors;

mod components;
mod error_responses;
pub(super) mod examples;
mod operation_codes;
mod operation_spec;

pub(super) use operation_codes::{FRESH_CODE, GUARD_CODES, PASSWORD_CODES, REFRESH_CODES};
pub(super) use operation_spec::OperationSpec;

/// The whole document. The fields have the order of the file.
#[derive(Debug, Serialize)]
pub struct ApiDocument {
    openapi: &'static str,
    info: Value,
    servers: Value,
    security: Value,
    tags: Value,
    paths: Map<String, Value>,
    components: Value,
}

impl ApiDocument {
    /// Returns the document as JSON.
    pub fn json(&self) -> String {
        // Maps with text keys can always be written as JSON and YAML.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Returns the document as YAML.
    pub fn yaml(&self) -> String {
        serde_yaml_ng::to_string(self).unwrap_or_default()
    }
}

/// Returns the document of this version.
pub fn document() -> ApiDocument {
    let mut registry = Registry::new();
    Api::register(&mut registry);
    let (paths, errors) = complete_operations();
    ApiDocument {
        // Common client generators refuse 3.1.
        openapi: "3.0.3",
        info: info(),
        servers: json!([{ "url": "/", "description": "The server that this document comes from" }]),
        security: with_bearer(json!([{ (SECURITY_SCHEME): [] }])),
        tags: tags(&registry),
        components: all_components(&registry, &paths, &errors),
        paths,
    }
}

/// Returns the completed operations by path, and the errors of each.
fn complete_operations() -> (Map<String, Value>, Vec<OperationErrors>) {
    let specs = operation_specs();
    let mut paths = Map::new();
    let mut errors = Vec::new();
    for path in Api::meta().into_iter().flat_map(|api| api.paths) {
        let mut operations = value(&path);
        for operation in members(&mut operations).values_mut() {
            let spec = specs
                .iter()
                .find(|spec| operation["operationId"] == spec.id);
            errors.extend(spec.map(|spec| complete_operation(operation, spec)));
        }
        paths.insert(path.path, operations);
    }
    (paths, errors)
}

/// Returns the groups in the order in which pages list them.
fn tags(registry: &Registry) -> Value {
    const ORDER: [&str; 7] = [
        "Sessions",
        "Account",
        "Users",
        "Administration",
        "OAuth",
        "Tokens",
        "Server",
    ];
    let mut tags: Vec<_> = registry.tags.iter().collect();
    tags.sort_by_key(|tag| ORDER.iter().position(|name| *name == tag.name));
    value(&tags)
}

fn info() -> Value {
    json!({
        "title": "Latchet",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Log in, refresh, log out. A refresh token has exactly one successor, so legitimate \
            users are never logged out by a retry; a logout takes effect with the next request, on every \
            replica.\n\n\
            Errors are `application/problem+json` (RFC 9457) with a stable `code`; those of `/oauth/*` have \
            the format of RFC 6749. Responses with 429 or 503 have the time to retry in `Retry-After`.",
        "contact": { "name": "Latchet", "url": env!("CARGO_PKG_REPOSITORY") },
        "license": { "name": "MIT OR Apache-2.0", "url": concat!(env!("CARGO_PKG_REPOSITORY"), "#licence") },
    })
}

/// Completes one operation: security, media types, success and error responses, examples.
fn complete_operation(operation: &mut Value, spec: &OperationSpec) -> OperationErrors {
    let errors = OperationErrors::new(spec, operation);
    let operation = members(operation);
    let parameters = operation
        .get_mut("parameters")
        .and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        remove_defaults(parameter);
        if parameter["name"] == "id" {
            parameter["schema"] = json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{22}$" });
        }
    }
    let of_guard = operation.remove("security");
    let security = spec.security.clone().or(of_guard);
    let security = security.map_or_else(|| json!([]), with_bearer);
    operation.insert("security".to_owned(), security);
    if let Some(body) = operation.get_mut("requestBody") {
        complete_media_types(body, &spec.request_examples);
    }
    let responses = operation.entry("responses").or_insert_with(|| json!({}));
    let responses = members(responses);
    for (status, response) in responses.iter_mut() {
        complete_success(status, response, &spec.response_examples(status));
    }
    for (status, response) in errors.responses() {
        responses.entry(status).or_insert(response);
    }
    errors
}

/// Returns the security with the bearer token `accessToken` after the same token as one of OAuth, which some
/// client generators send without `Bearer`.
fn with_bearer(mut security: Value) -> Value {
    let alternatives = security.as_array_mut();
    let is_oauth = |scheme: &Value| scheme.get(SECURITY_SCHEME).is_some();
    if let Some(alternatives) = alternatives
        && let Some(place) = alternatives.iter().position(is_oauth)
    {
        alternatives.insert(place + 1, json!({ "accessToken": [] }));
    }
    security
}

fn complete_success(status: &str, response: &mut Value, example: &Map<String, Value>) {
    if response["description"] == "" {
        let text = if status == "200" {
            "Success"
        } else {
            "See the body"
        };
        response["description"] = text.into();
    }
    if let Some(headers) = response.get_mut("headers") {
        let named = std::mem::take(members(headers));
        for (name, mut header) in named {
            remove_defaults(&mut header);
            members(headers).insert(canonical_header_name(&name), header);
        }
    }
    complete_media_types(response, example);
}

/// Removes members that have their default value.
fn remove_defaults(described: &mut Value) {
    let described = members(described);
    described.retain(|name, value| name != "explode" && !(name == "deprecated" && *value == false));
}

/// Returns a header name in its usual case: poem-openapi writes it in capitals.
fn canonical_header_name(name: &str) -> String {
    match name {
        "ETAG" => "ETag".to_owned(),
        _ => name
            .split('-')
            .map(|word| word[..1].to_owned() + &word[1..].to_ascii_lowercase())
            .collect::<Vec<_>>()
            .join("-"),
    }
}

/// Removes the parameters of media types, and adds the examples.
fn complete_media_types(holder: &mut Value, examples: &Map<String, Value>) {
    let Some(content) = holder.get_mut("content") else {
        return;
    };
    let found = std::mem::take(members(content));
    for (name, mut media) in found {
        if !examples.is_empty() {
            media["examples"] = examples.clone().into();
        }
        let name = name.split(';').next().unwrap_or_default().to_owned();
        members(content).insert(name, media);
    }
}

fn all_components(
    registry: &Registry,
    paths: &Map<String, Value>,
    errors: &[OperationErrors],
) -> Value {
    let mut schemas = value(&registry.schemas);
    let schemas_by_name = members(&mut schemas);
    for name in request_body_schemas(paths) {
        if let Some(schema) = schemas_by_name.get_mut(&name) {
            schema["additionalProperties"] = false.into();
            remove_field_defaults(schema);
        }
    }
    for schema in schemas_by_name.values_mut() {
        let Some(properties) = schema.get_mut("properties") else {
            continue;
        };
        for (name, property) in members(properties) {
            keep_reference_only(property);
            add_format(name, property);
        }
    }
    schemas_by_name.extend(components::schemas());
    let mut security = value(&registry.security_schemes);
    for scheme in members(&mut security).values_mut() {
        // The flow is invalid without it, and poem-openapi omits it when it is empty.
        scheme["flows"]["password"]["scopes"] = json!({});
    }
    members(&mut security).extend(components::security_schemes());
    json!({
        "securitySchemes": security,
        "headers": components::headers(),
        "responses": error_responses::shared_responses(errors),
        "examples": error_responses::examples(errors),
        "schemas": schemas,
    })
}

/// Returns the schemas of JSON request bodies, which admit no unknown fields. Forms do (RFC 6749).
fn request_body_schemas(paths: &Map<String, Value>) -> Vec<String> {
    let operations = paths
        .values()
        .filter_map(Value::as_object)
        .flat_map(Map::values);
    operations
        .filter_map(|operation| {
            operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str()
        })
        .filter_map(|path| path.rsplit('/').next())
        .map(str::to_owned)
        .collect()
}

/// Removes the defaults from the schema of a body. The descriptions name them, and client generators make a
/// field with a default a required one.
fn remove_field_defaults(schema: &mut Value) {
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for property in properties.into_iter().flat_map(Map::values_mut) {
        members(property).remove("default");
    }
}

/// Removes everything but the reference from `allOf`. poem-openapi adds a description and a default, which
/// client generators treat as a second schema: some then omit the whole operation.
fn keep_reference_only(property: &mut Value) {
    if let Some(parts) = property.get_mut("allOf").and_then(Value::as_array_mut)
        && parts.iter().any(|part| part.get("$ref").is_some())
    {
        parts.retain(|part| part.get("$ref").is_some());
    }
}

/// Adds the format of a field that its Rust type does not express.
fn add_format(name: &str, property: &mut Value) {
    if name.ends_with("_at") || matches!(name, "at" | "signs_from" | "signs_until") {
        property["format"] = "date-time".into();
    }
    if property
        .get("format")
        .is_some_and(|format| format == "uint64")
    {
        property["format"] = "int64".into();
        property["minimum"] = 0.into();
    }
}

#[expect(
    clippy::expect_used,
    reason = "poem-openapi's own types, all of them JSON"
)]
fn value(part: &impl Serialize) -> Value {
    serde_json::to_value(part).expect("a part of the document is JSON")
}

#[expect(
    clippy::expect_used,
    reason = "these parts are objects by the standard"
)]
fn members(value: &mut Value) -> &mut Map<String, Value> {
    value
        .as_object_mut()
        .expect("this part of the document is an object")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(document: &ApiDocument) -> Vec<(String, Value)> {
        let schemas = document.components["schemas"].as_object().unwrap();
        let named = schemas.iter().flat_map(|(schema, value)| {
            let properties = value["properties"].as_object().into_iter().flatten();
            properties.map(move |(name, value)| (format!("{schema}.{name}"), value.clone()))
        });
        named.collect()
    }

    #[test]
    fn a_property_with_a_reference_has_only_a_description_beside_it() {
        let properties = properties(&document());

        let referring = properties
            .iter()
            .filter(|(_, value)| value.get("allOf").is_some());
        let mut count = 0;
        for (name, property) in referring {
            let parts = property["allOf"].as_array().unwrap();
            assert_eq!(parts.len(), 1, "{name}");
            assert!(parts[0]["$ref"].is_string(), "{name}");
            assert!(property["description"].is_string(), "{name}");
            count += 1;
        }
        assert!(count >= 9, "{count}");
    }

    #[test]
    fn no_field_of_a_request_body_has_a_default() {
        let document = document();
        let requested = request_body_schemas(&document.paths);

        assert!(requested.contains(&"LoginRequest".to_owned()));
        for (name, property) in properties(&document) {
            let schema = name.split('.').next().unwrap_or_default().to_owned();
            if requested.contains(&schema) {
                assert!(property.get("default").is_none(), "{name}");
            }
        }
    }

    #[test]
    fn every_operation_is_described() {
        let document = document();
        let operations = document
            .paths
            .values()
            .filter_map(Value::as_object)
            .flat_map(Map::values);
        for operation in operations {
            for part in ["operationId", "summary", "description", "tags", "security"] {
                assert!(operation.get(part).is_some(), "{part} of {operation}");
            }
            for (status, response) in operation["responses"].as_object().unwrap() {
                for media in response["content"]
                    .as_object()
                    .into_iter()
                    .flat_map(Map::values)
                {
                    assert!(media.get("examples").is_some(), "{status} of {operation}");
                }
            }
            if let Some(media) = operation.pointer("/requestBody/content") {
                let media = media.as_object().unwrap().values();
                assert!(
                    media
                        .into_iter()
                        .all(|media| media.get("examples").is_some()),
                    "{operation}"
                );
            }
        }
    }
}
