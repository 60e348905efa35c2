//! Every value of `code` in a problem, with its status, its meaning and an example: the list behind the API
//! document and the reference.

use std::time::Duration;

use poem::http::StatusCode;

use crate::error::ApiError;
use crate::password::Weakness;
use crate::throttle::BudgetKind;
use latchet_guard::error::{AuthError, CsrfFailure, InvalidToken, MalformedToken, Problem};

/// The part of Latchet that sends a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemSource {
    /// The guards of the library, in this server and in services that use them.
    Guards,
    /// This server alone.
    Server,
    /// The guards and this server.
    Both,
}

/// One value of `code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProblemCode {
    /// The value.
    pub code: &'static str,
    /// The status of the response.
    pub status: StatusCode,
    /// The part that sends it.
    pub source: ProblemSource,
    /// The condition that it reports, and the right reaction of the client.
    pub meaning: &'static str,
}

const fn problem(
    status: StatusCode,
    code: &'static str,
    source: ProblemSource,
    meaning: &'static str,
) -> ProblemCode {
    ProblemCode {
        code,
        status,
        source,
        meaning,
    }
}

/// Returns the meaning of a code, where it is one.
pub fn meaning(code: &str) -> Option<&'static str> {
    let mut codes = PROBLEM_CODES.iter();
    Some(codes.find(|known| known.code == code)?.meaning)
}

