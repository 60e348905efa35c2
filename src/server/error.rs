//! Why the server refused or failed, and how that is said on the wire.
//!
//! The server's own refusals stand here, those of tokens in [`AuthError`]. A variant exists when a
//! client acts on it differently; every failure nobody acts on is [`ApiError::Internal`], whose
//! cause is logged and never sent.

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
use crate::denylist::Unavailable;
use crate::error::{AuthError, FieldError, Problem};

/// What caused a failure: for the log, never for the client.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Why a request was not answered as asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The token was refused.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// Unknown user, wrong password or disabled account, which must look the same.
    #[error("the user name or the password is wrong")]
    InvalidCredentials,
    /// Unknown service or wrong secret, which must look the same.
    #[error("the name or the secret of the service is wrong")]
    InvalidClient,
    /// An OAuth client tried to authenticate.
    #[error("clients are public here and cannot authenticate: send no secret and no assertion")]
    ClientAuthentication,
    /// A refresh token was shown again after its grace; the session has been ended.
    #[error("the refresh token was used before, so the session was ended: log in again")]
    RefreshReused,
    /// The session is past its absolute or idle lifetime.
    #[error("the session has expired: log in again")]
    SessionExpired,
    /// The session was ended by a logout or an administrator.
    #[error("the session was ended: log in again")]
    SessionRevoked,
    /// The new password is not acceptable.
    #[error("the password {0}")]
    WeakPassword(Weakness),
    /// It exists already, or was changed meanwhile; a sentence says what.
    #[error("{0}")]
    Conflict(&'static str),
    /// It does not exist; a sentence says what.
    #[error("{0}")]
    NotFound(&'static str),
    /// Known, and not allowed to have this; a sentence says why.
    #[error("{0}")]
    Forbidden(&'static str),
    /// A page of another origin wants to use cookies; a sentence names it and the settings.
    #[error("{0}")]
    ForeignOrigin(String),
    /// The body has a form that is not read here; a sentence says which, and which is.
    #[error("{0}")]
    UnsupportedMediaType(String),
    /// Something in the request is not acceptable.
    #[error("{detail}")]
    InvalidInput {
        /// What is wrong, for a person.
        detail: String,
        /// What is wrong with which field.
        errors: Vec<FieldError>,
    },
    /// A grant type other than those of the token endpoint.
    #[error("`grant_type` must be `password` or `refresh_token`")]
    UnsupportedGrantType,
    /// A token that was issued to another client than the one that the request names.
    #[error("the token was issued to another client")]
    AnotherClient,
    /// A scope that the user does not have.
    #[error("`scope` asks for more than this user may have")]
    InvalidScope,
    /// Too many attempts.
    #[error("too many attempts: wait before the next one")]
    TooManyRequests {
        /// How long to wait.
        retry_after: Duration,
        /// Which budget is used up: for the log, since a client could do nothing with it.
        budget: BudgetKind,
    },
    /// Something this depends on does not answer now; the same request may succeed later.
    #[error("the server cannot answer this now: try again")]
    Unavailable(#[source] Cause),
    /// A fault of the server.
    #[error("the server failed; the request id finds the cause in its log")]
    Internal(#[source] Cause),
}

impl ApiError {
    /// Wraps a failure that a retry may mend.
    pub fn unavailable(cause: impl Into<Cause>) -> Self {
        Self::Unavailable(cause.into())
    }

    /// Wraps a failure that nobody can act on but the operator.
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

    /// Reports what the operator has to mend.
    pub fn misconfigured(what: impl Into<String>) -> Self {
        Self::Internal(what.into().into())
    }

    /// Returns how this is said on the wire.
    pub fn problem(&self) -> Problem {
        let (status, code) = match self {
            Self::Auth(error) => return error.problem(),
            _ => self.row(),
        };
        let mut problem = Problem::new(status, code, self.to_string());
        match self {
            Self::InvalidCredentials => {
                problem.challenge = Some(r#"Bearer realm="latchet""#.to_owned());
            }
            // RFC 6749, 5.2: the scheme that the client used.
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
    fn row(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Auth(error) => {
                let problem = error.problem();
                (problem.status, problem.code)
            }
            Self::InvalidCredentials => (StatusCode::UNAUTHORIZED, "invalid_credentials"),
            Self::InvalidClient | Self::ClientAuthentication => {
                (StatusCode::UNAUTHORIZED, "invalid_client")
            }
            Self::RefreshReused => (StatusCode::UNAUTHORIZED, "refresh_reused"),
            Self::SessionExpired => (StatusCode::UNAUTHORIZED, "session_expired"),
            Self::SessionRevoked => (StatusCode::UNAUTHORIZED, "session_revoked"),
            Self::WeakPassword(_) => (StatusCode::BAD_REQUEST, "weak_password"),
            Self::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::ForeignOrigin(_) => (StatusCode::FORBIDDEN, "csrf_failed"),
            Self::UnsupportedMediaType(_) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
            }
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::UnsupportedGrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
            Self::AnotherClient => (StatusCode::BAD_REQUEST, "invalid_grant"),
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

/// What no caller foresaw: a row that is missing or in the way is then a fault of this program.
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

impl From<Unavailable> for ApiError {
    fn from(error: Unavailable) -> Self {
        Self::unavailable(error)
    }
}

impl ResponseError for ApiError {
    fn status(&self) -> StatusCode {
        self.row().0
    }

    fn as_response(&self) -> Response {
        self.problem().into_response(None)
    }
}

/// Declares nothing: which errors an operation answers is written into the document afterwards, so
/// that one list serves every operation.
impl ApiResponse for ApiError {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: Vec::new(),
        }
    }

    fn register(_registry: &mut Registry) {}
}

/// Returns what an error says and what each of its causes adds: many repeat the text of the next.
pub fn causes(error: &(dyn Error + 'static)) -> Vec<String> {
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
    fn a_client_is_told_to_wait_at_least_as_long_as_the_throttle_does() {
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
    fn a_field_is_named_where_one_is_at_fault() {
        let error = ApiError::invalid_field("label", "is longer than 100 characters");

        let problem = error.problem();

        assert_eq!(problem.detail, "`label` is longer than 100 characters");
        assert_eq!(problem.errors[0].field, "label");
    }
}
