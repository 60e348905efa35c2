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

use super::origin::shown;
use crate::error::FieldError;
use crate::server::error::ApiError;
use crate::server::header_list::items;

mod form;
mod json;
mod late;
mod schema;

pub(super) use late::LateBody;
use schema::{Faults, check, fault};

pub(super) const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const TWICE: &str = "is given twice";
/// Longest name of a content coding that an error repeats.
const LONGEST_CODING: usize = 32;

/// A JSON body.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

/// An optional JSON body; without one, it is `{}`.
#[derive(Debug)]
pub(super) struct OptionalBody<T>(pub(super) T);

/// An OAuth form: an empty parameter counts as absent, an unknown one is ignored, and a repeated one is
/// refused (RFC 6749, 3.2).
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
            &<Bytes as FromRequest>::from_request(request, body).await?,
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
        let bytes = <Bytes as FromRequest>::from_request(request, body).await?;
        let query = request.uri().query().unwrap_or_default();
        form::refuse_client_authentication(&bytes)?;
        form::refuse_client_authentication(query.as_bytes())?;
        Ok(Self(checked(form::members::<T>(&bytes)?)?))
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
pub(super) fn require_type(request: &Request, wanted: &str) -> Result<(), ApiError> {
    let refuse = |what: String| Err(ApiError::UnsupportedMediaType(what));
    let headers = request.headers();
    let coding = items(headers, CONTENT_ENCODING).find(|coding| !is_identity(coding));
    if let Some(coding) = coding {
        let coding: String = coding.escape_debug().take(LONGEST_CODING).collect();
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
    let sent = shown(value);
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
pub(super) fn unambiguous(bytes: &[u8]) -> Result<Value, ApiError> {
    let (value, repeated) = json::read(bytes)
        .map_err(|error| invalid(format!("the body is not JSON: {error}"), Vec::new()))?;
    if repeated.is_empty() {
        return Ok(value);
    }
    let repeated = repeated.iter().map(|name| fault(name, TWICE));
    Err(faults(repeated.collect()))
}

fn json<T: ParseFromJSON>(bytes: &[u8]) -> Result<T, ApiError> {
    checked(unambiguous(bytes)?)
}

fn checked<T: ParseFromJSON>(value: Value) -> Result<T, ApiError> {
    let mut found = Faults::default();
    check("", &value, &T::schema_ref(), &mut found);
    if !found.is_empty() {
        return Err(faults(found.into_errors()));
    }
    T::parse_from_json(Some(value))
        .map_err(|_| invalid("the body does not have the documented form", Vec::new()))
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
