//! Errors for clients of Flask-JWT, where this server was told of such clients: the three members that
//! they read stand in each problem beside our own (RFC 9457, section 3.2), so that clients of ours notice
//! nothing.

use poem::http::HeaderValue;

use super::problems::Refusal;
use crate::error::Problem;
use crate::guard::Words;
use crate::server::error::ApiError;

/// What Flask-JWT sends beside a request for a token.
const CHALLENGE: &str = r#"JWT realm="Login Required""#;

/// Adds Flask-JWT's words for a refusal of a request with this `Authorization`.
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
