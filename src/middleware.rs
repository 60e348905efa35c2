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

use super::client_address::ClientAddressResolver;
use super::config::Config;
use super::metrics::Metrics;
use super::serve::Lifecycle;

mod access_log;
mod body;
mod error_reply;
mod flask_jwt_errors;
pub(super) mod oauth_errors;
mod request_head;
#[cfg(test)]
mod tests;

use access_log::RequestContext;
use body::{BodyLimits, IncomingBody};
use error_reply::ErrorReply;

pub use body::BodyBudget;
pub use error_reply::AllowHeader;
pub(crate) use request_head::unreadable_head_response;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID_LENGTH: usize = 64;

/// The id of a request, for handlers that log or pass it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub String);

/// The middleware: `routes.with(RequestLayer::new(&config, lifecycle))`, outermost.
#[derive(Clone, Debug)]
pub struct RequestLayer {
    body_limits: BodyLimits,
    headers: HeaderMap,
    client_address_resolver: ClientAddressResolver,
    lifecycle: Lifecycle,
    /// True if error responses also carry the members that clients of Flask-JWT read.
    is_flask_jwt_compatible: bool,
    metrics: Option<Metrics>,
}

impl RequestLayer {
    /// Returns the middleware for a server with these settings. `lifecycle` tracks work that outlives its
    /// request.
    pub fn new(config: &Config, lifecycle: Lifecycle) -> Self {
        Self {
            body_limits: BodyLimits {
                limit: config.body_limit,
                timeout: config.request_timeout,
                budget: BodyBudget::for_limit(config.body_limit),
            },
            headers: security_headers(config.is_https()),
            client_address_resolver: ClientAddressResolver::new(&config.trusted_proxies),
            lifecycle,
            is_flask_jwt_compatible: config.compat_flask_jwt,
            metrics: None,
        }
    }

    /// Shares the memory budget for unfinished bodies with other layers.
    #[must_use]
    pub fn with_body_budget(self, budget: BodyBudget) -> Self {
        let body_limits = BodyLimits {
            budget,
            ..self.body_limits
        };
        Self {
            body_limits,
            ..self
        }
    }

    /// Counts and times the responses in `metrics`, if metrics are enabled.
    #[must_use]
    pub fn with_metrics(self, metrics: Option<Metrics>) -> Self {
        if let Some(metrics) = &metrics {
            metrics.watch_body_budget(self.body_limits.budget.clone());
        }
        Self { metrics, ..self }
    }
}

impl<E: Endpoint + 'static> Middleware<E> for RequestLayer {
    type Output = RequestLayerEndpoint<E>;

    fn transform(&self, endpoint: E) -> RequestLayerEndpoint<E> {
        RequestLayerEndpoint(Arc::new(LayeredEndpoint {
            endpoint,
            layer: self.clone(),
        }))
    }
}

/// The routes with a [`RequestLayer`] around them.
#[derive(Debug)]
pub struct RequestLayerEndpoint<E>(Arc<LayeredEndpoint<E>>);

#[derive(Debug)]
struct LayeredEndpoint<E> {
    endpoint: E,
    layer: RequestLayer,
}

impl<E: Endpoint + 'static> Endpoint for RequestLayerEndpoint<E> {
    type Output = Response;

    fn call(&self, request: Request) -> impl Future<Output = Result<Response>> + Send {
        self.get_response(request).map(Ok)
    }

    fn get_response(&self, request: Request) -> impl Future<Output = Response> + Send {
        let started_at = Instant::now();
        self.respond(request).inspect(move |response| {
            if let Some(metrics) = &self.0.layer.metrics {
                metrics.count_response(response, started_at.elapsed());
            }
        })
    }
}

