//! Responses of guards in the OpenAPI document: poem-openapi lets an argument declare a security scheme,
//! but not the responses to a request without a valid token.

use serde_json::{Map, Value, json};

use super::SECURITY_SCHEME;

/// Adds the responses of guards to the OpenAPI document of a service: 401, 403 and 503 on every guarded
/// operation, with the body and headers of a [`Problem`](crate::error::Problem). A response that an
/// operation documents itself is kept.
///
/// ```
/// use latchet_guard::{JwtRequired, document_refusals};
/// use poem_openapi::{OpenApi, OpenApiService, payload::PlainText};
///
/// struct Api;
/// #[OpenApi]
/// impl Api {
///     #[oai(path = "/me", method = "get")]
///     async fn me(&self, jwt: JwtRequired) -> PlainText<String> {
///         PlainText(jwt.claims.sub.clone())
///     }
/// }
///
/// let spec = OpenApiService::new(Api, "notes", "1").spec();
/// let documented = document_refusals(&spec)?;
/// assert!(documented.contains("/components/responses/TokenRefused"));
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// # Errors
/// When `spec` is not a JSON object.
pub fn document_refusals(spec: &str) -> Result<String, serde_json::Error> {
    let mut document: Map<String, Value> = serde_json::from_str(spec)?;
    let operations = document
        .get_mut("paths")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flat_map(Map::values_mut)
        .filter_map(Value::as_object_mut)
        .flat_map(Map::values_mut)
        .filter(|operation| is_guarded(operation));
    for operation in operations {
        for (status, name) in [
            ("401", "TokenRefused"),
            ("403", "NotAllowed"),
            ("503", "TryAgain"),
        ] {
            let response = &mut operation["responses"][status];
            if response.is_null() {
                *response = json!({"$ref": format!("#/components/responses/{name}")});
            }
        }
    }
    let components = document.entry("components").or_insert_with(|| json!({}));
    for (name, response) in refusal_responses() {
        components["responses"][name] = response;
    }
    components["schemas"]["Problem"] = problem_schema();
    serde_json::to_string_pretty(&document)
}

fn is_guarded(operation: &Value) -> bool {
    let schemes = operation.get("security").and_then(Value::as_array);
    schemes
        .into_iter()
        .flatten()
        .any(|scheme| scheme.get(SECURITY_SCHEME).is_some())
}

fn refusal_responses() -> [(&'static str, Value); 3] {
    let text = json!({"type": "string"});
    let response = |description: &str, header: &str, schema: &Value| {
        json!({
            "description": description,
            "headers": {(header): {"schema": schema}},
            "content": {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}},
            },
        })
    };
    [
        (
            "TokenRefused",
            response(
                "No token was sent, or it is not accepted; `code` has the reason.",
                "WWW-Authenticate",
                &text,
            ),
        ),
        (
            "NotAllowed",
            response(
                "The token is valid but not sufficient here: a role or scope is missing, or the CSRF \
                 check failed.",
                "WWW-Authenticate",
                &text,
            ),
        ),
        (
            "TryAgain",
            response(
                "The check could not be completed; the same request may succeed later.",
                "Retry-After",
                &json!({"type": "integer"}),
            ),
        ),
    ]
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "description": "Error (RFC 9457).",
        "required": ["type", "title", "status", "code", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "code": {"type": "string", "description": "Stable name of the error; switch on this."},
            "detail": {"type": "string", "description": "For a person."},
            "request_id": {"type": "string"},
        },
    })
}
