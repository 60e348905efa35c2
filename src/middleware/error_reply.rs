//! Conversion of every error, of this server or of the framework, into one problem.

use std::error::Error;

use poem::error::{MethodNotAllowedError, NotFoundError, ReadBodyError};
use poem::http::{HeaderValue, StatusCode};
use poem_openapi::OperationId;
use poem_openapi::error::{ContentTypeError, ParseParamError, ParsePathError};

use super::body::BodyError;
use crate::error::{ApiError, error_chain};
use crate::serve::{MAX_HEAD_BYTES, MAX_HEADERS};
use latchet_guard::error::{AuthError, FieldError, Problem};

/// An error response, and the cause that only the log may contain.
#[derive(Debug)]
pub(super) struct ErrorReply {
    pub(super) problem: Problem,
    pub(super) cause: Option<String>,
    pub(super) allow: Option<AllowHeader>,
    /// Present if a token was refused.
    pub(super) auth: Option<AuthError>,
    /// The operation that returned the error.
    pub(super) operation: Option<OperationId>,
}

/// The methods that a path supports: data of the error that refuses another method.
#[derive(Clone, Debug)]
pub struct AllowHeader(pub HeaderValue);

impl From<Problem> for ErrorReply {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            cause: None,
            allow: None,
            auth: None,
            operation: None,
        }
    }
}

impl From<&AuthError> for ErrorReply {
    fn from(error: &AuthError) -> Self {
        Self {
            auth: Some(error.clone()),
            ..error.problem().into()
        }
    }
}

impl From<&ApiError> for ErrorReply {
    fn from(error: &ApiError) -> Self {
        if let ApiError::Auth(error) = error {
            return error.into();
        }
        Self {
            cause: error.source().map(|cause| error_chain(cause).join(": ")),
            ..error.problem().into()
        }
    }
}

/// Converts an error of the routes into an error response.
pub(super) fn error_reply_of(error: &poem::Error) -> ErrorReply {
    if let Some(error) = error.downcast_ref::<ApiError>() {
        return error.into();
    }
    if let Some(error) = error.downcast_ref::<AuthError>() {
        return error.into();
    }
    if error.is::<NotFoundError>() {
        let detail = "there is nothing at this path";
        return Problem::new(StatusCode::NOT_FOUND, "not_found", detail).into();
    }
    if error.is::<MethodNotAllowedError>() {
        return ErrorReply {
            allow: error.data::<AllowHeader>().cloned(),
            ..method_not_allowed().into()
        };
    }
    if let Some(error) = error.downcast_ref::<ContentTypeError>() {
        let detail = match error {
            ContentTypeError::NotSupported { .. } => "this `Content-Type` is not supported here",
            ContentTypeError::ExpectContentType => "the header `Content-Type` is missing",
        };
        return unsupported_media_type(detail).into();
    }
    if let Some(error) = error.downcast_ref::<ParseParamError>() {
        return invalid_parameter(error.name, &error.reason).into();
    }
    if let Some(error) = error.downcast_ref::<ParsePathError>() {
        return invalid_parameter(error.name, &error.reason).into();
    }
    if let Some(error) = error.downcast_ref::<ReadBodyError>() {
        return unreadable_body(error);
    }
    reply_by_status(error)
}

/// Converts other errors by their status. The framework's text is not sent, because it may repeat a part of
/// the request, such as a password.
fn reply_by_status(error: &poem::Error) -> ErrorReply {
    match error.status() {
        StatusCode::METHOD_NOT_ALLOWED => method_not_allowed().into(),
        StatusCode::PAYLOAD_TOO_LARGE => body_too_large("the body is too large").into(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            unsupported_media_type("this `Content-Type` is not supported here").into()
        }
        status if status.is_client_error() => {
            let detail = "the request is malformed";
            Problem::new(status, "validation_failed", detail).into()
        }
        _ => ErrorReply {
            cause: Some(error.to_string()),
            ..internal_error().into()
        },
    }
}

fn invalid_parameter(name: &str, reason: &str) -> Problem {
    // The framework has only a text. What follows this in it repeats the value.
    let reason = reason.split(", found ").next().unwrap_or_default();
    let mut problem = Problem::new(
        StatusCode::BAD_REQUEST,
        "validation_failed",
        format!("`{name}` is malformed"),
    );
    problem.errors.push(FieldError {
        field: name.to_owned(),
        detail: reason.to_owned(),
    });
    problem
}

fn unreadable_body(error: &ReadBodyError) -> ErrorReply {
    let known = match error {
        ReadBodyError::PayloadTooLarge => return body_too_large("the body is too large").into(),
        ReadBodyError::Io(error) => BodyError::find_in(error),
        _ => None,
    };
    match known {
        Some(error @ BodyError::TooLarge { .. }) => body_too_large(error.to_string()).into(),
        Some(error @ BodyError::Timeout { .. }) => body_timeout(error.to_string()).into(),
        Some(error @ BodyError::BudgetExhausted) => ErrorReply {
            cause: Some(error.to_string()),
            ..ApiError::unavailable("").problem().into()
        },
        Some(BodyError::Truncated(_)) | None => Problem::new(
            StatusCode::BAD_REQUEST,
            "validation_failed",
            "the body could not be read",
        )
        .into(),
    }
}

fn body_too_large(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail)
}

/// Problem of a body that did not arrive in time.
fn body_timeout(detail: String) -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail)
}

/// Problem of a request head that could not be read.
pub(super) fn unreadable_head(status: StatusCode) -> Problem {
    match status {
        StatusCode::URI_TOO_LONG => Problem::new(
            StatusCode::URI_TOO_LONG,
            "uri_too_long",
            format!(
                "the URI of the request is too long: the head of a request has at most {MAX_HEAD_BYTES} bytes"
            ),
        ),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "headers_too_large",
            format!(
                "the headers of the request are too large: its head has at most {MAX_HEAD_BYTES} bytes and {MAX_HEADERS} headers"
            ),
        ),
        _ => Problem::new(
            StatusCode::BAD_REQUEST,
            "validation_failed",
            "the request is not valid HTTP (RFC 9112): its request line, a header or its length is malformed",
        ),
    }
}

/// Problem of a request that the server did not complete in time.
pub(super) fn response_timeout() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "unavailable",
        "the response took too long: try again",
    )
}

pub(super) fn internal_error() -> Problem {
    ApiError::internal("").problem()
}

fn method_not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this path does not support this method",
    )
}

fn unsupported_media_type(detail: &str) -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        detail,
    )
}
