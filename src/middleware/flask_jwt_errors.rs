//! Errors for clients of Flask-JWT, if `LATCHET_COMPAT_FLASK_JWT` is set. Each problem then also has the
//! three members that those clients read (extension members, RFC 9457, section 3.2); other clients ignore
//! them.

use poem::http::HeaderValue;

use super::error_reply::ErrorReply;
use crate::error::ApiError;
use latchet_guard::FlaskJwtError;
use latchet_guard::error::Problem;

/// Challenge that Flask-JWT sends when a token is missing.
const FLASK_JWT_CHALLENGE: &str = r#"JWT realm="Login Required""#;

/// Adds the members and the challenge that Flask-JWT has for the refusal of a request with this
/// `Authorization` header.
pub(super) fn add_flask_jwt_members(reply: &mut ErrorReply, authorization: Option<&HeaderValue>) {
    let ErrorReply { problem, auth, .. } = reply;
    let error = match auth {
        Some(refused) => FlaskJwtError::for_refusal(refused, authorization),
        None => flask_jwt_error(problem),
    };
    if error.has_challenge {
        let challenge = problem.challenge.take().unwrap_or_default();
        problem.challenge = Some(format!("{challenge}, {FLASK_JWT_CHALLENGE}"));
    }
    let members = [
        ("status_code", problem.status.as_u16().into()),
        ("error", error.error.into()),
        ("description", error.description.into()),
    ];
    for (name, value) in members {
        problem.members.insert(name.to_owned(), value);
    }
}

fn flask_jwt_error(problem: &Problem) -> FlaskJwtError {
    if problem.code == ApiError::InvalidCredentials.problem().code {
        return FlaskJwtError::new("Bad Request", "Invalid credentials");
    }
    FlaskJwtError::new(problem.title(), problem.detail.as_str())
}
