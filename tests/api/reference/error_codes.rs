//! `docs/reference/error-codes.md`

use latchet::problem_codes::{PROBLEM_CODES, ProblemSource};

use super::{http_api, page, push_heading, push_table};

const INTRODUCTION: &str = "
Every error response is `application/problem+json` (RFC 9457) with one of these values in `code`. Programs use
`code`; the texts may change. Below `/oauth/` the response has the form of RFC 6749, and `code` is an additional
member. A service that uses the guards of the library sends the codes of the guards.

`Retry-After` is part of every 429 and 503, and `WWW-Authenticate` of every 401.
";

pub(super) fn generate() -> String {
    let mut text = page("Error codes", INTRODUCTION);
    let rows: Vec<_> = PROBLEM_CODES
        .iter()
        .map(|problem| {
            let source = match problem.source {
                ProblemSource::Guards => "guards",
                ProblemSource::Server => "server",
                ProblemSource::Both => "guards, server",
            };
            vec![
                format!("`{}`", problem.code),
                problem.status.to_string(),
                source.to_owned(),
                problem.meaning.to_owned(),
            ]
        })
        .collect();
    push_table(
        &mut text,
        &["code", "status and title", "sent by", "meaning"],
        &rows,
    );
    push_heading(&mut text, "Members of the body");
    let document = http_api::document();
    let schema = &document["components"]["schemas"]["Problem"];
    let members = schema["properties"].as_object().unwrap();
    let rows: Vec<_> = members
        .iter()
        .map(|(name, member)| {
            let description = member["description"].as_str().unwrap();
            vec![format!("`{name}`"), super::sentence(description)]
        })
        .collect();
    push_table(&mut text, &["member", "meaning"], &rows);
    text
}
