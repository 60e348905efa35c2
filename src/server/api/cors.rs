//! Pages of other origins that were allowed by name (the CORS protocol of the Fetch standard).
//!
//! Of our own making, because poem's middleware refuses every request whose `Origin` is not listed:
//! those of our own pages, which send it too, and those of programs, which may.

use futures_util::FutureExt;
use futures_util::future::{Either, ready};
use poem::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use poem::http::{HeaderMap, HeaderValue, Method, StatusCode};
use poem::{Endpoint, Middleware, Request, Response, Result};

use crate::server::config::Origin;

/// Lets the pages of the listed origins call, with cookies, and read the answers.
#[derive(Clone, Debug)]
pub struct Cors {
    origins: Vec<HeaderValue>,
}

impl Cors {
    /// Returns the middleware for exactly these origins; with none it changes nothing.
    pub fn new(origins: &[Origin]) -> Self {
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

/// Who asked.
enum Asker {
    /// Any program: there is no list, and answers are the same for all pages.
    Anyone,
    /// A page of another origin than those on the list, or no page.
    Stranger,
    /// A page of this origin, which is on the list.
    Page(HeaderValue),
}

impl Asker {
    fn of(request: &Request, allowed: &[HeaderValue]) -> Self {
        if allowed.is_empty() {
            return Self::Anyone;
        }
        let origin = request.headers().get(ORIGIN);
        let origin = origin.filter(|origin| allowed.contains(origin));
        origin.map_or(Self::Stranger, |origin| Self::Page(origin.clone()))
    }

    /// Returns whether a page asks what it may do, instead of doing it.
    fn asks_first(&self, request: &Request) -> bool {
        let headers = request.headers();
        matches!(self, Self::Page(_))
            && request.method() == Method::OPTIONS
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// Says in the answer who may read it.
    fn admit(self, headers: &mut HeaderMap) {
        match self {
            Self::Anyone => {}
            Self::Stranger => vary(headers),
            Self::Page(origin) => {
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
                vary(headers);
            }
        }
    }
}

impl<E: Endpoint> Endpoint for CorsEndpoint<E> {
    type Output = Response;

    fn call(&self, request: Request) -> impl Future<Output = Result<Response>> + Send {
        self.get_response(request).map(Ok)
    }

    fn get_response(&self, request: Request) -> impl Future<Output = Response> + Send {
        let asker = Asker::of(&request, &self.cors.origins);
        let answer = if asker.asks_first(&request) {
            Either::Left(ready(preflight()))
        } else {
            Either::Right(self.inner.get_response(request))
        };
        answer.map(|mut response| {
            asker.admit(response.headers_mut());
            response
        })
    }
}

/// A cache must not give the answer for one origin to another.
fn vary(headers: &mut HeaderMap) {
    headers.append(VARY, HeaderValue::from_static("Origin"));
}

fn preflight() -> Response {
    Response::builder()
        .status(StatusCode::NO_CONTENT)
        .header(ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, DELETE")
        .header(
            ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization, Content-Type, Idempotency-Key, X-CSRF-Token, X-Request-Id",
        )
        .header(ACCESS_CONTROL_MAX_AGE, "600")
        .finish()
}

#[cfg(test)]
mod tests {
    use poem::{EndpointExt, endpoint::make_sync};

    use super::*;

    async fn ask(method: Method, origin: &str) -> Response {
        let page: Origin = "https://app.example.org".parse().unwrap();
        let server = make_sync(|_| "answer").with(Cors::new(&[page]));
        let request = Request::builder()
            .method(method)
            .header(ORIGIN, origin)
            .header(ACCESS_CONTROL_REQUEST_METHOD, "POST");
        server.get_response(request.finish()).await
    }

    #[tokio::test]
    async fn a_page_of_an_allowed_origin_may_call_with_cookies() {
        let asked = ask(Method::OPTIONS, "https://app.example.org").await;
        let called = ask(Method::POST, "https://app.example.org").await;

        assert_eq!(asked.status(), StatusCode::NO_CONTENT);
        for answer in [&asked, &called] {
            assert_eq!(
                answer.headers()[ACCESS_CONTROL_ALLOW_ORIGIN],
                "https://app.example.org"
            );
            assert_eq!(answer.headers()[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
            assert_eq!(answer.headers()[VARY], "Origin");
        }
        let headers = asked.headers()[ACCESS_CONTROL_ALLOW_HEADERS]
            .to_str()
            .unwrap();
        for sent in ["Content-Type", "Idempotency-Key", "X-CSRF-Token"] {
            assert!(headers.split(", ").any(|header| header == sent), "{sent}");
        }
        assert_eq!(called.into_body().into_string().await.unwrap(), "answer");
    }

    #[tokio::test]
    async fn a_page_of_another_origin_is_told_nothing() {
        for origin in [
            "https://evil.example.org",
            "null",
            "https://app.example.org.evil.net",
        ] {
            let answer = ask(Method::POST, origin).await;

            assert!(
                !answer.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN),
                "{origin}"
            );
            assert_eq!(answer.into_body().into_string().await.unwrap(), "answer");
        }
    }
}
