//! The layer around all routes: a request id, limits of size and time, errors as problem+json, security
//! headers, and one log line for each request.
//!
//! A request that changes something runs to completion, even when the client disconnects or receives a
//! timeout response: a logout must not be half done because of a mobile network.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use poem::http::header::Entry;
use poem::http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use poem::{Endpoint, IntoResponse, Middleware, Request, Response, Result};
use poem_openapi::OperationId;
use tokio::time::Instant;
use tracing::Instrument;

use super::client_address::ClientAddresses;
use super::config::Config;
use super::metrics::Metrics;
use super::serve::Lifecycle;

mod access_log;
mod body;
mod flask_jwt;
mod message;
pub(super) mod oauth;
mod problems;
#[cfg(test)]
mod tests;

use access_log::RequestContext;
use body::{BodyRules, IncomingBody};
use problems::Refusal;

pub use body::BodyBudget;
pub(in crate::server) use message::answer_to_refused_head;
pub use problems::Allow;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST_REQUEST_ID: usize = 64;

/// The id of a request, for handlers that log or pass it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub String);

/// The middleware: `routes.with(Envelope::new(&config, lifecycle))`, outermost.
#[derive(Clone, Debug)]
pub struct Envelope {
    body_rules: BodyRules,
    headers: HeaderMap,
    client_addresses: ClientAddresses,
    lifecycle: Lifecycle,
    /// True if error responses also carry the members that clients of Flask-JWT read.
    speaks_flask_jwt: bool,
    metrics: Option<Metrics>,
}

impl Envelope {
    /// Returns the middleware for a server with these settings. `lifecycle` tracks work that outlives its
    /// request.
    pub fn new(config: &Config, lifecycle: Lifecycle) -> Self {
        Self {
            body_rules: BodyRules {
                limit: config.body_limit,
                timeout: config.request_timeout,
                budget: BodyBudget::for_limit(config.body_limit),
            },
            headers: security_headers(config.is_https()),
            client_addresses: ClientAddresses::new(&config.trusted_proxies),
            lifecycle,
            speaks_flask_jwt: config.compat_flask_jwt,
            metrics: None,
        }
    }

    /// Shares the memory budget for unfinished bodies with other layers.
    #[must_use]
    pub fn with_body_budget(self, budget: BodyBudget) -> Self {
        let body_rules = BodyRules {
            budget,
            ..self.body_rules
        };
        Self { body_rules, ..self }
    }

    /// Counts the responses in `metrics`, if metrics are enabled.
    #[must_use]
    pub fn with_metrics(self, metrics: Option<Metrics>) -> Self {
        Self { metrics, ..self }
    }
}

impl<E: Endpoint + 'static> Middleware<E> for Envelope {
    type Output = Enveloped<E>;

    fn transform(&self, endpoint: E) -> Enveloped<E> {
        Enveloped(Arc::new(Inner {
            endpoint,
            envelope: self.clone(),
        }))
    }
}

/// The routes with an [`Envelope`] around them.
#[derive(Debug)]
pub struct Enveloped<E>(Arc<Inner<E>>);

#[derive(Debug)]
struct Inner<E> {
    endpoint: E,
    envelope: Envelope,
}

impl<E: Endpoint + 'static> Endpoint for Enveloped<E> {
    type Output = Response;

    fn call(&self, request: Request) -> impl Future<Output = Result<Response>> + Send {
        self.get_response(request).map(Ok)
    }

    fn get_response(&self, request: Request) -> impl Future<Output = Response> + Send {
        self.respond(request).inspect(|response| {
            if let Some(metrics) = &self.0.envelope.metrics {
                metrics.answered(response);
            }
        })
    }
}

impl<E: Endpoint + 'static> Enveloped<E> {
    async fn respond(&self, mut request: Request) -> Response {
        let seen = Arc::new(RequestContext::of(&request, &self.0.envelope));
        let is_discarded = is_discarded(&request);
        let body = self.0.defer_body(&mut request);
        let (inner, context) = (Arc::clone(&self.0), Arc::clone(&seen));
        let work = Box::pin(async move { inner.answer(request, &context).await });
        let in_time = if seen.method.is_safe() {
            self.in_time(work, body.as_ref()).await
        } else {
            let work = self.0.envelope.lifecycle.see_through(work);
            self.in_time(work, body.as_ref()).await
        };
        if let Some(body) = body.filter(|_| is_discarded) {
            body.discard().await;
        }
        in_time.unwrap_or_else(|| {
            let refusal = Refusal::from(problems::too_slow());
            self.0.finish(Err(refusal), &seen)
        })
    }

    /// Waits for the response until its deadline, which counts from the moment the body was complete.
    /// Returns `None` when the deadline has passed.
    async fn in_time(
        &self,
        mut work: impl Future<Output = Response> + Unpin,
        body: Option<&IncomingBody>,
    ) -> Option<Response> {
        let rules = &self.0.envelope.body_rules;
        let mut deadline = Instant::now() + rules.timeout;
        loop {
            if let Ok(response) = tokio::time::timeout_at(deadline, &mut work).await {
                return Some(response);
            }
            let later = body.and_then(|body| body.deadline(rules));
            deadline = later.filter(|later| *later > deadline)?;
        }
    }
}

