//! Shared configuration of guards, and the denial of sessions and tokens.

use std::sync::Arc;
use std::time::Duration;

use poem::Response;

use super::refusal::ErrorResponder;
use super::{Location, Refusal};
use crate::clock::{Clock, Time};
use crate::denylist::{Denial, DenialTarget, Denylist, DenylistUnavailable};
use crate::error::AuthError;
#[cfg(feature = "remote")]
use crate::remote::RemoteKeys;
use crate::token::{Claims, Verifier};

/// Shared configuration of guards: verifier, denylist, clock, and token locations.
///
/// Clones share everything; `.data(guards)` on the outermost route makes it available to every guard.
/// Another `.data(other_guards)` on an inner route applies to the routes inside it.
#[derive(Clone, Debug)]
pub struct Guards(pub(super) Arc<GuardState>);

#[derive(Clone, Debug)]
pub(super) struct GuardState {
    pub(super) verifier: Arc<Verifier>,
    pub(super) denylist: Arc<dyn Denylist>,
    pub(super) clock: Clock,
    pub(super) locations: Vec<Location>,
    /// Searched only by guards that name locations.
    pub(super) named_locations: Vec<Location>,
    pub(super) responder: ErrorResponder,
    /// The keys of an issuer on another host, which are fetched until this is dropped.
    #[cfg(feature = "remote")]
    pub(super) keys: Option<Arc<RemoteKeys>>,
}

impl Guards {
    /// Returns guards that look for tokens in the `Authorization` header alone.
    pub fn new(verifier: Arc<Verifier>, denylist: Arc<dyn Denylist>, clock: Clock) -> Self {
        Self(Arc::new(GuardState {
            verifier,
            denylist,
            clock,
            locations: vec![Location::header()],
            named_locations: Vec::new(),
            responder: ErrorResponder::default(),
            #[cfg(feature = "remote")]
            keys: None,
        }))
    }

    /// Looks for tokens in these locations instead. A request with a token in two of them is refused, so
    /// their order does not matter.
    #[must_use]
    pub fn with_locations(self, locations: impl IntoIterator<Item = Location>) -> Self {
        self.with(|inner| inner.locations = locations.into_iter().collect())
    }

    /// Adds locations that only guards search which name them with [`OnlyIn`](super::OnlyIn).
    #[must_use]
    pub fn with_named_locations(self, locations: impl IntoIterator<Item = Location>) -> Self {
        self.with(|inner| inner.named_locations = locations.into_iter().collect())
    }

    /// Builds the response to every refusal, in any handler, with this function: it decides status, body
    /// and headers. [`flask_jwt_extended_errors`](super::flask_jwt_extended_errors) and
    /// [`flask_jwt_errors`](super::flask_jwt_errors) create such functions.
    ///
    /// ```
    /// # use latchet_guard::{Guards, Refusal};
    /// # use poem::Response;
    /// # fn example(guards: Guards) -> Guards {
    /// guards.with_refusals(|refusal: &Refusal<'_>| {
    ///     let problem = refusal.error().problem();
    ///     Response::builder()
    ///         .status(problem.status)
    ///         .content_type("application/json")
    ///         .body(format!(r#"{{"error": "{}"}}"#, problem.code))
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn with_refusals(
        self,
        respond: impl Fn(&Refusal<'_>) -> Response + Send + Sync + 'static,
    ) -> Self {
        self.with(|inner| inner.responder = ErrorResponder::custom(respond))
    }

    pub(super) fn with(self, change: impl FnOnce(&mut GuardState)) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.0);
        change(&mut inner);
        Self(Arc::new(inner))
    }

    /// Logs a session out: from now on every token of it is refused, access and refresh. If the token
    /// has no session, only this token is refused.
    ///
    /// `longest_lifetime` is the longest lifetime of any token of the session; the denial expires when the
    /// last of them has expired.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use latchet_guard::{EitherKind, Guards, Jwt};
    /// use poem::{Request, Result, handler};
    ///
    /// #[handler]
    /// async fn logout(request: &Request) -> Result<()> {
    ///     let jwt = Jwt::<EitherKind>::authenticate(request).await?;
    ///     if let Some(guards) = request.data::<Guards>() {
    ///         let month = Duration::from_secs(30 * 24 * 60 * 60);
    ///         guards.deny_session(&jwt.claims, month).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`AuthError::Unavailable`] when the denylist cannot guarantee it; the user is not logged out
    /// then.
    pub async fn deny_session(
        &self,
        claims: &Claims,
        longest_lifetime: Duration,
    ) -> Result<(), AuthError> {
        let Some(sid) = &claims.sid else {
            return self.deny_token(claims).await;
        };
        let denied = DenialTarget::Session(sid.clone());
        self.deny(denied, self.now() + longest_lifetime).await
    }

    /// Refuses this token from now on, until it would have expired.
    ///
    /// # Errors
    /// As [`deny_session`](Self::deny_session).
    pub async fn deny_token(&self, claims: &Claims) -> Result<(), AuthError> {
        let denied = DenialTarget::Token(claims.jti.clone());
        self.deny(denied, claims.expires_at()).await
    }

    async fn deny(&self, denied: DenialTarget, end: Time) -> Result<(), AuthError> {
        let settings = self.0.verifier.settings();
        let not_after = end + settings.leeway + settings.clock_ahead;
        let denials = [Denial { denied, not_after }];
        let result = self.0.denylist.deny(&denials, self.now()).await;
        result.map_err(log_unavailable)
    }

    fn now(&self) -> Time {
        self.0.clock.now()
    }
}

/// Logs the cause once, here.
pub(super) fn log_unavailable(DenylistUnavailable(cause): DenylistUnavailable) -> AuthError {
    tracing::warn!(
        cause = cause.map(tracing::field::display),
        "the denylist did not respond"
    );
    AuthError::Unavailable
}
