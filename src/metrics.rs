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
use super::denylist::DenylistHealth;
use super::error::ApiError;
use super::logging;
use super::sessions::IssuedTokens;
use super::store::RotationOutcome;

mod exposition_format;

use exposition_format::ExpositionFormat;

/// Counters and gauges of a server. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<MetricFamilies>);

#[derive(Debug)]
struct MetricFamilies {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    logins: Family<OutcomeLabel, Counter>,
    refreshes: Family<OutcomeLabel, Counter>,
    denials: Counter,
    denylist_trusted: Gauge,
    passwords_waiting: Gauge,
    log_lines_lost: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    operation: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

impl Metrics {
    /// Returns metrics that are all zero.
    pub fn new() -> Self {
        let mut families = MetricFamilies {
            registry: Registry::with_prefix("latchet"),
            requests: Family::default(),
            logins: Family::default(),
            refreshes: Family::default(),
            denials: Counter::default(),
            denylist_trusted: Gauge::default(),
            passwords_waiting: Gauge::default(),
            log_lines_lost: Counter::default(),
        };
        let registry = &mut families.registry;
        registry.register(
            "requests",
            "Responses, by operation (other for pages) and class of the status",
            families.requests.clone(),
        );
        registry.register(
            "logins",
            "Logins: accepted, refused, throttled, or failed by a fault of the server",
            families.logins.clone(),
        );
        registry.register(
            "refreshes",
            "Refresh tokens that were presented, by outcome: rotated, replayed, reused, undecided, unknown or ended",
            families.refreshes.clone(),
        );
        registry.register(
            "denials",
            "Denials of sessions and tokens that were written to the denylist",
            families.denials.clone(),
        );
        registry.register(
            "denylist_trusted",
            "1 while checks use the configured denylist; 0 while they query SQL instead, or fail",
            families.denylist_trusted.clone(),
        );
        registry.register(
            "passwords_waiting",
            "Passwords that wait for a hashing thread",
            families.passwords_waiting.clone(),
        );
        registry.register(
            "log_lines_lost",
            "Log lines that could not be written, because the reader hangs or has ended or the disk is full",
            families.log_lines_lost.clone(),
        );
        Self(Arc::new(families))
    }

    /// Counts a response.
    pub fn count_response(&self, response: &Response) {
        let operation = response.data::<OperationId>();
        let labels = RequestLabels {
            operation: operation.map_or("other", |id| id.0),
            status: status_class(response.status()),
        };
        self.0.requests.get_or_create(&labels).inc();
    }

    /// Counts a login.
    pub fn count_login(&self, login: &Result<IssuedTokens, ApiError>) {
        let outcome = match login {
            Ok(_) => "accepted",
            Err(ApiError::InvalidCredentials) => "refused",
            Err(ApiError::TooManyRequests { .. }) => "throttled",
            Err(_) => "failed",
        };
        self.0.logins.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Counts the outcome of a refresh.
    pub fn count_refresh(&self, rotation: &RotationOutcome) {
        let outcome = match rotation {
            RotationOutcome::Rotated(_) => "rotated",
            RotationOutcome::Retried(_) => "replayed",
            RotationOutcome::Reused { .. } => "reused",
            RotationOutcome::Indeterminate => "undecided",
            RotationOutcome::UnknownGeneration => "unknown",
            RotationOutcome::Ended(_) | RotationOutcome::NoSuchSession => "ended",
        };
        self.0
            .refreshes
            .get_or_create(&OutcomeLabel { outcome })
            .inc();
    }

    /// Counts denials.
    pub fn count_denials(&self, count: usize) {
        self.0.denials.inc_by(count as u64);
    }

    fn render(&self, app: &App, headers: &HeaderMap) -> Response {
        let families = &self.0;
        let is_trusted = matches!(app.revocations.denylist.health(), DenylistHealth::Healthy);
        families.denylist_trusted.set(i64::from(is_trusted));
        let waiting = i64::try_from(app.accounts.passwords.waiting()).unwrap_or(i64::MAX);
        families.passwords_waiting.set(waiting);
        let lost = logging::lost_lines();
        families
            .log_lines_lost
            .inner()
            .store(lost, Ordering::Relaxed);
        let format = ExpositionFormat::accepted(headers);
        let mut text = String::new();
        if format.encode(&mut text, &families.registry).is_err() {
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
    let page = make_sync(move |request: Request| metrics.render(&app, request.headers()));
    Route::new().at("/metrics", get(page))
}

fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        ..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500.. => "5xx",
    }
}