impl<E: Endpoint + 'static> RequestLayerEndpoint<E> {
    async fn respond(&self, mut request: Request) -> Response {
        let context = Arc::new(RequestContext::of(&request, &self.0.layer));
        let must_discard_body = must_discard_body(&request);
        let body = self.0.defer_body(&mut request);
        let (inner, work_context) = (Arc::clone(&self.0), Arc::clone(&context));
        let work = Box::pin(async move { inner.process(request, &work_context).await });
        let response = if context.method.is_safe() {
            self.within_deadline(work, body.as_ref()).await
        } else {
            let work = self.0.layer.lifecycle.run_to_completion(work);
            self.within_deadline(work, body.as_ref()).await
        };
        if let Some(body) = body.filter(|_| must_discard_body) {
            body.discard().await;
        }
        response.unwrap_or_else(|| {
            let reply = ErrorReply::from(error_reply::response_timeout());
            self.0.finish_response(Err(reply), &context)
        })
    }

    /// Waits for the response until its deadline, which counts from the moment the body was complete.
    /// Returns `None` when the deadline has passed.
    async fn within_deadline(
        &self,
        mut work: impl Future<Output = Response> + Unpin,
        body: Option<&IncomingBody>,
    ) -> Option<Response> {
        let limits = &self.0.layer.body_limits;
        let mut deadline = Instant::now() + limits.timeout;
        loop {
            if let Ok(response) = tokio::time::timeout_at(deadline, &mut work).await {
                return Some(response);
            }
            let extended = body.and_then(|body| body.deadline(limits));
            deadline = extended.filter(|extended| *extended > deadline)?;
        }
    }
}

/// Returns whether the rest of an unread body has to be read and discarded. HTTP/2 resets the one stream
/// instead, and a client that received no `100 Continue` sends no body.
fn must_discard_body(request: &Request) -> bool {
    request.version() != Version::HTTP_2 && !request.headers().contains_key(header::EXPECT)
}

impl<E: Endpoint> LayeredEndpoint<E> {
    async fn process(&self, request: Request, context: &RequestContext) -> Response {
        let span = tracing::info_span!("request", request.id = context.id);
        let outcome = self.handle(request, context).instrument(span).await;
        self.finish_response(outcome, context)
    }

    async fn handle(
        &self,
        mut request: Request,
        context: &RequestContext,
    ) -> Result<Response, ErrorReply> {
        request_head::check_headers(&request).map_err(|reply| *reply)?;
        request.set_data(RequestId(context.id.clone()));
        request.set_data(context.client);
        request.set_data(context.user.clone());
        let call = self.endpoint.call(request);
        match AssertUnwindSafe(call).catch_unwind().await {
            Ok(Ok(output)) => Ok(output.into_response()),
            Ok(Err(error)) if error.is_from_response() => Ok(error.into_response()),
            Ok(Err(error)) => Err(ErrorReply {
                operation: error.data::<OperationId>().copied(),
                ..error_reply::error_reply_of(&error)
            }),
            // The panic hook has logged where and why.
            Err(_) => Err(error_reply::internal_error().into()),
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
        request.set_body(body.deferred(self.layer.body_limits.clone(), declared));
        Some(body)
    }

    fn finish_response(
        &self,
        outcome: Result<Response, ErrorReply>,
        context: &RequestContext,
    ) -> Response {
        let code = outcome.as_ref().err().map(|reply| reply.problem.code);
        let mut response = outcome.unwrap_or_else(|mut reply| {
            access_log::log_failure(&reply, context);
            let mut response = if oauth_errors::is_oauth_path(&context.path) {
                oauth_errors::oauth_error_response(reply.problem, &context.path, &context.id)
            } else {
                if self.layer.is_flask_jwt_compatible {
                    flask_jwt_errors::add_flask_jwt_members(
                        &mut reply,
                        context.authorization.as_ref(),
                    );
                }
                reply.problem.into_response(Some(&context.id))
            };
            if let Some(AllowHeader(methods)) = reply.allow {
                response.headers_mut().insert(header::ALLOW, methods);
            }
            if let Some(operation) = reply.operation {
                response.set_data(operation);
            }
            response
        });
        let headers = response.headers_mut();
        headers.reserve(self.layer.headers.len() + 1);
        for (name, value) in &self.layer.headers {
            if let Entry::Vacant(vacant) = headers.entry(name) {
                vacant.insert(value.clone());
            }
        }
        if let Ok(id) = HeaderValue::from_str(&context.id) {
            headers.insert(REQUEST_ID, id);
        }
        access_log::log_access(response.status(), code, context);
        response
    }
}

/// Returns the request id that a proxy set, if it is safe to log, or a new one. Guessing an id gains an
/// attacker nothing, so a new one uses a cheap generator and not the cryptographic one.
fn request_id(headers: &HeaderMap) -> String {
    let is_safe = |id: &&str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !id.is_empty() && id.len() <= MAX_REQUEST_ID_LENGTH && id.bytes().all(allowed)
    };
    headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(is_safe)
        .map_or_else(random_request_id, str::to_owned)
}

fn random_request_id() -> String {
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
