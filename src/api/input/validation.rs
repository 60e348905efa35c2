//! Validation of a body against its schema in the API document.

use std::sync::LazyLock;

use poem_openapi::OpenApi;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use serde_json::{Map, Value};

use crate::api::Api;
use latchet_guard::error::FieldError;

/// The schemas of the document, by name.
static SCHEMAS: LazyLock<Registry> = LazyLock::new(|| {
    let mut registry = Registry::new();
    Api::register(&mut registry);
    registry
});

/// Resolves a reference to a schema.
pub(super) fn resolve(schema: &MetaSchemaRef) -> Option<&MetaSchema> {
    match schema {
        MetaSchemaRef::Inline(schema) => Some(schema),
        MetaSchemaRef::Reference(name) => SCHEMAS.schemas.get(name),
    }
}

/// Returns a fault of a field.
pub(super) fn field_error(field: &str, detail: impl Into<String>) -> FieldError {
    FieldError {
        field: field.to_owned(),
        detail: detail.into(),
    }
}

/// Most faults of one body that the response lists: a body may have any number.
pub(super) const MAX_FIELD_ERRORS: usize = 20;

/// Faults of a body. Beyond [`MAX_FIELD_ERRORS`], faults are only counted.
#[derive(Debug, Default)]
pub(super) struct FieldErrors {
    errors: Vec<FieldError>,
    unlisted: usize,
}

