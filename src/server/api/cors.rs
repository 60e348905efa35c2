//! Pages of other origins (the CORS protocol of the Fetch standard): those that were allowed by name may
//! call everything with cookies; all may read what is public.
//!
//! A middleware of our own, because poem's refuses every request whose `Origin` is not listed: those of our
//! own pages, which send it too, and those of programs, which may.

use futures_util::FutureExt;
use futures_util::future::{Either, ready};
use poem::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use poem::{Endpoint, Middleware, Request, Response, Result};

use crate::server::config::AllowedOrigin;

/// Documents that say the same to everybody: keys, metadata, and the description of the API.
const PUBLIC: [&str; 5] = [
    "/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/openapi.json",
    "/openapi.yaml",
];

/// Headers that a page may send, where its preflight asks for none by name.
const USUAL_HEADERS: &str =
    "Authorization, Content-Type, Idempotency-Key, X-CSRF-Token, X-Request-Id";

/// Lets the pages of the listed origins call, with cookies, and read the responses.
#[derive(Clone, Debug)]
pub struct Cors {
    origins: Vec<HeaderValue>,
}

impl Cors {
    /// Returns the middleware for exactly these origins; without any it opens public documents alone.
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

/// The party that asks, as far as the response depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asker {
    /// A page of this origin, which is on the list.
    Page(HeaderValue),
    /// Anybody else.
    Anyone,
}

/// Facts from which the headers of a response follow, known when its request has arrived.
struct Terms {
    asker: Asker,
    is_public: bool,
    /// True where there is a list: then a response depends on the origin that asks.
    has_list: bool,
}

impl Terms {
    fn of(request: &Request, allowed: &[HeaderValue]) -> Self {
        let origin = request.headers().get(ORIGIN);
        let origin = origin.filter(|origin| allowed.contains(origin));
        Self {
            asker: origin.map_or(Asker::Anyone, |origin| Asker::Page(origin.clone())),
            is_public: PUBLIC.contains(&request.uri().path()),
            has_list: !allowed.is_empty(),
        }
    }

    /// Returns the response to a page that asks what it may do, instead of doing it; `None` for other
    /// requests, and for pages that may do nothing.
    fn preflight(&self, request: &Request) -> Option<Response> {
        let headers = request.headers();
        let methods = match (&self.asker, self.is_public) {
            (Asker::Page(_), _) => "GET, POST, PUT, DELETE",
            (Asker::Anyone, true) => "GET, HEAD",
            (Asker::Anyone, false) => return None,
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

    /// Says in a response which pages may read it.
    fn admit(self, headers: &mut HeaderMap) {
        // A cache must not give the response for one origin to another.
        if self.has_list {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        match self.asker {
            Asker::Page(origin) => {
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
            Asker::Anyone if self.is_public => {
                let all = HeaderValue::from_static("*");
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, all);
            }
            Asker::Anyone => {}
        }
    }
}

/// Returns the headers that a page may send: whatever it asks for. Tracing and error reporting in pages
/// add headers of their own, and a header makes nobody else of a page.
fn allowed_headers(asked: &HeaderMap) -> HeaderValue {
    let lines = asked.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter();
    let names: Vec<&str> = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|name| HeaderName::from_bytes(name.as_bytes()).is_ok())
        .collect();
    HeaderValue::try_from(names.join(", "))
        .ok()
        .filter(|value| !value.is_empty())
        .unwrap_or(HeaderValue::from_static(USUAL_HEADERS))
}

impl<E: Endpoint> Endpoint for CorsEndpoint<E> {
    type Output = Response;

    fn call(&self, request: Request) -> impl Future<Output = Result<Response>> + Send {
        self.get_response(request).map(Ok)
    }

    fn get_response(&self, request: Request) -> impl Future<Output = Response> + Send {
        let terms = Terms::of(&request, &self.cors.origins);
        let response = match terms.preflight(&request) {
            Some(response) => Either::Left(ready(response)),
            None => Either::Right(self.inner.get_response(request)),
        };
        response.map(|mut response| {
            terms.admit(response.headers_mut());
            response
        })
    }
}

#[cfg(test)]
mod tests;
