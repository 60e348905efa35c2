//! Refusals in the format of Flask-JWT-Extended, for front ends that were written against it.

use poem::http::{HeaderName, StatusCode, header};
use poem::{Request, Response};
use serde_json::json;

use super::csrf::{MISMATCH, NO_CLAIM, VALUE_MISSING};
use super::location::{NO_PREFIX, NOTHING_AFTER_SCHEME};
use super::refusal::Asked;
use super::{Location, Place, Refusal, body};
use crate::cookies::Cookies;
use crate::error::AuthError;
use crate::token::{Expected, Kind};

/// Builds responses as Flask-JWT-Extended 4.7 does: `{"msg": "Token has expired"}` with its statuses,
/// 422 for an invalid token. For [`Guards::with_refusals`](super::Guards::with_refusals).
///
/// The texts are those of Flask-JWT-Extended itself. Where it passes on a text of its JWT library, which
/// changes with that library, our text is used instead; likewise for refusals that FJE does not have:
/// 400 for two tokens, 403 for a role or scope, 503. `WWW-Authenticate`, `Retry-After` and
/// `Cache-Control` stay as HTTP requires.
///
/// ```
/// # use latchet::guard::{Guards, flask_jwt_extended_errors};
/// # fn example(guards: Guards) -> Guards {
/// guards.with_refusals(flask_jwt_extended_errors("msg"))
/// # }
/// ```
pub fn flask_jwt_extended_errors(
    message_key: impl Into<String>,
) -> impl Fn(&Refusal<'_>) -> Response + Send + Sync + 'static {
    let message_key = message_key.into();
    move |refusal| {
        let (status, text) = row(refusal);
        let mut response = refusal.error().problem().into_response(None);
        response.set_status(status);
        response.set_body(json!({ (message_key.as_str()): text }).to_string());
        let mut response = response.set_content_type("application/json");
        if status != StatusCode::UNAUTHORIZED && status != StatusCode::FORBIDDEN {
            response.headers_mut().remove(header::WWW_AUTHENTICATE);
        }
        response
    }
}

fn row(refusal: &Refusal<'_>) -> (StatusCode, String) {
    const ABSENT: StatusCode = StatusCode::UNAUTHORIZED;
    const WRONG: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;
    let error = refusal.error();
    let asked = refusal.asked;
    match error {
        AuthError::MissingToken => (ABSENT, asked.map_or_else(|| error.to_string(), missing)),
        AuthError::MalformedToken(reason) => (WRONG, malformed(reason, asked)),
        AuthError::InvalidToken(reason) => (WRONG, (*reason).to_owned()),
        AuthError::TokenExpired => (ABSENT, "Token has expired".to_owned()),
        AuthError::WrongTokenType => (WRONG, wrong_type(asked).to_owned()),
        AuthError::TokenRevoked | AuthError::TokenOutdated => {
            (ABSENT, "Token has been revoked".to_owned())
        }
        AuthError::FreshTokenRequired => (ABSENT, "Fresh token required".to_owned()),
        AuthError::ClaimsRejected(_) => (
            StatusCode::BAD_REQUEST,
            "User claims verification failed".to_owned(),
        ),
        AuthError::UnknownUser(sub) => (ABSENT, format!("Error loading the user {sub}")),
        AuthError::CsrfFailed(VALUE_MISSING) => (ABSENT, "Missing CSRF token".to_owned()),
        AuthError::CsrfFailed(MISMATCH) => {
            (ABSENT, "CSRF double submit tokens do not match".to_owned())
        }
        AuthError::CsrfFailed(NO_CLAIM) => (WRONG, "Missing claim: csrf".to_owned()),
        AuthError::CsrfFailed(reason) => (ABSENT, (*reason).to_owned()),
        AuthError::InsufficientScope
        | AuthError::AmbiguousToken(..)
        | AuthError::BodyTooLarge
        | AuthError::Unavailable => (error.problem().status, error.to_string()),
    }
}

fn wrong_type(asked: Option<Asked<'_>>) -> &'static str {
    match asked.map(|asked| asked.expected) {
        Some(Expected::Refresh) => "Only refresh tokens are allowed",
        _ => "Only non-refresh tokens are allowed",
    }
}

fn malformed(reason: &'static str, asked: Option<Asked<'_>>) -> String {
    let of_place = asked.and_then(|asked| {
        let mut locations = asked.locations.iter();
        locations.find_map(|location| match location {
            Location::Header { name, scheme } => {
                let bad = reason == NOTHING_AFTER_SCHEME
                    || has_too_many_parts(asked.request, name, scheme.as_deref());
                bad.then(|| bad_header(name, scheme.as_deref()))
            }
            Location::Query { name, prefix } if reason == NO_PREFIX => Some(format!(
                "Invalid value for query parameter '{name}'. Expected the value to start with \
                 '{prefix}'"
            )),
            _ => None,
        })
    });
    let of_claim = || {
        let claim = reason.strip_prefix("the claim `")?;
        Some(format!(
            "Missing claim: {}",
            claim.strip_suffix("` is missing")?
        ))
    };
    of_place
        .or_else(of_claim)
        .unwrap_or_else(|| reason.to_owned())
}

/// `Bearer a b`: for FJE the format of the header is wrong, not the token.
fn has_too_many_parts(request: &Request, name: &HeaderName, scheme: Option<&str>) -> bool {
    let parts = if scheme.is_some() { 2 } else { 1 };
    let values = request.headers().get_all(name).into_iter();
    let mut credentials = values
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .filter_map(|value| std::str::from_utf8(value).ok())
        .map(str::split_ascii_whitespace);
    credentials.any(|mut words| {
        let ours = scheme.is_none_or(|scheme| {
            let word = words.clone().next();
            word.is_some_and(|word| word.eq_ignore_ascii_case(scheme))
        });
        ours && words.nth(parts).is_some()
    })
}

fn bad_header(name: &HeaderName, scheme: Option<&str>) -> String {
    let name = title(name);
    let expected = with_scheme(&name, scheme);
    format!("Bad {name} header. Expected '{expected}'")
}

fn with_scheme(name: &str, scheme: Option<&str>) -> String {
    match scheme {
        Some(scheme) => format!("{name}: {scheme} <JWT>"),
        None => format!("{name}: <JWT>"),
    }
}

/// Header names are stored in lower case; messages use title case.
fn title(name: &HeaderName) -> String {
    let words = name.as_str().split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    words.collect::<Vec<_>>().join("-")
}

fn missing(asked: Asked<'_>) -> String {
    let reasons: Vec<_> = asked
        .locations
        .iter()
        .map(|location| missing_in(location, asked))
        .collect();
    let names: Vec<_> = asked
        .locations
        .iter()
        .map(|location| name(location.place()))
        .collect();
    match (&names[..], &reasons[..]) {
        ([], _) => "Missing JWT".to_owned(),
        (_, [reason]) => reason.clone(),
        ([names @ .., last], reasons) => format!(
            "Missing JWT in {} or {last} ({})",
            names.join(", "),
            reasons.join("; ")
        ),
    }
}

fn missing_in(location: &Location, asked: Asked<'_>) -> String {
    let first = asked.expected.kinds().first();
    let kind = first.copied().unwrap_or(Kind::Access);
    match location {
        Location::Header { name, scheme } => missing_header(asked.request, name, scheme.as_deref()),
        Location::Cookie(cookies) => missing_cookie(cookies, kind),
        Location::Query { name, .. } => format!("Missing '{name}' query paramater"),
        Location::Json { .. } if !body::has_type(asked.request, "application/json") => {
            "Invalid content-type. Must be application/json.".to_owned()
        }
        Location::Json {
            access, refresh, ..
        } => {
            let key = match kind {
                Kind::Access => access,
                Kind::Refresh => refresh,
            };
            format!(r#"Missing "{key}" key in json data."#)
        }
    }
}

fn missing_header(request: &Request, name: &HeaderName, scheme: Option<&str>) -> String {
    let is_empty = request
        .headers()
        .get_all(name)
        .into_iter()
        .all(|value| value.as_bytes().trim_ascii().is_empty());
    let name = title(name);
    match scheme {
        Some(scheme) if !is_empty => {
            let expected = with_scheme(&name, Some(scheme));
            format!("Missing '{scheme}' type in '{name}' header. Expected '{expected}'")
        }
        _ => format!("Missing {name} Header"),
    }
}

fn missing_cookie(cookies: &Cookies, kind: Kind) -> String {
    format!(r#"Missing cookie "{}""#, cookies.of(kind).name)
}

const fn name(place: Place) -> &'static str {
    match place {
        Place::Header => "headers",
        Place::Cookie => "cookies",
        Place::Query => "query_string",
        Place::Json => "json",
    }
}
