//! Reasons for refusing a request, and the HTTP response to each.
//!
//! Every refusal is a [`Problem`]: one body (RFC 9457) and one stable `code` per reason, so that a
//! client can act without parsing texts. `WWW-Authenticate` names an error only when a token was
//! presented and refused, because clients refresh their token on exactly that (RFC 6750, section 3).

use poem::Response;
use poem::error::ResponseError;
use poem::http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value};

mod reasons;

pub use reasons::{CsrfFailure, InvalidToken, MalformedToken, RequiredClaim, TokenLocation};

/// Default waiting time that a client receives in `Retry-After`.
const RETRY_AFTER_SECS: u32 = 1;

/// An error response as RFC 9457 `application/problem+json` with a stable `code`.
#[derive(Clone, Debug)]
pub struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable, machine-readable name of the error; clients switch on this.
    pub code: &'static str,
    /// Description of the error for a person, with the fix where there is one.
    pub detail: String,
    /// Errors by field; empty unless the input did not validate.
    pub errors: Vec<FieldError>,
    /// Seconds until a retry makes sense; 429 and 503 always have a value.
    pub retry_after: Option<u32>,
    /// The challenge sent as `WWW-Authenticate`.
    pub challenge: Option<String>,
    /// Further members of the body (RFC 9457, section 3.2); none has the name of a field above.
    pub members: Map<String, Value>,
}

/// One field that did not validate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Name of the field as the client wrote it.
    pub field: String,
    /// Description of the error for a person.
    pub detail: String,
}

#[derive(Serialize)]
struct ProblemBody<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(flatten)]
    members: &'a Map<String, Value>,
}

impl Problem {
    /// Returns a problem without challenge, waiting time, field errors or further members.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            challenge: None,
            members: Map::new(),
        }
    }

    /// Returns the reason phrase of the status, which RFC 9457 requires when `type` is `about:blank`.
    pub fn title(&self) -> &'static str {
        self.status.canonical_reason().unwrap_or("Error")
    }

    /// Returns the response body, for responses that are not built by [`into_response`](Self::into_response).
    pub fn to_json(&self, request_id: Option<&str>) -> Vec<u8> {
        serde_json::to_vec(&ProblemBody {
            kind: "about:blank",
            title: self.title(),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            request_id,
            errors: &self.errors,
            members: &self.members,
        })
        .unwrap_or_default()
    }

    /// Converts the problem into a response.
    pub fn into_response(self, request_id: Option<&str>) -> Response {
        let body = self.to_json(request_id);
        let mut response = Response::builder()
            .status(self.status)
            .content_type("application/problem+json")
            .header(header::CACHE_CONTROL, "no-store")
            .body(body);
        let headers = response.headers_mut();
        if let Some(secs) = self.waiting_time() {
            headers.insert(header::RETRY_AFTER, secs.into());
        }
        if let Some(challenge) = self
            .challenge
            .and_then(|text| HeaderValue::try_from(text).ok())
        {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }

    fn waiting_time(&self) -> Option<u32> {
        let must_say = matches!(
            self.status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        );
        self.retry_after.or(must_say.then_some(RETRY_AFTER_SECS))
    }
}

/// Reason for refusing a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No token in any location that was searched.
    #[error("no token was sent")]
    MissingToken,
    /// A value was sent in place of a token, but it is not a token.
    #[error("the token is malformed: {0}")]
    MalformedToken(MalformedToken),
    /// Signature, issuer, audience, algorithm or another claim is wrong.
    #[error("the token is not valid: {0}")]
    InvalidToken(InvalidToken),
    /// `exp` has passed.
    #[error("the token has expired")]
    TokenExpired,
    /// An access token where a refresh token is required, or the reverse.
    #[error("this is the wrong kind of token")]
    WrongTokenType,
    /// The session or the token was revoked.
    #[error("the token was revoked")]
    TokenRevoked,
    /// The token was issued before the permissions of its user changed; a refresh yields a current one,
    /// unless the session has ended.
    #[error("the permissions of its user have changed since the token was issued: refresh it")]
    TokenOutdated,
    /// The user did not enter the password recently enough.
    #[error("a fresh token is required")]
    FreshTokenRequired,
    /// A custom policy of the service did not accept the claims of a valid token.
    #[error("the token does not meet a requirement of this service: {0}")]
    ClaimsRejected(&'static str),
    /// The token is valid, but the service has no such user; holds the claim `sub`.
    #[error("the user of the token is not known")]
    UnknownUser(String),
    /// A role or scope is missing.
    #[error("the token does not carry the role or scope that this needs")]
    InsufficientScope,
    /// A cookie was sent without the matching CSRF value, or from a foreign origin.
    #[error("the CSRF check failed: {0}")]
    CsrfFailed(CsrfFailure),
    /// Two tokens in one request, and their locations.
    #[error("more than one token was sent: {}", describe_locations(*.0, *.1))]
    AmbiguousToken(TokenLocation, TokenLocation),
    /// The body, which would have to contain the token, exceeds the size that is searched.
    #[error("the body is too long to be searched for a token")]
    BodyTooLarge,
    /// The denylist or the user store could not be queried; retryable.
    #[error("the check could not be completed")]
    Unavailable,
}

