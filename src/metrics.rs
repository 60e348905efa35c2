//! Metrics for Prometheus, on a separate address: the public address does not serve them, and that
//! address serves nothing else.
//!
//! A label has few values, all of them fixed in this program: no client can create a series.

use std::sync::Arc;
use std::time::Duration;

use poem::endpoint::make;
use poem::http::header::VARY;
use poem::http::{HeaderMap, StatusCode};
use poem::{Endpoint, IntoResponse, Request, Response, Route, get};
use poem_openapi::OperationId;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::App;
use super::error::ApiError;
use super::middleware::BodyBudget;
use super::readiness::Readiness;
use super::serve::{Lifecycle, TlsCertificate};
use super::store::{Channel, RotationOutcome};
use super::token_issuer::IssuedTokens;

mod exposition_format;
mod gauges;
mod process;

use exposition_format::ExpositionFormat;
use gauges::Gauges;
use process::ProcessMetrics;

/// Upper bounds of the buckets of durations, in seconds. A check of a token is in the first one.
const DURATION_BUCKETS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

const LOGIN_OUTCOMES: [&str; 4] = ["accepted", "refused", "throttled", "failed"];

const REFRESH_OUTCOMES: [&str; 6] = [
    "rotated",
    "replayed",
    "reused",
    "undecided",
    "unknown",
    "ended",
];

/// Longest time that a scrape waits for the database, which Prometheus must not wait for.
const READINESS_DEADLINE: Duration = Duration::from_secs(2);

/// Counters, histograms and gauges of a server. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<MetricFamilies>);

#[derive(Debug)]
struct MetricFamilies {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RequestLabels, Histogram>,
    logins: Family<OutcomeLabel, Counter>,
    refreshes: Family<OutcomeLabel, Counter>,
    denials: Counter,
    gauges: Gauges,
    process: ProcessMetrics,
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
        let mut registry = Registry::default();
        let process = ProcessMetrics::register(&mut registry);
        let own = registry.sub_registry_with_prefix("latchet");
        let requests = Family::default();
        let durations: Family<RequestLabels, Histogram> =
            Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS));
        let logins = Family::<OutcomeLabel, Counter>::default();
        let refreshes = Family::<OutcomeLabel, Counter>::default();
        // From zero, so that the first of a rare outcome is an increase.
        for (family, outcomes) in [
            (&logins, &LOGIN_OUTCOMES[..]),
            (&refreshes, &REFRESH_OUTCOMES),
        ] {
            for outcome in outcomes {
                drop(family.get_or_create(&OutcomeLabel { outcome }));
            }
        }
        let denials = Counter::default();
        own.register(
            "requests",
            "Responses, by operation (other for pages) and class of the status",
            requests.clone(),
        );
        own.register_with_unit(
            "request_duration",
            "Time from the head of a request to its response",
            Unit::Seconds,
            durations.clone(),
        );
        own.register(
            "logins",
            "Logins: accepted, refused, throttled, or failed by a fault of the server",
            logins.clone(),
        );
        own.register(
            "refreshes",
            "Refresh tokens that were presented, by outcome: rotated, replayed, reused, undecided, unknown or ended",
            refreshes.clone(),
        );
        own.register(
            "denials",
            "Denials of sessions and tokens that were written to the denylist",
            denials.clone(),
        );
        let gauges = Gauges::register(own);
        Self(Arc::new(MetricFamilies {
            registry,
            requests,
            durations,
            logins,
            refreshes,
            denials,
            gauges,
            process,
        }))
    }

    /// Counts a response, and the time that it took.
    pub fn count_response(&self, response: &Response, duration: Duration) {
        let operation = response.data::<OperationId>();
        let labels = RequestLabels {
            operation: operation.map_or("other", |id| id.0),
            status: status_class(response.status()),
        };
        self.0.requests.get_or_create(&labels).inc();
        let histogram = self.0.durations.get_or_create(&labels);
        histogram.observe(duration.as_secs_f64());
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

    /// Reports the use of this memory budget.
    pub fn watch_body_budget(&self, budget: BodyBudget) {
        self.0.gauges.watch_body_budget(budget);
    }

    /// Reports the expiry of this certificate, also after it was replaced.
    pub fn watch_certificate(&self, certificate: TlsCertificate) {
        self.0.gauges.watch_certificate(certificate);
    }

    async fn render(&self, app: &App, lifecycle: &Lifecycle, headers: &HeaderMap) -> Response {
        let readiness = Readiness::check(app, lifecycle);
        let readiness = tokio::time::timeout(READINESS_DEADLINE, readiness).await;
        let families = &self.0;
        families.gauges.update(app, readiness.as_ref().ok());
        let level = app.store.outbox_level(Channel::Mail);
        let level = tokio::time::timeout(READINESS_DEADLINE, level).await;
        let waiting = level.ok().and_then(Result::ok).map(|level| level.waiting);
        families.gauges.update_mails(app, waiting);
        families.process.update();
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

/// Returns the only route of the metrics address. `lifecycle` is that of the server of the API.
pub fn route(app: &App, metrics: Metrics, lifecycle: Lifecycle) -> impl Endpoint + use<> {
    metrics.0.process.set_start_time(app.clock.now());
    let app = app.clone();
    let page = make(move |request: Request| {
        let (app, metrics, lifecycle) = (app.clone(), metrics.clone(), lifecycle.clone());
        async move { metrics.render(&app, &lifecycle, request.headers()).await }
    });
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
