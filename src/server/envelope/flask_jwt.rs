//! Errors for clients of Flask-JWT, if `LATCHET_COMPAT_FLASK_JWT` is set. Each problem then also has the
//! three members that those clients read (extension members, RFC 9457, section 3.2); other clients ignore
//! them.

use poem::http::HeaderValue;

use super::problems::Refusal;
use crate::error::Problem;
use crate::guard::Words;
use crate::server::error::ApiError;

/// Challenge that Flask-JWT sends when a token is missing.
const CHALLENGE: &str = r#"JWT realm="Login Required""#;

/// Adds the members and the challenge that Flask-JWT has for the refusal of a request with this
/// `Authorization` header.
pub(super) fn translate(refusal: &mut Refusal, authorization: Option<&HeaderValue>) {
    let Refusal { problem, auth, .. } = refusal;
    let words = match auth {
        Some(error) => Words::of(error, authorization),
        None => words(problem),
    };
    if words.error == Words::NO_TOKEN {
        let ours = problem.challenge.take().unwrap_or_default();
        problem.challenge = Some(format!("{ours}, {CHALLENGE}"));
    }
    let members = [
        ("status_code", problem.status.as_u16().into()),
        ("error", words.error.into()),
        ("description", words.description.into()),
    ];
    for (name, value) in members {
        problem.members.insert(name.to_owned(), value);
    }
}

fn words(problem: &Problem) -> Words {
    if problem.code == ApiError::InvalidCredentials.problem().code {
        return Words::new("Bad Request", "Invalid credentials");
    }
    Words::new(problem.title(), problem.detail.as_str())
}
