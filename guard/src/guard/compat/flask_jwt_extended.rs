//! Refusals in the format of Flask-JWT-Extended, for front ends that were written against it.

use poem::http::{HeaderName, StatusCode, header};
use poem::{Request, Response};
use serde_json::json;

use crate::cookies::Cookies;
use crate::error::{AuthError, CsrfFailure, MalformedToken};
use crate::guard::refusal::RefusalContext;
use crate::guard::{Location, LocationKind, Refusal, body, credentials};
use crate::token::{ExpectedKind, TokenKind};

/// Builds responses as Flask-JWT-Extended 4.7 does: `{"msg": "Token has expired"}` with its statuses,
/// 422 for an invalid token. For [`Guards::with_refusals`](crate::guard::Guards::with_refusals).
///
/// The texts are those of Flask-JWT-Extended itself. Where it passes on a text of its JWT library, which
/// changes with that library, our text is used instead; likewise for refusals that FJE does not have:
/// 400 for two tokens, 403 for a role or scope, 503. `WWW-Authenticate`, `Retry-After` and
/// `Cache-Control` stay as HTTP requires.
///
/// ```
/// # use latchet_guard::{Guards, flask_jwt_extended_errors};
/// # fn example(guards: Guards) -> Guards {
/// guards.with_refusals(flask_jwt_extended_errors("msg"))
/// # }
/// ```
pub fn flask_jwt_extended_errors(
    message_key: impl Into<String>,
) -> impl Fn(&Refusal<'_>) -> Response + Send + Sync + 'static {
    let message_key = message_key.into();
    move |refusal| {
        let (status, text) = status_and_text(refusal);
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

fn status_and_text(refusal: &Refusal<'_>) -> (StatusCode, String) {
    const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;
    const UNPROCESSABLE: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;
    let error = refusal.error();
    let context = refusal.context;
    match error {
        AuthError::MissingToken => (
            UNAUTHORIZED,
            context.map_or_else(|| error.to_string(), missing_text),
        ),
        AuthError::MalformedToken(reason) => (UNPROCESSABLE, malformed_text(*reason, context)),
        AuthError::InvalidToken(reason) => (UNPROCESSABLE, reason.to_string()),
        AuthError::TokenExpired => (UNAUTHORIZED, "Token has expired".to_owned()),
        AuthError::WrongTokenType => (UNPROCESSABLE, wrong_type_text(context).to_owned()),
        AuthError::TokenRevoked | AuthError::TokenOutdated => {
            (UNAUTHORIZED, "Token has been revoked".to_owned())
        }
        AuthError::FreshTokenRequired => (UNAUTHORIZED, "Fresh token required".to_owned()),
        AuthError::ClaimsRejected(_) => (
            StatusCode::BAD_REQUEST,
            "User claims verification failed".to_owned(),
        ),
        AuthError::UnknownUser(sub) => (UNAUTHORIZED, format!("Error loading the user {sub}")),
        AuthError::CsrfFailed(reason) => csrf_status_and_text(*reason),
        AuthError::InsufficientScope
        | AuthError::AmbiguousToken(..)
        | AuthError::BodyTooLarge
        | AuthError::Unavailable => (error.problem().status, error.to_string()),
    }
}

fn csrf_status_and_text(reason: CsrfFailure) -> (StatusCode, String) {
    let status = match reason {
        CsrfFailure::ClaimMissing => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::UNAUTHORIZED,
    };
    let text = match reason {
        CsrfFailure::ValueMissing => "Missing CSRF token".to_owned(),
        CsrfFailure::ValueMismatch => "CSRF double submit tokens do not match".to_owned(),
        CsrfFailure::ClaimMissing => "Missing claim: csrf".to_owned(),
        other => other.to_string(),
    };
    (status, text)
}

fn wrong_type_text(context: Option<RefusalContext<'_>>) -> &'static str {
    match context.map(|context| context.expected) {
        Some(ExpectedKind::Refresh) => "Only refresh tokens are allowed",
        _ => "Only non-refresh tokens are allowed",
    }
}

fn malformed_text(reason: MalformedToken, context: Option<RefusalContext<'_>>) -> String {
    let location_text = context.and_then(|context| {
        let mut locations = context.locations.iter();
        locations.find_map(|location| match location {
            Location::Header { name, scheme } => {
                let bad = reason == MalformedToken::NoTokenAfterScheme
                    || has_too_many_parts(context.request, name, scheme.as_deref());
                bad.then(|| bad_header_text(name, scheme.as_deref()))
            }
            Location::Query { name, prefix } if reason == MalformedToken::QueryPrefixMissing => {
                Some(format!(
                    "Invalid value for query parameter '{name}'. Expected the value to start with \
                     '{prefix}'"
                ))
            }
            _ => None,
        })
    });
    location_text.unwrap_or_else(|| match reason {
        MalformedToken::ClaimMissing(claim) => format!("Missing claim: {claim}"),
        other => other.to_string(),
    })
}

/// `Bearer a b`: for FJE the format of the header is wrong, not the token.
fn has_too_many_parts(request: &Request, name: &HeaderName, scheme: Option<&str>) -> bool {
    let headers = request.headers();
    let has_two_words = |token: &[u8]| {
        std::str::from_utf8(token)
            .is_ok_and(|token| token.split_ascii_whitespace().nth(1).is_some())
    };
    if let Some(scheme) = scheme {
        return credentials(headers, name, &[scheme]).any(has_two_words);
    }
    let lines = headers.get_all(name).into_iter();
    let mut tokens = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    tokens.any(has_two_words)
}

fn bad_header_text(name: &HeaderName, scheme: Option<&str>) -> String {
    let name = title_case(name);
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
fn title_case(name: &HeaderName) -> String {
    let words = name.as_str().split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    words.collect::<Vec<_>>().join("-")
}

fn missing_text(context: RefusalContext<'_>) -> String {
    let reasons: Vec<_> = context
        .locations
        .iter()
        .map(|location| missing_text_in(location, context))
        .collect();
    let names: Vec<_> = context
        .locations
        .iter()
        .map(|location| location_name(location.kind()))
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

fn missing_text_in(location: &Location, context: RefusalContext<'_>) -> String {
    let first = context.expected.kinds().first();
    let kind = first.copied().unwrap_or(TokenKind::Access);
    match location {
        Location::Header { name, scheme } => {
            missing_header_text(context.request, name, scheme.as_deref())
        }
        Location::Cookie(cookies) => missing_cookie_text(cookies, kind),
        Location::Query { name, .. } => format!("Missing '{name}' query paramater"),
        Location::Json { .. } if !body::has_content_type(context.request, "application/json") => {
            "Invalid content-type. Must be application/json.".to_owned()
        }
        Location::Json {
            access, refresh, ..
        } => {
            let key = match kind {
                TokenKind::Access => access,
                TokenKind::Refresh => refresh,
            };
            format!(r#"Missing "{key}" key in json data."#)
        }
    }
}

fn missing_header_text(request: &Request, name: &HeaderName, scheme: Option<&str>) -> String {
    let is_empty = request
        .headers()
        .get_all(name)
        .into_iter()
        .all(|value| value.as_bytes().trim_ascii().is_empty());
    let name = title_case(name);
    match scheme {
        Some(scheme) if !is_empty => {
            let expected = with_scheme(&name, Some(scheme));
            format!("Missing '{scheme}' type in '{name}' header. Expected '{expected}'")
        }
        _ => format!("Missing {name} Header"),
    }
}

fn missing_cookie_text(cookies: &Cookies, kind: TokenKind) -> String {
    format!(r#"Missing cookie "{}""#, cookies.of(kind).name)
}

const fn location_name(location: LocationKind) -> &'static str {
    match location {
        LocationKind::Header => "headers",
        LocationKind::Cookie => "cookies",
        LocationKind::Query => "query_string",
        LocationKind::Json => "json",
    }
}
