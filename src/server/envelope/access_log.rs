//! The log line of a request.

use std::borrow::Cow;
use std::time::Instant;

use poem::Request;
use poem::http::{HeaderValue, Method, StatusCode, header};

use super::problems::Refusal;
use super::{Envelope, request_id};
use crate::guard::RequestUser;
use crate::server::client_address::ClientAddress;

/// Longest text of a request that its log line repeats: a client may send texts of any length.
const LONGEST_SHOWN: usize = 256;

/// Facts about a request that outlive it.
pub(super) struct RequestContext {
    pub(super) id: String,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) client: ClientAddress,
    /// Set by the guard.
    pub(super) user: RequestUser,
    since: Instant,
    user_agent: Option<HeaderValue>,
    origin: Option<HeaderValue>,
    /// Kept in Flask-JWT mode only, where the error text depends on it.
    pub(super) authorization: Option<HeaderValue>,
}

impl RequestContext {
    pub(super) fn of(request: &Request, envelope: &Envelope) -> Self {
        let headers = request.headers();
        let authorization = headers.get(header::AUTHORIZATION);
        Self {
            id: request_id(headers),
            method: request.method().clone(),
            // Without the query: it may carry tokens.
            path: request.uri().path().to_owned(),
            client: envelope.client_addresses.of(request),
            user: RequestUser::default(),
            since: Instant::now(),
            user_agent: headers.get(header::USER_AGENT).cloned(),
            origin: headers.get(header::ORIGIN).cloned(),
            authorization: authorization.filter(|_| envelope.speaks_flask_jwt).cloned(),
        }
    }
}

/// Logs a server error with its cause. The access line covers client errors.
pub(super) fn log_failure(refusal: &Refusal, seen: &RequestContext) {
    let cause = refusal.cause.as_deref().unwrap_or("unknown");
    match refusal.problem.status {
        StatusCode::SERVICE_UNAVAILABLE => {
            tracing::warn!(
                request.id = seen.id,
                error = cause,
                "request failed for now"
            );
        }
        status if status.is_server_error() => {
            tracing::error!(request.id = seen.id, error = cause, "request failed");
        }
        _ => {}
    }
}

/// Logs one line for a request: at info level when it was refused, and at debug level when it succeeded, as
/// most do. Logins, created users and other events have log lines of their own.
pub(super) fn log_access(status: StatusCode, code: Option<&str>, seen: &RequestContext) {
    let micros = u32::try_from(seen.since.elapsed().as_micros()).unwrap_or(u32::MAX);
    let millis = f64::from(micros) / 1000.0;
    // The origin matters only when the CSRF check refused it.
    let tells_origin = code == Some("csrf_failed");
    let origin = seen.origin.as_ref().filter(|_| tells_origin).map(text);
    macro_rules! log {
        ($level:expr) => {
            tracing::event!(
                $level,
                request.id = seen.id,
                http.method = &*bounded(seen.method.as_str()),
                http.path = &*bounded(&seen.path),
                http.status = status.as_u16(),
                code,
                origin = origin.as_deref(),
                client.address = %seen.client.0,
                user.id = seen.user.id(),
                user_agent = seen.user_agent.as_ref().map(text).as_deref(),
                duration_ms = millis,
                "request completed"
            )
        };
    }
    if status.as_u16() < 400 {
        log!(tracing::Level::DEBUG);
    } else {
        log!(tracing::Level::INFO);
    }
}

fn text(value: &HeaderValue) -> String {
    bounded(&String::from_utf8_lossy(value.as_bytes())).into_owned()
}

/// Returns a text of a client, cut to the length that a log line may repeat.
fn bounded(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(LONGEST_SHOWN) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        assert_eq!(bounded("/v1/me"), "/v1/me");
        let exact = "ü".repeat(LONGEST_SHOWN);
        assert_eq!(bounded(&exact), exact);
        assert_eq!(bounded(&"ü".repeat(10_000)), format!("{exact}…"));
    }
}
