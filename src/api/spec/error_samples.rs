//! One error of each code, created from the server's own types.

use std::time::Duration;

use poem::http::StatusCode;

use crate::error::ApiError;
use crate::password::Weakness;
use crate::throttle::BudgetKind;
use latchet_guard::error::{
    AuthError, CsrfFailure, FieldError, InvalidToken, MalformedToken, Problem,
};

/// Returns an error with this code, as the server sends it.
pub(super) fn error_sample(code: &str) -> Problem {
    let auth = |error: AuthError| error.problem();
    match code {
        "missing_token" => auth(AuthError::MissingToken),
        "malformed_token" => auth(AuthError::MalformedToken(MalformedToken::NotJwt)),
        // The published document has this wording.
        "invalid_token" => Problem {
            detail: "the token is not valid: the signature does not match".to_owned(),
            ..auth(AuthError::InvalidToken(InvalidToken::BadSignature))
        },
        "token_expired" => auth(AuthError::TokenExpired),
        "wrong_token_type" => auth(AuthError::WrongTokenType),
        "token_revoked" => auth(AuthError::TokenRevoked),
        "token_outdated" => auth(AuthError::TokenOutdated),
        "fresh_token_required" => auth(AuthError::FreshTokenRequired),
        "unknown_user" => auth(AuthError::UnknownUser(String::new())),
        "insufficient_scope" => auth(AuthError::InsufficientScope),
        "csrf_failed" => auth(AuthError::CsrfFailed(CsrfFailure::HeaderMissing)),
        "invalid_credentials" => ApiError::InvalidCredentials.problem(),
        "invalid_client" => ApiError::InvalidClient.problem(),
        "client_authentication" => ApiError::ClientAuthentication.problem(),
        "refresh_reused" => ApiError::RefreshReused.problem(),
        "session_expired" => ApiError::SessionExpired.problem(),
        "session_revoked" => ApiError::SessionRevoked.problem(),
        "weak_password" => ApiError::WeakPassword(Weakness::Common).problem(),
        "conflict" => ApiError::Conflict("this user name is taken").problem(),
        "forbidden" => ApiError::Forbidden("this account is disabled").problem(),
        "not_found" => ApiError::NotFound("there is no such user").problem(),
        "validation_failed" => ApiError::InvalidInput {
            detail: "`username` is required".into(),
            errors: vec![FieldError {
                field: "username".into(),
                detail: "is required".into(),
            }],
        }
        .problem(),
        "unsupported_grant_type" => ApiError::UnsupportedGrantType.problem(),
        "another_client" => ApiError::WrongClient.problem(),
        "invalid_scope" => ApiError::InvalidScope.problem(),
        "too_many_requests" => ApiError::TooManyRequests {
            retry_after: Duration::from_secs(42),
            budget: BudgetKind::Network,
        }
        .problem(),
        "unavailable" => ApiError::unavailable("").problem(),
        "request_timeout" => Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            "the body did not arrive in time",
        ),
        "payload_too_large" => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "payload_too_large",
            "the body is too large",
        ),
        "unsupported_media_type" => Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "this `Content-Type` is not supported here",
        ),
        _ => ApiError::internal("").problem(),
    }
}