/// Returns whether the rest of an unread body has to be read and discarded. HTTP/2 resets the one stream
/// instead, and a client that received no `100 Continue` sends no body.
fn is_discarded(request: &Request) -> bool {
    request.version() != Version::HTTP_2 && !request.headers().contains_key(header::EXPECT)
}

impl<E: Endpoint> Inner<E> {
    async fn answer(&self, request: Request, seen: &RequestContext) -> Response {
        let span = tracing::info_span!("request", request.id = seen.id);
        let outcome = self.handle(request, seen).instrument(span).await;
        self.finish(outcome, seen)
    }

    async fn handle(
        &self,
        mut request: Request,
        seen: &RequestContext,
    ) -> Result<Response, Refusal> {
        message::check(&request).map_err(|refusal| *refusal)?;
        request.set_data(RequestId(seen.id.clone()));
        request.set_data(seen.client);
        request.set_data(seen.user.clone());
        let call = self.endpoint.call(request);
        match AssertUnwindSafe(call).catch_unwind().await {
            Ok(Ok(output)) => Ok(output.into_response()),
            Ok(Err(error)) if error.is_from_response() => Ok(error.into_response()),
            Ok(Err(error)) => Err(Refusal {
                operation: error.data::<OperationId>().copied(),
                ..problems::refusal_of(&error)
            }),
            // The panic hook has logged where and why.
            Err(_) => Err(problems::internal().into()),
        }
    }

    /// Replaces the body with one that is read on demand, within the limits.
    fn defer_body(&self, request: &mut Request) -> Option<IncomingBody> {
        let headers = request.headers();
        let length = headers.get(header::CONTENT_LENGTH);
        if length.is_none() && !headers.contains_key(header::TRANSFER_ENCODING) {
            // Over HTTP/2 a body needs neither header.
            if request.version() != Version::HTTP_2 {
                return None;
            }
        }
        let declared = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        let body = IncomingBody::new(request.take_body());
        request.set_body(body.deferred(self.envelope.body_rules.clone(), declared));
        Some(body)
    }

    fn finish(&self, outcome: Result<Response, Refusal>, seen: &RequestContext) -> Response {
        let code = outcome.as_ref().err().map(|refusal| refusal.problem.code);
        let mut response = outcome.unwrap_or_else(|mut refusal| {
            access_log::log_failure(&refusal, seen);
            let mut response = if oauth::speaks_oauth(&seen.path) {
                oauth::response(refusal.problem, &seen.path, &seen.id)
            } else {
                if self.envelope.speaks_flask_jwt {
                    flask_jwt::translate(&mut refusal, seen.authorization.as_ref());
                }
                refusal.problem.into_response(Some(&seen.id))
            };
            if let Some(Allow(methods)) = refusal.allow {
                response.headers_mut().insert(header::ALLOW, methods);
            }
            if let Some(operation) = refusal.operation {
                response.set_data(operation);
            }
            response
        });
        let headers = response.headers_mut();
        headers.reserve(self.envelope.headers.len() + 1);
        for (name, value) in &self.envelope.headers {
            if let Entry::Vacant(vacant) = headers.entry(name) {
                vacant.insert(value.clone());
            }
        }
        if let Ok(id) = HeaderValue::from_str(&seen.id) {
            headers.insert(REQUEST_ID, id);
        }
        access_log::log_access(response.status(), code, seen);
        response
    }
}

/// Returns the request id that a proxy set, if it is safe to log, or a new one. Guessing an id gains an
/// attacker nothing, so a new one uses a cheap generator and not the cryptographic one.
fn request_id(headers: &HeaderMap) -> String {
    let is_safe = |id: &&str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !id.is_empty() && id.len() <= LONGEST_REQUEST_ID && id.bytes().all(allowed)
    };
    headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(is_safe)
        .map_or_else(made_up_id, str::to_owned)
}

fn made_up_id() -> String {
    URL_SAFE_NO_PAD.encode(fastrand::u128(..).to_ne_bytes())
}

/// Returns the headers of every response that does not set its own. The content policy forbids everything,
/// because an API response is not a page.
fn security_headers(is_https: bool) -> HeaderMap {
    let mut headers: HeaderMap = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ]
    .into_iter()
    .map(|(name, value)| (name, HeaderValue::from_static(value)))
    .collect();
    if is_https {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=63072000"),
        );
    }
    headers
}
