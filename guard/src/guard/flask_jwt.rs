//! Refusals in the format of Flask-JWT, for front ends that were written against it.

use poem::http::{HeaderValue, StatusCode, header};
use poem::{Request, Response};
use serde_json::json;

use super::Refusal;
use super::location::NO_TOKEN_AFTER_SCHEME;
use crate::error::AuthError;
use crate::token::reason;

/// Builds responses as Flask-JWT 0.3.2 does: `{"status_code": 401, "error": "Invalid token",
/// "description": "Signature has expired"}`. For
/// [`Guards::with_refusals`](super::Guards::with_refusals), beside
/// [`Location::scheme("JWT")`](super::Location::scheme), where its clients put their tokens.
///
/// Refusals that Flask-JWT does not have use the same format with our text: a refresh token, a revoked
/// token, a missing role. Every 401 has a challenge, as HTTP requires; Flask-JWT sends one only if no
/// token was presented.
///
/// ```
/// # use latchet_guard::{Guards, Location, flask_jwt_errors};
/// # fn example(guards: Guards) -> Guards {
/// guards
///     .with_locations([Location::header(), Location::scheme("JWT")])
///     .with_refusals(flask_jwt_errors("Login Required"))
/// # }
/// ```
pub fn flask_jwt_errors(
    realm: &str,
) -> impl Fn(&Refusal<'_>) -> Response + Send + Sync + use<> + 'static {
    let challenge = HeaderValue::try_from(format!("JWT realm={realm:?}"));
    move |refusal| {
        let problem = refusal.error().problem();
        let status = problem.status;
        let headers = refusal.request().map(Request::headers);
        let presented = headers.and_then(|headers| headers.get(header::AUTHORIZATION));
        let flask_error = FlaskJwtError::for_refusal(refusal.error(), presented);
        let body = json!({
            "status_code": status.as_u16(),
            "error": flask_error.error,
            "description": flask_error.description,
        });
        let mut response = problem.into_response(None);
        response.set_body(body.to_string());
        if let Ok(challenge) = &challenge
            && status == StatusCode::UNAUTHORIZED
        {
            let headers = response.headers_mut();
            headers.insert(header::WWW_AUTHENTICATE, challenge.clone());
        }
        response.set_content_type("application/json")
    }
}

/// Refusal as Flask-JWT reports it.
#[derive(Debug, PartialEq, Eq)]
pub struct FlaskJwtError {
    pub error: &'static str,
    pub description: String,
}

impl FlaskJwtError {
    /// The only refusal to which Flask-JWT adds a challenge.
    pub const NO_TOKEN: &str = "Authorization Required";

    pub fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self {
            error,
            description: description.into(),
        }
    }

    /// Returns the error for a refused request with this `Authorization` header.
    pub fn for_refusal(error: &AuthError, authorization: Option<&HeaderValue>) -> Self {
        const HEADER: &str = "Invalid JWT header";
        let presented = authorization
            .map_or(&b""[..], HeaderValue::as_bytes)
            .trim_ascii();
        match error {
            AuthError::MissingToken if presented.is_empty() => {
                Self::new(Self::NO_TOKEN, "Request does not contain an access token")
            }
            AuthError::MissingToken => Self::new(HEADER, "Unsupported authorization type"),
            AuthError::MalformedToken(NO_TOKEN_AFTER_SCHEME) => Self::new(HEADER, "Token missing"),
            AuthError::MalformedToken(_) if count_words(presented) > 2 => {
                Self::new(HEADER, "Token contains spaces")
            }
            AuthError::MalformedToken(reason) => {
                Self::new("Invalid token", malformed_description(reason, presented))
            }
            AuthError::InvalidToken(reason) => {
                Self::new("Invalid token", invalid_description(reason))
            }
            AuthError::TokenExpired => Self::new("Invalid token", "Signature has expired"),
            AuthError::UnknownUser(_) => Self::new("Invalid JWT", "User does not exist"),
            AuthError::WrongTokenType
            | AuthError::TokenRevoked
            | AuthError::TokenOutdated
            | AuthError::FreshTokenRequired
            | AuthError::ClaimsRejected(_) => Self::new("Invalid token", error.to_string()),
            AuthError::InsufficientScope
            | AuthError::CsrfFailed(_)
            | AuthError::AmbiguousToken(..)
            | AuthError::BodyTooLarge
            | AuthError::Unavailable => Self::new(error.problem().title(), error.to_string()),
        }
    }
}

fn count_words(header: &[u8]) -> usize {
    let words = header.split(u8::is_ascii_whitespace);
    words.filter(|word| !word.is_empty()).count()
}

/// The texts are those of the JWT library that Flask-JWT requires, `PyJWT` below 1.5.
fn malformed_description(reason: &'static str, presented: &[u8]) -> String {
    let has_too_few_parts = presented.split(|&byte| byte == b'.').count() < 3;
    if reason == reason::NOT_THREE_PARTS && has_too_few_parts {
        return "Not enough segments".to_owned();
    }
    let claim = reason
        .strip_prefix("the claim `")
        .and_then(|rest| rest.strip_suffix("` is missing"));
    match claim {
        Some(claim) => format!(r#"Token is missing the "{claim}" claim"#),
        None => reason.to_owned(),
    }
}

fn invalid_description(reason: &'static str) -> &'static str {
    match reason {
        reason::BAD_SIGNATURE => "Signature verification failed",
        reason::NOT_YET => "The token is not yet valid (nbf)",
        reason::FROM_THE_FUTURE => "Issued At claim (iat) cannot be in the future.",
        other => other,
    }
}
