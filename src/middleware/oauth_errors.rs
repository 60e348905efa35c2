//! Errors below `/oauth/` in the format of RFC 6749, section 5.2, which OAuth clients expect.

use poem::Response;
use poem::http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use latchet_guard::error::Problem;

#[derive(Serialize)]
struct OauthErrorBody<'a> {
    error: &'static str,
    error_description: &'a str,
    /// The code that other endpoints use, for clients that know this server.
    code: &'static str,
    request_id: &'a str,
}

/// Returns whether errors at this path have the format of OAuth.
pub(super) fn is_oauth_path(path: &str) -> bool {
    path.starts_with("/oauth/")
}

/// Returns the response for a problem in the format of OAuth.
pub(super) fn oauth_error_response(problem: Problem, path: &str, request_id: &str) -> Response {
    let (status, error) = oauth_status_and_error(&problem, path);
    let body = serde_json::to_vec(&OauthErrorBody {
        error,
        error_description: &ascii_description(&problem.detail),
        code: problem.code,
        request_id,
    })
    .unwrap_or_default();
    // The response of the problem already has the right headers: challenge, retry time, caching.
    let mut response = problem.into_response(Some(request_id));
    if status == StatusCode::BAD_REQUEST {
        response.headers_mut().remove(header::WWW_AUTHENTICATE);
    }
    response.set_status(status);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response.set_body(body);
    response
}

/// Replaces the characters that RFC 6749 does not allow in a description (appendix A.8): the text may
/// contain a part of the request.
fn ascii_description(detail: &str) -> String {
    let replaced = |c| match c {
        '"' => '\'',
        '\\' => '/',
        ' '..='~' => c,
        _ => '?',
    };
    detail.chars().map(replaced).collect()
}

/// Returns the status and the `error` that a problem has at this path.
pub(crate) fn oauth_status_and_error(problem: &Problem, path: &str) -> (StatusCode, &'static str) {
    match error_name(problem, path) {
        // An invalid grant is not a failed authentication of the client, so the status is not 401.
        error @ "invalid_grant" => (StatusCode::BAD_REQUEST, error),
        error => (problem.status, error),
    }
}

fn error_name(problem: &Problem, path: &str) -> &'static str {
    match problem.code {
        "unsupported_grant_type" => "unsupported_grant_type",
        "validation_failed" => error_name_by_field(problem),
        "unavailable" | "too_many_requests" => "temporarily_unavailable",
        "internal" => "server_error",
        "insufficient_scope" => "insufficient_scope",
        "invalid_client" => "invalid_client",
        "unauthorized_client" => "unauthorized_client",
        "invalid_grant" => "invalid_grant",
        // At the token endpoint the credentials are the grant; elsewhere they authenticate the caller.
        _ if problem.status == StatusCode::UNAUTHORIZED && path == "/oauth/token" => {
            "invalid_grant"
        }
        _ if problem.status == StatusCode::UNAUTHORIZED => "invalid_token",
        _ => "invalid_request",
    }
}

fn error_name_by_field(problem: &Problem) -> &'static str {
    match problem.errors.first().map(|error| error.field.as_str()) {
        Some("scope") => "invalid_scope",
        _ => "invalid_request",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_has_only_the_characters_of_the_standard() {
        for (detail, sent) in [
            ("the token `a` is \"b\"", "the token `a` is 'b'"),
            ("a\\b\nc\u{1b}\u{7f}", "a/b?c??"),
            ("größer – 1", "gr??er ? 1"),
        ] {
            assert_eq!(ascii_description(detail), sent);
        }
    }
}
