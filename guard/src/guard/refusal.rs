//! Responses to requests that a guard refused, customizable by the service.

use std::fmt;
use std::sync::Arc;

use poem::{Request, Response};

use super::location::Location;
use crate::error::AuthError;
use crate::token::{Claims, ExpectedKind};

/// A refusal, with everything about the request that a response may use.
#[derive(Clone, Copy)]
pub struct Refusal<'a> {
    pub(super) error: &'a AuthError,
    pub(super) claims: Option<&'a Claims>,
    pub(super) context: Option<RefusalContext<'a>>,
}

/// The request, the locations that its guard searched, and the kind of token that it expected.
#[derive(Clone, Copy)]
pub(super) struct RefusalContext<'a> {
    pub(super) request: &'a Request,
    pub(super) locations: &'a [&'a Location],
    pub(super) expected: ExpectedKind,
}

impl<'a> Refusal<'a> {
    /// Returns why the request is refused.
    pub fn error(&self) -> &'a AuthError {
        self.error
    }

    /// Returns the claims of the token if its signature was valid, also if the token has expired.
    pub fn claims(&self) -> Option<&'a Claims> {
        self.claims
    }

    /// Returns the request; `None` if the handler's body refused.
    pub fn request(&self) -> Option<&'a Request> {
        self.context.map(|context| context.request)
    }
}

impl fmt::Debug for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("error", self.error)
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}

type ResponseBuilder = dyn Fn(&Refusal<'_>) -> Response + Send + Sync;

/// Source of the responses to refusals: [`Problem`](crate::error::Problem), or a function of the
/// service.
#[derive(Clone, Default)]
pub(super) struct ErrorResponder(Option<Arc<ResponseBuilder>>);

impl ErrorResponder {
    pub(super) fn custom(
        build_response: impl Fn(&Refusal<'_>) -> Response + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(build_response)))
    }

    pub(super) fn is_custom(&self) -> bool {
        self.0.is_some()
    }

    /// Middleware finds the reason in the error in both cases: by `downcast_ref` or, with a function of
    /// the service, by `data`.
    pub(super) fn respond(&self, refusal: &Refusal<'_>) -> poem::Error {
        let Some(build_response) = &self.0 else {
            return refusal.error.clone().into();
        };
        let mut error = poem::Error::from_response(build_response(refusal));
        error.set_data(refusal.error.clone());
        error
    }
}

impl fmt::Debug for ErrorResponder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_custom() {
            "custom"
        } else {
            "problem"
        })
    }
}
