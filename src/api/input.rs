//! Extractors for request bodies.
//!
//! A body is validated against the schema in the API document, so the document and the server cannot differ.
//! The response lists all faults at once, each with the name of its field and without the value, which may
//! be a password.

use hyper::body::Bytes;
use poem::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use poem::{FromRequest, Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, Registry};
use poem_openapi::types::{ParseFromJSON, Type};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde_json::Value;

use super::origin::printable;
use crate::error::ApiError;
use crate::header_list::items;
use latchet_guard::error::FieldError;

mod deferred;
mod oauth_form;
mod strict_json;
mod validation;

pub(super) use deferred::DeferredBody;
use validation::{FieldErrors, field_error, validate_value};

pub(super) const JSON_TYPE: &str = "application/json";
const FORM_TYPE: &str = "application/x-www-form-urlencoded";
const REPEATED: &str = "is given twice";
/// Longest name of a content coding that an error repeats.
const MAX_CODING_LENGTH: usize = 32;

/// A JSON body.
#[derive(Debug)]
pub(super) struct JsonBody<T>(pub(super) T);

/// An optional JSON body; without one, it is `{}`.
#[derive(Debug)]
pub(super) struct OptionalJsonBody<T>(pub(super) T);

/// An OAuth form: an empty parameter counts as absent, an unknown one is ignored, and a repeated one is
/// refused (RFC 6749, 3.2).
#[derive(Debug)]
pub(super) struct OauthForm<T>(pub(super) T);

impl<'a, T: ParseFromJSON> ApiExtractor<'a> for JsonBody<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(request_meta::<T>(JSON_TYPE, true))
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        require_content_type(request, JSON_TYPE)?;
        Ok(Self(parse_json(
            &<Bytes as FromRequest>::from_request(request, body).await?,
        )?))
    }
}

impl<'a, T: ParseFromJSON> ApiExtractor<'a> for OptionalJsonBody<T> {
    const TYPES: &'static [ApiExtractorType] = DeferredBody::<T>::TYPES;

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        DeferredBody::<T>::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        DeferredBody::<T>::request_meta()
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let body = <DeferredBody<T> as ApiExtractor>::from_request(request, body, options).await?;
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
        Some(request_meta::<T>(FORM_TYPE, true))
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        require_content_type(request, FORM_TYPE)?;
        let bytes = <Bytes as FromRequest>::from_request(request, body).await?;
        let query = request.uri().query().unwrap_or_default();
        oauth_form::refuse_authentication_in_form::<T>(&bytes)?;
        oauth_form::refuse_authentication_in_address(query)?;
        Ok(Self(validated(oauth_form::parse_form::<T>(&bytes)?)?))
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

/// Refuses media types other than the documented one. A page of another site can send a form, but not JSON
/// without a CORS preflight, so this check is also a part of the CSRF protection.
pub(super) fn require_content_type(request: &Request, wanted: &str) -> Result<(), ApiError> {
    let refuse = |what: String| Err(ApiError::UnsupportedMediaType(what));
    let headers = request.headers();
    let coding = items(headers, CONTENT_ENCODING).find(|coding| !is_identity(coding));
    if let Some(coding) = coding {
        let coding: String = coding.escape_debug().take(MAX_CODING_LENGTH).collect();
        return refuse(format!(
            "the body has the `Content-Encoding` `{coding}`: send it as it is, without compression"
        ));
    }
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return refuse(format!(
            "the header `Content-Type` is missing: the body must be `{wanted}`"
        ));
    };
    let essence = value.as_bytes().split(|&byte| byte == b';').next();
    let essence = essence.unwrap_or_default().trim_ascii();
    if essence.eq_ignore_ascii_case(wanted.as_bytes()) {
        return Ok(());
    }
    let sent = printable(value);
    refuse(format!(
        "the `Content-Type` is `{sent}`: the body must be `{wanted}`"
    ))
}

fn is_identity(coding: &str) -> bool {
    coding.eq_ignore_ascii_case("identity")
}

/// Parses a JSON body and refuses repeated member names: to choose one of the two would be a guess, and a
/// filter in front of the server may choose the other (RFC 8259, section 4).
///
/// # Errors
/// `validation_failed`.
pub(super) fn parse_unambiguous(bytes: &[u8]) -> Result<Value, ApiError> {
    let (value, repeated) = strict_json::parse(bytes)
        .map_err(|error| invalid_input(format!("the body is not JSON: {error}"), Vec::new()))?;
    if repeated.is_empty() {
        return Ok(value);
    }
    let repeated = repeated.iter().map(|name| field_error(name, REPEATED));
    Err(invalid_fields(repeated.collect()))
}

fn parse_json<T: ParseFromJSON>(bytes: &[u8]) -> Result<T, ApiError> {
    validated(parse_unambiguous(bytes)?)
}

fn validated<T: ParseFromJSON>(value: Value) -> Result<T, ApiError> {
    let mut found = FieldErrors::default();
    validate_value("", &value, &T::schema_ref(), &mut found);
    if !found.is_empty() {
        return Err(invalid_fields(found.into_errors()));
    }
    T::parse_from_json(Some(value))
        .map_err(|_| invalid_input("the body does not have the documented form", Vec::new()))
}

fn invalid_fields(errors: Vec<FieldError>) -> ApiError {
    let texts: Vec<String> = errors
        .iter()
        .map(|error| match error.field.as_str() {
            "" => format!("the body {}", error.detail),
            field => format!("`{field}` {}", error.detail),
        })
        .collect();
    invalid_input(texts.join("; "), errors)
}

fn invalid_input(detail: impl Into<String>, errors: Vec<FieldError>) -> ApiError {
    ApiError::InvalidInput {
        detail: detail.into(),
        errors,
    }
}
