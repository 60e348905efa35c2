//! CORS (Fetch standard): pages of allowed origins may call every endpoint with cookies; pages of all
//! origins may read public documents.
//!
//! The middleware is custom, because poem's refuses every request whose `Origin` is not listed, and this
//! server's own pages send that header too, as programs may.

use futures_util::FutureExt;
use futures_util::future::{Either, ready};
use poem::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use poem::{Endpoint, Middleware, Request, Response, Result};

use crate::config::AllowedOrigin;

/// Documents that are the same for every client: keys, metadata, and the API description.
const PUBLIC_PATHS: [&str; 5] = [
    "/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/openapi.json",
    "/openapi.yaml",
];

/// Headers that a page may send if its preflight requests none by name.
const DEFAULT_ALLOWED_HEADERS: &str =
    "Authorization, Content-Type, Idempotency-Key, X-CSRF-Token, X-Request-Id";

/// Middleware that lets pages of the listed origins call with cookies and read the responses.
#[derive(Clone, Debug)]
pub struct Cors {
    origins: Vec<HeaderValue>,
}

impl Cors {
    /// Returns the middleware for exactly these origins. With none, only public documents are readable.
    pub fn new(origins: &[AllowedOrigin]) -> Self {
        let origins = origins
            .iter()
            .filter_map(|origin| origin.as_str().parse().ok());
        Self {
            origins: origins.collect(),
        }
    }
}

impl<E: Endpoint> Middleware<E> for Cors {
    type Output = CorsEndpoint<E>;

    fn transform(&self, inner: E) -> CorsEndpoint<E> {
        CorsEndpoint {
            inner,
            cors: self.clone(),
        }
    }
}

/// See [`Cors`].
#[derive(Debug)]
pub struct CorsEndpoint<E> {
    inner: E,
    cors: Cors,
}

/// Origin of a request, as far as the response depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum RequestOrigin {
    /// A page of this allowed origin.
    Allowed(HeaderValue),
    /// Any other page or program.
    Other,
}

/// Facts about a request that decide the CORS headers of its response.
struct CorsContext {
    origin: RequestOrigin,
    is_public: bool,
    /// True if any origin is allowed: then responses depend on the origin of the request.
    has_allowed_origins: bool,
}

impl CorsContext {
    fn of(request: &Request, allowed: &[HeaderValue]) -> Self {
        let origin = request.headers().get(ORIGIN);
        let origin = origin.filter(|origin| allowed.contains(origin));
        Self {
            origin: origin.map_or(RequestOrigin::Other, |origin| {
                RequestOrigin::Allowed(origin.clone())
            }),
            is_public: PUBLIC_PATHS.contains(&request.uri().path()),
            has_allowed_origins: !allowed.is_empty(),
        }
    }

    /// Returns the response to a preflight request; `None` for other requests, and for preflights of pages
    /// that may do nothing.
    fn preflight(&self, request: &Request) -> Option<Response> {
        let headers = request.headers();
        let methods = match (&self.origin, self.is_public) {
            (RequestOrigin::Allowed(_), _) => "GET, POST, PUT, DELETE",
            (RequestOrigin::Other, true) => "GET, HEAD",
            (RequestOrigin::Other, false) => return None,
        };
        let is_preflight = request.method() == Method::OPTIONS
            && headers.contains_key(ORIGIN)
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        is_preflight.then(|| {
            Response::builder()
                .status(StatusCode::NO_CONTENT)
                .header(ACCESS_CONTROL_ALLOW_METHODS, methods)
                .header(ACCESS_CONTROL_ALLOW_HEADERS, allowed_headers(headers))
                .header(ACCESS_CONTROL_MAX_AGE, "600")
                .header(VARY, "Access-Control-Request-Headers")
                .finish()
        })
    }

    /// Adds the headers that name the pages that may read a response.
    fn add_headers(self, headers: &mut HeaderMap) {
        // A cache must not serve the response for one origin to another.
        if self.has_allowed_origins {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        match self.origin {
            RequestOrigin::Allowed(origin) => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                headers.insert(
                    ACCESS_CONTROL_ALLOW_CREDENTIALS,
                    HeaderValue::from_static("true"),
                );
                headers.insert(
                    ACCESS_CONTROL_EXPOSE_HEADERS,
                    HeaderValue::from_static(
                        "Location, Retry-After, WWW-Authenticate, X-Request-Id",
                    ),
                );
            }
            RequestOrigin::Other if self.is_public => {
                let all = HeaderValue::from_static("*");
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, all);
            }
            RequestOrigin::Other => {}
        }
    }
}

/// Returns the headers that a page may send: all that it requests. Tracing and error reporting add custom
/// headers, and a header gives a page no further rights.
fn allowed_headers(requested: &HeaderMap) -> HeaderValue {
    let lines = requested.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter();
    let names: Vec<&str> = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|name| HeaderName::from_bytes(name.as_bytes()).is_ok())
        .collect();
    HeaderValue::try_from(names.join(", "))
        .ok()
        .filter(|value| !value.is_empty())
        .unwrap_or(HeaderValue::from_static(DEFAULT_ALLOWED_HEADERS))
}

impl<E: Endpoint> Endpoint for CorsEndpoint<E> {
    type Output = Response;

    fn call(&self, request: Request) -> impl Future<Output = Result<Response>> + Send {
        self.get_response(request).map(Ok)
    }

    fn get_response(&self, request: Request) -> impl Future<Output = Response> + Send {
        let context = CorsContext::of(&request, &self.cors.origins);
        let response = match context.preflight(&request) {
            Some(response) => Either::Left(ready(response)),
            None => Either::Right(self.inner.get_response(request)),
        };
        response.map(|mut response| {
            context.add_headers(response.headers_mut());
            response
        })
    }
}

#[cfg(test)]
mod tests;