impl FieldErrors {
    fn push(&mut self, error: FieldError) {
        if self.errors.len() < MAX_FIELD_ERRORS {
            self.errors.push(error);
        } else {
            self.unlisted += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// Returns the faults; the last one gives the number of those that are not listed.
    pub(super) fn into_errors(mut self) -> Vec<FieldError> {
        if self.unlisted > 0 {
            let unlisted = format!("has {} more faults", self.unlisted);
            self.errors.push(field_error("", unlisted));
        }
        self.errors
    }
}

/// Collects the faults of `value`, whose path in the body is `field`.
pub(super) fn validate_value(
    field: &str,
    value: &Value,
    schema: &MetaSchemaRef,
    errors: &mut FieldErrors,
) {
    // A default or a description beside a reference is written as `allOf`.
    let Some(schema) = resolve(schema) else {
        return;
    };
    for part in &schema.all_of {
        validate_value(field, value, part, errors);
    }
    match (schema.ty, value) {
        ("object", Value::Object(members)) => validate_members(field, members, schema, errors),
        ("array", Value::Array(items)) => validate_items(field, items, schema, errors),
        ("string", Value::String(text)) => {
            if let Some(detail) = string_error(text, schema) {
                errors.push(field_error(field, detail));
            }
        }
        ("integer", Value::Number(number)) if number.is_i64() || number.is_u64() => {}
        ("boolean", Value::Bool(_)) | ("", _) => {}
        (wanted, _) => {
            let article = if matches!(wanted, "object" | "array" | "integer") {
                "an"
            } else {
                "a"
            };
            errors.push(field_error(field, format!("must be {article} {wanted}")));
        }
    }
}

fn validate_members(
    field: &str,
    members: &Map<String, Value>,
    schema: &MetaSchema,
    errors: &mut FieldErrors,
) {
    let path = |name: &str| {
        if field.is_empty() {
            name.to_owned()
        } else {
            format!("{field}.{name}")
        }
    };
    for name in &schema.required {
        if !members.contains_key(*name) {
            errors.push(field_error(&path(name), "is required"));
        }
    }
    for (name, value) in members {
        match schema.properties.iter().find(|(known, _)| known == name) {
            Some((_, schema)) => validate_value(&path(name), value, schema, errors),
            None => errors.push(field_error(
                &path(&truncated_name(name)),
                "is not a field of this request",
            )),
        }
    }
}

fn validate_items(field: &str, items: &[Value], schema: &MetaSchema, errors: &mut FieldErrors) {
    if schema.max_items.is_some_and(|most| items.len() > most) {
        let most = schema.max_items.unwrap_or_default();
        return errors.push(field_error(field, format!("has more than {most} items")));
    }
    if schema.unique_items == Some(true) && (1..items.len()).any(|i| items[..i].contains(&items[i]))
    {
        errors.push(field_error(field, "names something twice"));
    }
    if let Some(schema) = &schema.items {
        for (i, item) in items.iter().enumerate() {
            validate_value(&format!("{field}[{i}]"), item, schema, errors);
        }
    }
}

fn string_error(text: &str, schema: &MetaSchema) -> Option<String> {
    let length = text.chars().count();
    if let Some(least) = schema.min_length.filter(|least| length < *least) {
        return Some(match least {
            1 => "must not be empty".to_owned(),
            _ => format!("is shorter than {least} characters"),
        });
    }
    if let Some(most) = schema.max_length.filter(|most| length > *most) {
        return Some(format!("is longer than {most} characters"));
    }
    // PostgreSQL stores no NUL in text.
    if text.contains('\0') {
        return Some("must not contain the character NUL".to_owned());
    }
    if !schema.enum_items.is_empty() && !schema.enum_items.iter().any(|item| item == text) {
        let known: Vec<String> = schema.enum_items.iter().map(ToString::to_string).collect();
        return Some(format!("must be one of {}", known.join(", ")));
    }
    None
}

/// Shortens a name that the client chose, which may have any length.
pub(super) fn truncated_name(name: &str) -> String {
    name.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn errors_of(schema: &str, value: &Value) -> Vec<String> {
        let mut found = FieldErrors::default();
        validate_value(
            "",
            value,
            &MetaSchemaRef::Reference(schema.to_owned()),
            &mut found,
        );
        let errors = found.into_errors();
        errors
            .iter()
            .map(|error| format!("{} {}", error.field, error.detail))
            .collect()
    }

    #[test]
    fn every_documented_example_is_accepted() {
        let document = serde_json::from_str::<Value>(&crate::api::spec::document().json()).unwrap();
        let paths = document["paths"].as_object().unwrap().values();
        let operations = paths.filter_map(Value::as_object).flat_map(Map::values);
        let contents = operations.filter_map(|operation| operation.pointer("/requestBody/content"));

        let mut examples = 0;
        for media in contents.filter_map(Value::as_object).flat_map(Map::values) {
            let schema = media["schema"]["$ref"]
                .as_str()
                .unwrap()
                .rsplit('/')
                .next()
                .unwrap();
            for example in media["examples"].as_object().unwrap().values() {
                assert_eq!(
                    errors_of(schema, &example["value"]),
                    Vec::<String>::new(),
                    "{schema}"
                );
                examples += 1;
            }
        }
        assert!(examples > 10, "{examples}");
    }

    #[test]
    fn all_faults_are_reported_at_once_and_without_values() {
        let value =
            json!({ "username": "", "passwort": "hunter2", "transport": "pigeon", "label": 5 });

        let faults = errors_of("LoginRequest", &value);

        assert_eq!(
            faults,
            [
                "password is required",
                "label must be a string",
                "passwort is not a field of this request",
                "transport must be one of \"body\", \"cookie\"",
                "username must not be empty",
            ]
        );
    }

    #[test]
    fn a_nested_fault_is_reported_with_its_path() {
        let value = json!({ "roles": ["a", "", 7, "a", "\0"] });

        let faults = errors_of("RolesRequest", &value);

        assert_eq!(
            faults,
            [
                "roles names something twice",
                "roles[1] must not be empty",
                "roles[2] must be a string",
                "roles[4] must not contain the character NUL",
            ]
        );
    }

    #[test]
    fn a_body_that_is_no_object_is_refused() {
        for value in [json!(null), json!([]), json!("x"), json!(1), json!(true)] {
            assert_eq!(
                errors_of("RolesRequest", &value),
                [" must be an object"],
                "{value}"
            );
        }
    }

    #[test]
    fn an_unknown_name_is_truncated_in_the_error() {
        let faults = errors_of(
            "RolesRequest",
            &json!({ "roles": [], &"x".repeat(1000): 1 }),
        );

        assert_eq!(
            faults,
            [format!("{} is not a field of this request", "x".repeat(64))]
        );
    }
    #[test]
    fn of_many_faults_some_are_listed_and_the_rest_is_counted() {
        let unknown = (0..1000).map(|number| (format!("unknown-{number}"), json!(1)));
        let value = Value::Object(unknown.chain([("roles".to_owned(), json!([]))]).collect());
        let items = json!({ "roles": vec![json!(7); 20] });

        let faults = errors_of("RolesRequest", &value);

        assert_eq!(faults.len(), MAX_FIELD_ERRORS + 1);
        assert_eq!(faults[MAX_FIELD_ERRORS], " has 980 more faults");
        assert!(errors_of("RolesRequest", &items).len() <= MAX_FIELD_ERRORS + 1);
    }
}