impl AuthError {
    /// Returns the response to this refusal.
    pub fn problem(&self) -> Problem {
        let (status, code, error) = self.wire_form();
        let detail = self.to_string();
        let challenge = error.map(|error| match error {
            "" => r#"Bearer realm="latchet""#.to_owned(),
            error => format!(r#"Bearer error="{error}", error_description="{detail}""#),
        });
        Problem {
            challenge,
            ..Problem::new(status, code, detail)
        }
    }

    /// The table of refusals: status, `code`, and the `error` of the challenge. An empty `error`
    /// requests a token without rejecting one; `None` sends no challenge at all.
    fn wire_form(&self) -> (StatusCode, &'static str, Option<&'static str>) {
        const INVALID: Option<&str> = Some("invalid_token");
        // RFC 9470: a refreshed token would not help; the user has to enter the password again.
        const STEP_UP: Option<&str> = Some("insufficient_user_authentication");
        let unauthorized = StatusCode::UNAUTHORIZED;
        match self {
            Self::MissingToken => (unauthorized, "missing_token", Some("")),
            Self::MalformedToken(_) => (unauthorized, "malformed_token", INVALID),
            Self::InvalidToken(_) | Self::ClaimsRejected(_) => {
                (unauthorized, "invalid_token", INVALID)
            }
            Self::TokenExpired => (unauthorized, "token_expired", INVALID),
            Self::WrongTokenType => (unauthorized, "wrong_token_type", INVALID),
            Self::TokenRevoked => (unauthorized, "token_revoked", INVALID),
            Self::TokenOutdated => (unauthorized, "token_outdated", INVALID),
            Self::FreshTokenRequired => (unauthorized, "fresh_token_required", STEP_UP),
            Self::UnknownUser(_) => (unauthorized, "unknown_user", INVALID),
            Self::InsufficientScope => (
                StatusCode::FORBIDDEN,
                "insufficient_scope",
                Some("insufficient_scope"),
            ),
            Self::CsrfFailed(_) => (StatusCode::FORBIDDEN, "csrf_failed", None),
            Self::AmbiguousToken(..) => (
                StatusCode::BAD_REQUEST,
                "validation_failed",
                Some("invalid_request"),
            ),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", None),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", None),
        }
    }
}

fn describe_locations(first: TokenLocation, second: TokenLocation) -> String {
    if first == second {
        return format!("two are in {first}");
    }
    format!("one is in {first}, another in {second}")
}

/// Converts a guard's refusal into a [`Problem`] in any poem application, without middleware.
impl ResponseError for AuthError {
    fn status(&self) -> StatusCode {
        self.wire_form().0
    }

    fn as_response(&self) -> Response {
        self.problem().into_response(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_errors() -> [AuthError; 15] {
        [
            AuthError::MissingToken,
            AuthError::MalformedToken(MalformedToken::NotJwt),
            AuthError::InvalidToken(InvalidToken::BadSignature),
            AuthError::TokenExpired,
            AuthError::WrongTokenType,
            AuthError::TokenRevoked,
            AuthError::TokenOutdated,
            AuthError::FreshTokenRequired,
            AuthError::ClaimsRejected("x"),
            AuthError::UnknownUser("alice".to_owned()),
            AuthError::InsufficientScope,
            AuthError::CsrfFailed(CsrfFailure::ForeignOrigin),
            AuthError::AmbiguousToken(TokenLocation::Query, TokenLocation::Cookie),
            AuthError::BodyTooLarge,
            AuthError::Unavailable,
        ]
    }

    fn challenge(error: &AuthError) -> String {
        let response = error.as_response();
        let value = response.headers().get(header::WWW_AUTHENTICATE);
        value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    }

    #[tokio::test]
    async fn every_refusal_is_problem_json_with_its_code() {
        for error in all_errors() {
            let problem = error.problem();
            let response = problem.clone().into_response(Some("r1"));

            assert_eq!(response.status(), problem.status);
            assert_eq!(response.content_type(), Some("application/problem+json"));
            assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
            let body: Value =
                serde_json::from_slice(&response.into_body().into_vec().await.unwrap()).unwrap();
            assert_eq!(
                body,
                serde_json::json!({
                    "type": "about:blank",
                    "title": problem.status.canonical_reason().unwrap(),
                    "status": problem.status.as_u16(),
                    "code": problem.code,
                    "detail": error.to_string(),
                    "request_id": "r1",
                })
            );
        }
    }

    #[test]
    fn only_a_presented_token_is_called_invalid() {
        assert_eq!(
            challenge(&AuthError::MissingToken),
            r#"Bearer realm="latchet""#
        );
        assert_eq!(
            challenge(&AuthError::TokenExpired),
            r#"Bearer error="invalid_token", error_description="the token has expired""#
        );
        for without_challenge in [
            AuthError::CsrfFailed(CsrfFailure::ForeignOrigin),
            AuthError::Unavailable,
        ] {
            assert_eq!(challenge(&without_challenge), "");
        }
    }

    #[test]
    fn a_refresh_is_not_suggested_if_it_cannot_help() {
        assert!(
            challenge(&AuthError::FreshTokenRequired).contains("insufficient_user_authentication")
        );
        assert!(challenge(&AuthError::InsufficientScope).contains(r#"error="insufficient_scope""#));
    }

    #[test]
    fn a_busy_response_has_retry_after() {
        assert_eq!(
            AuthError::Unavailable.as_response().headers()[header::RETRY_AFTER],
            "1"
        );
        let mut problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "later");
        problem.retry_after = Some(30);
        assert_eq!(
            problem.into_response(None).headers()[header::RETRY_AFTER],
            "30"
        );
        assert!(
            !AuthError::TokenExpired
                .as_response()
                .headers()
                .contains_key(header::RETRY_AFTER)
        );
    }

    #[tokio::test]
    async fn a_field_that_does_not_validate_is_named() {
        let mut problem = Problem::new(StatusCode::BAD_REQUEST, "validation_failed", "no");
        problem.errors.push(FieldError {
            field: "username".into(),
            detail: "too long".into(),
        });

        let body = problem
            .into_response(None)
            .into_body()
            .into_string()
            .await
            .unwrap();

        assert!(
            body.contains(r#""errors":[{"field":"username","detail":"too long"}]"#),
            "{body}"
        );
    }
}
