//! Guards: the handler arguments that protect a route, and the checks behind them.

use std::sync::Arc;

use poem::{Body, Request};

use crate::token::Claims;

#[cfg(feature = "axum")]
mod axum;
mod body;
mod builtin;
mod compat;
mod credentials;
mod enforcement;
mod extractor;
mod guards;
#[cfg(feature = "remote")]
mod latchet_issuer;
mod location;
mod openapi;
mod policy;
mod refusal;
mod request_user;
mod requirement;
mod user;

pub use builtin::{
    EitherKind, Fresh, HasRole, HasScope, Locations, OnlyIn, Refresh, Required, RoleName,
    ScopeName, SkipRevocation,
};
pub use compat::{FlaskJwtError, flask_jwt_errors, flask_jwt_extended_errors};
pub use credentials::credentials;
pub use extractor::{Jwt, JwtFresh, JwtOptional, JwtRefresh, JwtRequired, SECURITY_SCHEME};
pub use guards::Guards;
#[cfg(feature = "remote")]
pub use latchet_issuer::{ConnectError, LatchetIssuer};
pub use location::{Location, LocationKind};
pub use openapi::document_refusals;
pub use policy::{Freshness, RevocationCheck, TokenPolicy};
pub use refusal::Refusal;
pub use request_user::RequestUser;
pub use requirement::{Optional, Requirement};
pub use user::CurrentUser;

/// Returns the claims of the token that `request` carries, after every check of the guard `A`: for
/// plain poem handlers, where [`Jwt`] cannot be an argument. [`Jwt::authenticate`] does the same and
/// returns the whole guard.
///
/// Take the body as [`poem::Body`] and parse it after this call, so that an unauthenticated client with
/// a broken body receives `401`.
///
/// ```
/// use latchet_guard::{Required, authenticate};
/// use poem::{Request, Result, handler};
///
/// #[handler]
/// async fn hello(request: &Request) -> Result<String> {
///     let claims = authenticate::<Required>(request).await?;
///     Ok(format!("hello {}", claims.sub))
/// }
/// ```
///
/// # Errors
/// The refusal, in the form that the [`Guards`] on the route define. Without `Guards` every request is
/// refused with 503 and an error in the log, because the program is incorrect.
pub async fn authenticate<A: Requirement>(
    request: &Request,
) -> poem::Result<A::Output<Arc<Claims>>> {
    Ok(Jwt::<A>::authenticate(request).await?.claims)
}

/// Returns the claims of a request whose token may be in the body; see [`Jwt::authenticate_with_body`].
///
/// # Errors
/// As [`authenticate`].
pub async fn authenticate_with_body<A: Requirement>(
    request: &Request,
    body: &mut Body,
) -> poem::Result<A::Output<Arc<Claims>>> {
    Ok(Jwt::<A>::authenticate_with_body(request, body)
        .await?
        .claims)
}
