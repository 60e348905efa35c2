//! Reading what a request carries in its body.
//!
//! A body is checked against the very schema that the API document shows, so the document cannot
//! promise what the server does not do. All faults are answered at once, each with the name of its
//! field and without the value, which may be a password.

use std::sync::LazyLock;

use poem::http::header::CONTENT_TYPE;
use poem::{FromRequest, Request, RequestBody};
use poem_openapi::error::ContentTypeError;
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{ParseFromJSON, Type};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions, OpenApi};
use serde_json::{Map, Value};

use crate::error::FieldError;
use crate::server::error::ApiError;

mod late;

pub(super) use late::LateBody;

/// The schemas of the document, by name.
static SCHEMAS: LazyLock<Registry> = LazyLock::new(|| {
    let mut registry = Registry::new();
    super::Api::register(&mut registry);
    registry
});

pub(super) const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// A JSON body.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

/// A JSON body that may be left out, which means the same as `{}`.
#[derive(Debug)]
pub(super) struct OptionalBody<T>(pub(super) T);

/// A form, read as OAuth wants it: an empty parameter counts as absent, an unknown one is ignored,
/// and one that is given twice is refused (RFC 6749, 3.2).
#[derive(Debug)]
pub(super) struct OauthForm<T>(pub(super) T);

impl<'a, T: ParseFromJSON> ApiExtractor<'a> for Body<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(request_meta::<T>(JSON, true))
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        require_type(request, JSON)?;
        Ok(Self(json(
            &<Vec<u8> as FromRequest>::from_request(request, body).await?,
        )?))
    }
}

impl<'a, T: ParseFromJSON> ApiExtractor<'a> for OptionalBody<T> {
    const TYPES: &'static [ApiExtractorType] = LateBody::<T>::TYPES;

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        LateBody::<T>::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        LateBody::<T>::request_meta()
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let body = <LateBody<T> as ApiExtractor>::from_request(request, body, options).await?;
        body.read().map(Self)
    }
}

impl<'a, T: ParseFromJSON> ApiExtractor<'a> for OauthForm<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(request_meta::<T>(FORM, true))
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        require_type(request, FORM)?;
        let bytes = <Vec<u8> as FromRequest>::from_request(request, body).await?;
        Ok(Self(checked(members::<T>(&bytes)?)?))
    }
}

fn request_meta<T: Type>(content_type: &'static str, required: bool) -> MetaRequest {
    MetaRequest {
        description: None,
        content: vec![MetaMediaType {
            content_type,
            schema: T::schema_ref(),
        }],
        required,
    }
}

/// Refuses other types than the one documented. A page of another site can send a form, but no JSON
/// without asking first, so this is part of the protection of cookies too.
pub(super) fn require_type(request: &Request, wanted: &str) -> Result<(), ContentTypeError> {
    let Some(value) = request.headers().get(CONTENT_TYPE) else {
        return Err(ContentTypeError::ExpectContentType);
    };
    let essence = value
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    if essence.trim().eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    Err(ContentTypeError::NotSupported {
        content_type: String::from_utf8_lossy(value.as_bytes()).into_owned(),
    })
}

fn json<T: ParseFromJSON>(bytes: &[u8]) -> Result<T, ApiError> {
    let value = serde_json::from_slice(bytes)
        .map_err(|error| invalid(format!("the body is not JSON: {error}"), Vec::new()))?;
    checked(value)
}

fn members<T: Type>(form: &[u8]) -> Result<Value, ApiError> {
    let schema = T::schema_ref();
    let schema = named(&schema);
    let mut members = Map::new();
    for (name, value) in form_urlencoded::parse(form) {
        let known =
            schema.is_some_and(|schema| schema.properties.iter().any(|(own, _)| *own == name));
        if !known || value.is_empty() {
            continue;
        }
        if members
            .insert(name.to_string(), Value::String(value.into_owned()))
            .is_some()
        {
            return Err(faults(vec![fault(&name, "is given twice")]));
        }
    }
    Ok(Value::Object(members))
}

fn checked<T: ParseFromJSON>(value: Value) -> Result<T, ApiError> {
    let mut errors = Vec::new();
    check("", &value, &T::schema_ref(), &mut errors);
    if !errors.is_empty() {
        return Err(faults(errors));
    }
    T::parse_from_json(Some(value))
        .map_err(|_| invalid("the body does not have the documented form", Vec::new()))
}

fn named(schema: &MetaSchemaRef) -> Option<&MetaSchema> {
    match schema {
        MetaSchemaRef::Inline(schema) => Some(schema),
        MetaSchemaRef::Reference(name) => SCHEMAS.schemas.get(name),
    }
}

fn faults(errors: Vec<FieldError>) -> ApiError {
    let texts: Vec<String> = errors
        .iter()
        .map(|error| match error.field.as_str() {
            "" => format!("the body {}", error.detail),
            field => format!("`{field}` {}", error.detail),
        })
        .collect();
    invalid(texts.join("; "), errors)
}

