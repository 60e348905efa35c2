//! Errors of the server, and their form on the wire.
//!
//! Refusals of the server are defined here, those of tokens in [`AuthError`]. A variant exists if a
//! client acts on it differently; every other failure is [`ApiError::Internal`], whose cause is logged
//! and never sent.

use std::error::Error;
use std::time::Duration;

use poem::Response;
use poem::error::ResponseError;
use poem::http::StatusCode;
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaResponses, Registry};

use super::password::Weakness;
use super::store::StoreError;
use super::throttle::BudgetKind;
use latchet_guard::denylist::DenylistUnavailable;
use latchet_guard::error::{AuthError, FieldError, Problem};

/// Cause of a failure: for the log, never for the client.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Refusal or failure of a request.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The token was refused.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// Unknown user, wrong password or disabled account, which must look the same.
    #[error("the user name or the password is wrong")]
    InvalidCredentials,
    /// A user who is signed in entered a wrong current password to change it.
    #[error("the current password is wrong")]
    WrongCurrentPassword,
    /// Unknown service or wrong secret, which must look the same.
    #[error("the name or the secret of the service is wrong")]
    InvalidClient,
    /// An OAuth client tried to authenticate in a way that is not supported here.
    #[error(
        "clients cannot authenticate in this way: a service sends its name and secret in `Authorization: Basic`"
    )]
    ClientAuthentication,
    /// A superseded refresh token was presented after its grace period; the session has been ended.
    #[error("the refresh token was used before, so the session was ended: log in again")]
    RefreshReused,
    /// The session is past its absolute or idle lifetime.
    #[error("the session has expired: log in again")]
    SessionExpired,
    /// The session was ended by a logout or an administrator.
    #[error("the session was ended: log in again")]
    SessionRevoked,
    /// A mailed link or code is wrong, was used or has expired, or too many wrong codes were entered.
    #[error("this link or code is wrong, was used or has expired: ask for another mail")]
    InvalidCode,
    /// The new password is not acceptable.
    #[error("the password {0}")]
    WeakPassword(Weakness),
    /// An object exists already, or was changed in the meantime; the text names it.
    #[error("{0}")]
    Conflict(&'static str),
    /// An object does not exist; the text names it.
    #[error("{0}")]
    NotFound(&'static str),
    /// The user is known, but not allowed to do this; the text gives the reason.
    #[error("{0}")]
    Forbidden(&'static str),
    /// A page of another origin tries to use cookies; the text names the origin and the settings.
    #[error("{0}")]
    ForeignOrigin(String),
    /// The media type of the body is not supported here; the text names it and the supported ones.
    #[error("{0}")]
    UnsupportedMediaType(String),
    /// A part of the request is not acceptable.
    #[error("{detail}")]
    InvalidInput {
        /// Description of the fault, for people.
        detail: String,
        /// The fault of each field.
        errors: Vec<FieldError>,
    },
    /// A grant type other than those of the token endpoint.
    #[error("`grant_type` must be `password`, `refresh_token` or `client_credentials`")]
    UnsupportedGrantType,
    /// A service asks for the tokens of a user.
    #[error("a service gets tokens for itself alone: use the grant `client_credentials`")]
    UnauthorizedClient,
    /// A token that was issued to another client than the one that the request names.
    #[error("the token was issued to another client")]
    WrongClient,
    /// A scope that the user does not have.
    #[error("`scope` asks for more than this user may have")]
    InvalidScope,
    /// Too many attempts.
    #[error("too many attempts: wait before the next one")]
    TooManyRequests {
        /// Time to wait before the next attempt.
        retry_after: Duration,
        /// The used-up budget: for the log, since clients have no use for it.
        budget: BudgetKind,
    },
    /// A service that this server depends on does not respond; the same request may succeed later.
    #[error("the server cannot answer this now: try again")]
    Unavailable(#[source] Cause),
    /// A fault of the server.
    #[error("the server failed; the request id finds the cause in its log")]
    Internal(#[source] Cause),
}

impl ApiError {
    /// Wraps a failure after which a retry may succeed.
    pub fn unavailable(cause: impl Into<Cause>) -> Self {
        Self::Unavailable(cause.into())
    }

    /// Wraps a failure that only the operator can act on.
    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::Internal(cause.into())
    }

    /// Refuses one field of a request; `detail` is read after its name.
    pub fn invalid_field(field: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self::InvalidInput {
            detail: format!("`{field}` {detail}"),
            errors: vec![FieldError {
                field: field.to_owned(),
                detail,
            }],
        }
    }

    /// Reports a mistake in the configuration, which the operator has to fix.
    pub fn misconfigured(what: impl Into<String>) -> Self {
        Self::Internal(what.into().into())
    }

    /// Returns the problem document of this error.
    pub fn problem(&self) -> Problem {
        let (status, code) = match self {
            Self::Auth(error) => return error.problem(),
            _ => self.status_and_code(),
        };
        let mut problem = Problem::new(status, code, self.to_string());
        match self {
            Self::InvalidCredentials | Self::WrongCurrentPassword => {
                problem.challenge = Some(r#"Bearer realm="latchet""#.to_owned());
            }
            // RFC 6749, 5.2: the challenge names the scheme that the client used.
            Self::InvalidClient | Self::ClientAuthentication => {
                problem.challenge = Some(r#"Basic realm="latchet""#.to_owned());
            }
            Self::RefreshReused | Self::SessionExpired | Self::SessionRevoked => {
                let detail = &problem.detail;
                problem.challenge = Some(format!(
                    r#"Bearer error="invalid_token", error_description="{detail}""#
                ));
            }
            Self::InvalidInput { errors, .. } => problem.errors.clone_from(errors),
            Self::InvalidScope => problem.errors.push(FieldError {
                field: "scope".to_owned(),
                detail: "asks for more than this user may have".to_owned(),
            }),
            Self::TooManyRequests { retry_after, .. } => {
                let secs = retry_after.as_millis().div_ceil(1000).max(1);
                problem.retry_after = Some(u32::try_from(secs).unwrap_or(u32::MAX));
            }
            _ => {}
        }
        problem
    }

    /// The table of errors: status and `code`.
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Auth(error) => {
                let problem = error.problem();
                (problem.status, problem.code)
            }
            Self::InvalidCredentials | Self::WrongCurrentPassword => {
                (StatusCode::UNAUTHORIZED, "invalid_credentials")
            }
            Self::InvalidClient | Self::ClientAuthentication => {
                (StatusCode::UNAUTHORIZED, "invalid_client")
            }
            Self::RefreshReused => (StatusCode::UNAUTHORIZED, "refresh_reused"),
            Self::SessionExpired => (StatusCode::UNAUTHORIZED, "session_expired"),
            Self::SessionRevoked => (StatusCode::UNAUTHORIZED, "session_revoked"),
            Self::InvalidCode => (StatusCode::BAD_REQUEST, "invalid_code"),
            Self::WeakPassword(_) => (StatusCode::BAD_REQUEST, "weak_password"),
            Self::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::ForeignOrigin(_) => (StatusCode::FORBIDDEN, "csrf_failed"),
            Self::UnsupportedMediaType(_) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
            }
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::UnsupportedGrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
            Self::UnauthorizedClient => (StatusCode::BAD_REQUEST, "unauthorized_client"),
            Self::WrongClient => (StatusCode::BAD_REQUEST, "invalid_grant"),
            Self::InvalidInput { .. } | Self::InvalidScope => {
                (StatusCode::BAD_REQUEST, "validation_failed")
            }
            Self::TooManyRequests { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

const LAST_ADMINISTRATOR: &str = "this would leave no enabled administrator: give another user the role \
     `admin` first, or use the command line of the server";

/// Converts errors that the caller did not handle: a missing or conflicting row is then a bug of this
/// program.
impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::unavailable(error),
            StoreError::NotAdministrator => Self::Auth(AuthError::InsufficientScope),
            StoreError::ActorRevoked => Self::Auth(AuthError::TokenRevoked),
            StoreError::ActorOutdated => Self::Auth(AuthError::TokenOutdated),
            StoreError::LastAdministrator => Self::Conflict(LAST_ADMINISTRATOR),
            other => Self::internal(other),
        }
    }
}

impl From<DenylistUnavailable> for ApiError {
    fn from(error: DenylistUnavailable) -> Self {
        Self::unavailable(error)
    }
}

impl ResponseError for ApiError {
    fn status(&self) -> StatusCode {
        self.status_and_code().0
    }

    fn as_response(&self) -> Response {
        self.problem().into_response(None)
    }
}

/// Declares no responses: the errors of the operations are added to the document afterwards, from one list
/// for all of them.
impl ApiResponse for ApiError {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: Vec::new(),
        }
    }

    fn register(_registry: &mut Registry) {}
}

/// Returns the texts of an error and of its causes, without those whose text ends the one before.
pub fn error_chain(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if texts.last().is_none_or(|last| !last.ends_with(&text)) {
            texts.push(text);
        }
        next = cause.source();
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_at_least_the_wait_of_the_throttle() {
        let error = ApiError::TooManyRequests {
            retry_after: Duration::from_millis(1_001),
            budget: BudgetKind::Network,
        };

        assert_eq!(error.problem().retry_after, Some(2));
    }

    #[tokio::test]
    async fn the_cause_of_a_failure_is_not_sent() {
        for error in [
            ApiError::internal("hunter2"),
            ApiError::unavailable("hunter2"),
        ] {
            let body = error.as_response().into_body().into_string().await.unwrap();

            assert!(!body.contains("hunter2"), "{body}");
        }
    }

    #[test]
    fn an_invalid_field_is_named() {
        let error = ApiError::invalid_field("label", "is longer than 100 characters");

        let problem = error.problem();

        assert_eq!(problem.detail, "`label` is longer than 100 characters");
        assert_eq!(problem.errors[0].field, "label");
    }
}
