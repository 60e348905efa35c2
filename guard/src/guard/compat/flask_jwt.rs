//! Refusals in the format of Flask-JWT, for front ends that were written against it.

use poem::http::{HeaderValue, StatusCode, header};
use poem::{Request, Response};
use serde_json::json;

use crate::error::{AuthError, InvalidToken, MalformedToken};
use crate::guard::Refusal;

/// Builds responses as Flask-JWT 0.3.2 does: `{"status_code": 401, "error": "Invalid token",
/// "description": "Signature has expired"}`. For
/// [`Guards::with_refusals`](crate::guard::Guards::with_refusals), beside
/// [`Location::scheme("JWT")`](crate::guard::Location::scheme), where its clients put their tokens.
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

/// A refusal as Flask-JWT reports it: for servers that add its members to their own responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlaskJwtError {
    /// The member `error`.
    pub error: &'static str,
    /// The member `description`.
    pub description: String,
    /// Presence of a challenge in the response of Flask-JWT: only where no token was presented.
    pub has_challenge: bool,
}

impl FlaskJwtError {
    /// Returns an error with these texts and without a challenge.
    pub fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self {
            error,
            description: description.into(),
            has_challenge: false,
        }
    }

    /// Returns the error for a refused request with this `Authorization` header.
    pub fn for_refusal(error: &AuthError, authorization: Option<&HeaderValue>) -> Self {
        const HEADER: &str = "Invalid JWT header";
        let presented = authorization
            .map_or(&b""[..], HeaderValue::as_bytes)
            .trim_ascii();
        match error {
            AuthError::MissingToken if presented.is_empty() => Self {
                has_challenge: true,
                ..Self::new(
                    "Authorization Required",
                    "Request does not contain an access token",
                )
            },
            AuthError::MissingToken => Self::new(HEADER, "Unsupported authorization type"),
            AuthError::MalformedToken(MalformedToken::NoTokenAfterScheme) => {
                Self::new(HEADER, "Token missing")
            }
            AuthError::MalformedToken(_) if count_words(presented) > 2 => {
                Self::new(HEADER, "Token contains spaces")
            }
            AuthError::MalformedToken(reason) => {
                Self::new("Invalid token", malformed_description(*reason, presented))
            }
            AuthError::InvalidToken(reason) => {
                Self::new("Invalid token", invalid_description(*reason))
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
fn malformed_description(reason: MalformedToken, presented: &[u8]) -> String {
    let has_too_few_parts = presented.split(|&byte| byte == b'.').count() < 3;
    match reason {
        MalformedToken::NotThreeParts if has_too_few_parts => "Not enough segments".to_owned(),
        MalformedToken::ClaimMissing(claim) => format!(r#"Token is missing the "{claim}" claim"#),
        other => other.to_string(),
    }
}

fn invalid_description(reason: InvalidToken) -> String {
    match reason {
        InvalidToken::BadSignature => "Signature verification failed".to_owned(),
        InvalidToken::NotYetValid => "The token is not yet valid (nbf)".to_owned(),
        InvalidToken::IssuedInFuture => "Issued At claim (iat) cannot be in the future.".to_owned(),
        other => other.to_string(),
    }
}