fn invalid(detail: impl Into<String>, errors: Vec<FieldError>) -> ApiError {
    ApiError::InvalidInput {
        detail: detail.into(),
        errors,
    }
}

fn fault(field: &str, detail: impl Into<String>) -> FieldError {
    FieldError {
        field: field.to_owned(),
        detail: detail.into(),
    }
}

/// Collects what is wrong with `value`, whose place in the body is `field`.
fn check(field: &str, value: &Value, schema: &MetaSchemaRef, errors: &mut Vec<FieldError>) {
    // A default or a description beside a reference is written as `allOf`.
    let Some(schema) = named(schema) else { return };
    for part in &schema.all_of {
        check(field, value, part, errors);
    }
    match (schema.ty, value) {
        ("object", Value::Object(members)) => check_members(field, members, schema, errors),
        ("array", Value::Array(items)) => check_items(field, items, schema, errors),
        ("string", Value::String(text)) => {
            errors.extend(string_fault(text, schema).map(|detail| fault(field, detail)));
        }
        ("integer", Value::Number(number)) if number.is_i64() || number.is_u64() => {}
        ("boolean", Value::Bool(_)) | ("", _) => {}
        (wanted, _) => {
            let article = if matches!(wanted, "object" | "array" | "integer") {
                "an"
            } else {
                "a"
            };
            errors.push(fault(field, format!("must be {article} {wanted}")));
        }
    }
}

fn check_members(
    field: &str,
    members: &Map<String, Value>,
    schema: &MetaSchema,
    errors: &mut Vec<FieldError>,
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
            errors.push(fault(&path(name), "is required"));
        }
    }
    for (name, value) in members {
        match schema.properties.iter().find(|(known, _)| known == name) {
            Some((_, schema)) => check(&path(name), value, schema, errors),
            None => errors.push(fault(
                &path(&shortened(name)),
                "is not a field of this request",
            )),
        }
    }
}

fn check_items(field: &str, items: &[Value], schema: &MetaSchema, errors: &mut Vec<FieldError>) {
    if schema.max_items.is_some_and(|most| items.len() > most) {
        let most = schema.max_items.unwrap_or_default();
        return errors.push(fault(field, format!("has more than {most} items")));
    }
    if schema.unique_items == Some(true) && (1..items.len()).any(|i| items[..i].contains(&items[i]))
    {
        errors.push(fault(field, "names something twice"));
    }
    if let Some(schema) = &schema.items {
        for (i, item) in items.iter().enumerate() {
            check(&format!("{field}[{i}]"), item, schema, errors);
        }
    }
}

fn string_fault(text: &str, schema: &MetaSchema) -> Option<String> {
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

/// A name that the client made up may be of any length.
fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults_of(schema: &str, value: &Value) -> Vec<String> {
        let mut errors = Vec::new();
        check(
            "",
            value,
            &MetaSchemaRef::Reference(schema.to_owned()),
            &mut errors,
        );
        errors
            .iter()
            .map(|error| format!("{} {}", error.field, error.detail))
            .collect()
    }

    #[test]
    fn every_documented_example_is_accepted() {
        let document =
            serde_json::from_str::<Value>(&super::super::spec::document().json()).unwrap();
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
                    faults_of(schema, &example["value"]),
                    Vec::<String>::new(),
                    "{schema}"
                );
                examples += 1;
            }
        }
        assert!(examples > 10, "{examples}");
    }

    #[test]
    fn all_faults_are_named_at_once_and_no_value_is_repeated() {
        let value =
            json!({ "username": "", "passwort": "hunter2", "transport": "pigeon", "label": 5 });

        let faults = faults_of("LoginRequest", &value);

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
    fn what_lies_deeper_is_named_with_its_place() {
        let value = json!({ "roles": ["a", "", 7, "a", "\0"] });

        let faults = faults_of("RolesRequest", &value);

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
    fn other_shapes_than_an_object_are_refused() {
        for value in [json!(null), json!([]), json!("x"), json!(1), json!(true)] {
            assert_eq!(
                faults_of("RolesRequest", &value),
                [" must be an object"],
                "{value}"
            );
        }
    }

    #[test]
    fn a_name_that_the_client_made_up_is_cut() {
        let faults = faults_of(
            "RolesRequest",
            &json!({ "roles": [], &"x".repeat(1000): 1 }),
        );

        assert_eq!(
            faults,
            [format!("{} is not a field of this request", "x".repeat(64))]
        );
    }

    #[test]
    fn a_form_is_read_as_oauth_wants_it() {
        let read = |form: &str| members::<crate::server::api::oauth::TokenForm>(form.as_bytes());

        let value = read("grant_type=password&username=a%20b&scope=&unknown=1&unknown=2").unwrap();
        assert_eq!(
            value,
            json!({ "grant_type": "password", "username": "a b" })
        );
        assert!(read("scope=a&scope=a").is_err());
    }
}
