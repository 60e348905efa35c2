//! Metrics for Prometheus, on a separate address: the public address does not serve them, and that
//! address serves nothing else.
//!
//! A label has few values, all of them fixed in this program: no client can create a series.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use poem::endpoint::make_sync;
use poem::http::header::VARY;
use poem::http::{HeaderMap, StatusCode};
use poem::{Endpoint, IntoResponse, Request, Response, Route, get};
use poem_openapi::OperationId;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::App;
use super::denylist::Health;
use super::error::ApiError;
use super::logging;
use super::sessions::Grant;
use super::store::Rotation;

mod format;

use format::Format;

/// Counters and gauges of a server. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Numbers>);

#[derive(Debug)]
struct Numbers {
    registry: Registry,
    requests: Family<Answered, Counter>,
    logins: Family<Outcome, Counter>,
    refreshes: Family<Outcome, Counter>,
    denials: Counter,
    denylist_trusted: Gauge,
    passwords_waiting: Gauge,
    log_lines_lost: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    operation: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

impl Metrics {
    /// Returns metrics that are all zero.
    pub fn new() -> Self {
        let mut numbers = Numbers {
            registry: Registry::with_prefix("latchet"),
            requests: Family::default(),
            logins: Family::default(),
            refreshes: Family::default(),
            denials: Counter::default(),
            denylist_trusted: Gauge::default(),
            passwords_waiting: Gauge::default(),
            log_lines_lost: Counter::default(),
        };
        let registry = &mut numbers.registry;
        registry.register(
            "requests",
            "Responses, by operation (other for pages) and class of the status",
            numbers.requests.clone(),
        );
        registry.register(
            "logins",
            "Logins: accepted, refused, throttled, or failed by a fault of the server",
            numbers.logins.clone(),
        );
        registry.register(
            "refreshes",
            "Refresh tokens that were presented, by outcome: rotated, replayed, reused, undecided, unknown or ended",
            numbers.refreshes.clone(),
        );
        registry.register(
            "denials",
            "Denials of sessions and tokens that were written to the denylist",
            numbers.denials.clone(),
        );
        registry.register(
            "denylist_trusted",
            "1 while checks use the configured denylist; 0 while they query SQL instead, or fail",
            numbers.denylist_trusted.clone(),
        );
        registry.register(
            "passwords_waiting",
            "Passwords that wait for a hashing thread",
            numbers.passwords_waiting.clone(),
        );
        registry.register(
            "log_lines_lost",
            "Log lines that could not be written, because the reader hangs or has ended or the disk is full",
            numbers.log_lines_lost.clone(),
        );
        Self(Arc::new(numbers))
    }

    /// Counts a response.
    pub fn answered(&self, response: &Response) {
        let operation = response.data::<OperationId>();
        let answered = Answered {
            operation: operation.map_or("other", |id| id.0),
            status: class(response.status()),
        };
        self.0.requests.get_or_create(&answered).inc();
    }

    /// Counts a login.
    pub fn logged_in(&self, login: &Result<Grant, ApiError>) {
        let outcome = match login {
            Ok(_) => "accepted",
            Err(ApiError::InvalidCredentials) => "refused",
            Err(ApiError::TooManyRequests { .. }) => "throttled",
            Err(_) => "failed",
        };
        self.0.logins.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts the outcome of a refresh.
    pub fn decided(&self, rotation: &Rotation) {
        let outcome = match rotation {
            Rotation::Rotated(_) => "rotated",
            Rotation::Replayed(_) => "replayed",
            Rotation::Reused { .. } => "reused",
            Rotation::Undecided => "undecided",
            Rotation::Unknown => "unknown",
            Rotation::Ended(_) | Rotation::NoSuchSession => "ended",
        };
        self.0.refreshes.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts denials.
    pub fn denied(&self, count: usize) {
        self.0.denials.inc_by(count as u64);
    }

    fn page(&self, app: &App, asked: &HeaderMap) -> Response {
        let numbers = &self.0;
        let is_trusted = matches!(app.denylist.health(), Health::Good);
        numbers.denylist_trusted.set(i64::from(is_trusted));
        let waiting = i64::try_from(app.passwords.waiting()).unwrap_or(i64::MAX);
        numbers.passwords_waiting.set(waiting);
        let lost = logging::lost_lines();
        numbers
            .log_lines_lost
            .inner()
            .store(lost, Ordering::Relaxed);
        let format = Format::accepted(asked);
        let mut text = String::new();
        if format.encode(&mut text, &numbers.registry).is_err() {
            return StatusCode::INTERNAL_SERVER_ERROR.into();
        }
        text.with_content_type(format.content_type())
            .with_header(VARY, "Accept")
            .into_response()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the only route of the metrics address.
pub fn route(app: &App, metrics: Metrics) -> impl Endpoint + use<> {
    let app = app.clone();
    let page = make_sync(move |request: Request| metrics.page(&app, request.headers()));
    Route::new().at("/metrics", get(page))
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        ..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500.. => "5xx",
    }
}
