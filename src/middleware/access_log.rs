//! The log line of a request.

use std::borrow::Cow;
use std::time::Instant;

use poem::Request;
use poem::http::{HeaderValue, Method, StatusCode, header};

use super::error_reply::ErrorReply;
use super::{RequestLayer, request_id};
use crate::client_address::ClientAddress;
use latchet_guard::RequestUser;

/// Longest text of a request that its log line repeats: a client may send texts of any length.
const MAX_LOGGED_LENGTH: usize = 256;

/// Facts about a request that outlive it.
pub(super) struct RequestContext {
    pub(super) id: String,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) client: ClientAddress,
    /// Set by the guard.
    pub(super) user: RequestUser,
    started_at: Instant,
    user_agent: Option<HeaderValue>,
    origin: Option<HeaderValue>,
    /// Kept in Flask-JWT mode only, where the error text depends on it.
    pub(super) authorization: Option<HeaderValue>,
}

impl RequestContext {
    pub(super) fn of(request: &Request, layer: &RequestLayer) -> Self {
        let headers = request.headers();
        let authorization = headers.get(header::AUTHORIZATION);
        Self {
            id: request_id(headers),
            method: request.method().clone(),
            // Without the query: it may carry tokens.
            path: request.uri().path().to_owned(),
            client: layer.client_address_resolver.resolve(request),
            user: RequestUser::default(),
            started_at: Instant::now(),
            user_agent: headers.get(header::USER_AGENT).cloned(),
            origin: headers.get(header::ORIGIN).cloned(),
            authorization: authorization
                .filter(|_| layer.is_flask_jwt_compatible)
                .cloned(),
        }
    }
}

/// Logs a server error with its cause. The access line covers client errors.
pub(super) fn log_failure(reply: &ErrorReply, context: &RequestContext) {
    let cause = reply.cause.as_deref().unwrap_or("unknown");
    match reply.problem.status {
        StatusCode::SERVICE_UNAVAILABLE => {
            tracing::warn!(
                request.id = context.id,
                error = cause,
                "request failed for now"
            );
        }
        status if status.is_server_error() => {
            tracing::error!(request.id = context.id, error = cause, "request failed");
        }
        _ => {}
    }
}

/// Logs one line for a request: at info level when it was refused, and at debug level when it succeeded, as
/// most do. Logins, created users and other events have log lines of their own.
pub(super) fn log_access(status: StatusCode, code: Option<&str>, context: &RequestContext) {
    let micros = u32::try_from(context.started_at.elapsed().as_micros()).unwrap_or(u32::MAX);
    let millis = f64::from(micros) / 1000.0;
    // The origin matters only when the CSRF check refused it.
    let logs_origin = code == Some("csrf_failed");
    let origin = context
        .origin
        .as_ref()
        .filter(|_| logs_origin)
        .map(header_text);
    macro_rules! log {
        ($level:expr) => {
            tracing::event!(
                $level,
                request.id = context.id,
                http.method = &*truncated(context.method.as_str()),
                http.path = &*truncated(&context.path),
                http.status = status.as_u16(),
                code,
                origin = origin.as_deref(),
                client.address = %context.client.0,
                user.id = context.user.id(),
                user_agent = context.user_agent.as_ref().map(header_text).as_deref(),
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

fn header_text(value: &HeaderValue) -> String {
    truncated(&String::from_utf8_lossy(value.as_bytes())).into_owned()
}

/// Returns a text of a client, cut to the length that a log line may repeat.
fn truncated(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_LOGGED_LENGTH) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_truncated_between_two_characters() {
        assert_eq!(truncated("/v1/me"), "/v1/me");
        let exact = "ü".repeat(MAX_LOGGED_LENGTH);
        assert_eq!(truncated(&exact), exact);
        assert_eq!(truncated(&"ü".repeat(10_000)), format!("{exact}…"));
    }
}