/// All codes, by status.
pub const PROBLEM_CODES: [ProblemCode; 34] = {
    use ProblemSource::{Both, Guards, Server};
    [
        problem(
            StatusCode::BAD_REQUEST,
            "invalid_code",
            Server,
            "The mailed link or code is wrong, was used or has expired, or too many wrong codes were entered. Ask for another mail; after too many wrong codes, open the link in it.",
        ),
        problem(
            StatusCode::BAD_REQUEST,
            "invalid_grant",
            Server,
            "Below `/oauth/`: the token was issued to another client than the one that the request names.",
        ),
        problem(
            StatusCode::BAD_REQUEST,
            "unauthorized_client",
            Server,
            "At `/oauth/token`: a service asked for the tokens of a user. It gets tokens for itself alone, by `client_credentials`.",
        ),
        problem(
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
            Server,
            "`/oauth/token` supports `password`, `refresh_token` and `client_credentials` only.",
        ),
        problem(
            StatusCode::BAD_REQUEST,
            "validation_failed",
            Both,
            "The request is malformed. `errors` names each wrong field; if the request carries two different tokens, `detail` says where they are.",
        ),
        problem(
            StatusCode::BAD_REQUEST,
            "weak_password",
            Server,
            "The new password is too easy to guess, too short or too long; `detail` says which. Choose another one.",
        ),
        problem(
            StatusCode::UNAUTHORIZED,
            "fresh_token_required",
            Guards,
            "The operation needs a fresh token. Prove the password at `/v1/reauthenticate`; a refresh does not help.",
        ),
        problem(
            StatusCode::UNAUTHORIZED,
            "invalid_client",
            Server,
            "The name or the secret of a service is wrong. Below `/oauth/`: the client sent a secret or an assertion, but clients have none.",
        ),
        problem(
            StatusCode::UNAUTHORIZED,
            "invalid_credentials",
            Server,
            "The user name or the password is wrong, or the account is disabled.",
        ),
        problem(
            StatusCode::UNAUTHORIZED,
            "invalid_token",
            Guards,
            "The signature, the issuer, the audience or another claim of the token is wrong. Log in again.",
        ),
        problem(
            StatusCode::UNAUTHORIZED,
            "malformed_token",
            Guards,
            "The value in the place of the token is not a token. Log in again.",
        ),
        problem(
            StatusCode::UNAUTHORIZED,
            "missing_token",
            Guards,
            "The request carries no token. Log in.",
        ),
        problem(
            StatusCode::UNAUTHORIZED,
            "refresh_reused",
            Server,
            "The refresh token was used before, and its grace period is over: it was stolen, or the client kept it too long. The session was ended. Log in again.",
        ),
        problem(
            StatusCode::UNAUTHORIZED,
            "session_expired",
            Server,
            "The session has reached its maximum age, or was not refreshed in time. Log in again.",
        ),
        problem(
            StatusCode::UNAUTHORIZED,
            "session_revoked",
            Server,
            "The session was ended by a logout or an administrator. Log in again.",
        ),
        problem(
            StatusCode::UNAUTHORIZED,
            "token_expired",
            Guards,
            "The token has expired. Refresh it and retry.",
        ),
        problem(
            StatusCode::UNAUTHORIZED,
            "token_outdated",
            Guards,
            "The rights of the user have changed since the token was issued (roles, password, a disabled account). Refresh it and retry: the new token carries the current rights.",
        ),
        problem(
            StatusCode::UNAUTHORIZED,
            "token_revoked",
            Guards,
            "The token or its session was revoked. Log in again.",
        ),
        problem(
            StatusCode::UNAUTHORIZED,
            "unknown_user",
            Guards,
            "The token is valid, but its user no longer exists. Only services that look up the user (`CurrentUser`) send this.",
        ),
        problem(
            StatusCode::UNAUTHORIZED,
            "wrong_token_type",
            Guards,
            "The request carries a refresh token where an access token is required, or the reverse.",
        ),
        problem(
            StatusCode::FORBIDDEN,
            "csrf_failed",
            Both,
            "A cookie came from a page of another origin, or without its CSRF value. `detail` says which, and for another origin it names the origins and the settings.",
        ),
        problem(
            StatusCode::FORBIDDEN,
            "forbidden",
            Server,
            "The caller is known and may not do this; `detail` says why.",
        ),
        problem(
            StatusCode::FORBIDDEN,
            "insufficient_scope",
            Guards,
            "The token lacks the role or the scope that the operation requires.",
        ),
        problem(
            StatusCode::NOT_FOUND,
            "not_found",
            Server,
            "The resource or the path does not exist.",
        ),
        problem(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            Server,
            "The path does not support this method. `Allow` lists those that it supports.",
        ),
        problem(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            Server,
            "The body did not arrive in time.",
        ),
        problem(
            StatusCode::CONFLICT,
            "conflict",
            Server,
            "The name is taken, or the resource was changed in the meantime or is in a state that forbids the change. `detail` says what to do.",
        ),
        problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "payload_too_large",
            Both,
            "The body is longer than the limit.",
        ),
        problem(
            StatusCode::URI_TOO_LONG,
            "uri_too_long",
            Server,
            "The first line of the request is longer than the head of a request may be (16 KiB).",
        ),
        problem(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            Server,
            "The `Content-Type` or `Content-Encoding` is not supported. The API document lists the types.",
        ),
        problem(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_requests",
            Server,
            "There were too many failed attempts. Wait as long as `Retry-After` says.",
        ),
        problem(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "headers_too_large",
            Server,
            "The head of the request is larger than 16 KiB or has more than 64 headers, often because of cookies of other programs.",
        ),
        problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            Server,
            "The server failed. `request_id` identifies the request in its log.",
        ),
        problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            Both,
            "The database or the denylist did not respond, or the server is overloaded. Nothing is known about the token: retry after `Retry-After`.",
        ),
    ]
};

/// Returns an error with this code, as the server sends it.
pub(crate) fn error_sample(code: &str) -> Problem {
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
        "invalid_code" => ApiError::InvalidCode.problem(),
        "weak_password" => ApiError::WeakPassword(Weakness::Common).problem(),
        "conflict" => ApiError::Conflict("this user name is taken").problem(),
        "forbidden" => ApiError::Forbidden("this account is disabled").problem(),
        "not_found" => ApiError::NotFound("there is no such user").problem(),
        "validation_failed" => ApiError::invalid_field("username", "is required").problem(),
        "unsupported_grant_type" => ApiError::UnsupportedGrantType.problem(),
        "unauthorized_client" => ApiError::UnauthorizedClient.problem(),
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
