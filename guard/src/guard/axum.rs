//! The guard as an argument of axum handlers.

use axum_core::body::Body;
use axum_core::extract::{FromRef, FromRequestParts};
use axum_core::response::Response;
use poem::Request;
use poem::http::request::Parts;

use super::{Guards, Jwt, Requirement};

/// The state of the router provides the [`Guards`]: it is one, or has one by
/// [`FromRef`](axum_core::extract::FromRef). A token in a body is not found: axum reads bodies last.
///
/// ```
/// use axum::{Router, routing::get};
/// use latchet_guard::{Guards, JwtRequired};
///
/// fn app(guards: Guards) -> Router {
///     let hello = |jwt: JwtRequired| async move { format!("hello {}", jwt.claims.sub) };
///     Router::new().route("/hello", get(hello)).with_state(guards)
/// }
/// ```
impl<S, A> FromRequestParts<S> for Jwt<A>
where
    S: Send + Sync,
    Guards: FromRef<S>,
    A: Requirement,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let mut request = Request::builder()
            .method(parts.method.clone())
            .uri(parts.uri.clone())
            .finish();
        request.headers_mut().clone_from(&parts.headers);
        request.set_data(Guards::from_ref(state));
        match Self::authenticate(&request).await {
            Ok(jwt) => Ok(jwt),
            Err(refusal) => Err(response(refusal).await),
        }
    }
}

async fn response(refusal: poem::Error) -> Response {
    let (parts, body) = refusal.into_response().into_parts();
    // The body of a refusal is in memory, and reading it does not fail.
    let mut response = Response::new(Body::from(body.into_bytes().await.unwrap_or_default()));
    *response.status_mut() = parts.status;
    *response.headers_mut() = parts.headers;
    response
}
