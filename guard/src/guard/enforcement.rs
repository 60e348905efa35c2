//! Checks that every guard applies to a request, in a fixed order.

use std::borrow::Cow;
use std::sync::Arc;

use poem::Request;

use super::body::{self, BodyAccess};
use super::guards::{GuardState, Guards, log_unavailable};
use super::location::{self, Location, LocationKind, PresentedToken};
use super::refusal::{Refusal, RefusalContext};
use super::request_user::RequestUser;
use super::{Freshness, Requirement, RevocationCheck, TokenPolicy};
use crate::clock::Time;
use crate::cookies::TokenCookie;
use crate::cookies::csrf::CsrfProof;
use crate::cookies::renewal::{self, CookieAuthentication};
use crate::denylist::{Denylist, TokenStatus};
use crate::error::{AuthError, CsrfFailure, TokenLocation};
use crate::token::{Claims, ExpectedKind, TokenKind, VerifiedToken};

impl Guards {
    /// Returns the claims of the token in `request` after every check, or the reason for the refusal.
    /// The body is not read.
    ///
    /// # Errors
    /// The reason for the refusal; [`AuthError::Unavailable`] when the denylist did not respond.
    pub async fn authenticate<A: Requirement>(
        &self,
        request: &Request,
    ) -> Result<A::Output<Arc<Claims>>, AuthError> {
        let presented = self
            .authenticate_request::<A::Policy>(request, &mut BodyAccess::NoAccess)
            .await
            .map_err(|rejection| rejection.error)?;
        A::apply(presented.map(|authenticated| authenticated.verified.claims))
    }

    /// Runs every check; every guard of every policy calls this function.
    pub(super) async fn authenticate_request<P: TokenPolicy>(
        &self,
        request: &Request,
        body: &mut BodyAccess<'_>,
    ) -> Result<Option<Authenticated>, Rejection> {
        let expected = const { expected_kind::<P>() };
        let locations = self.locations::<P>()?;
        let Some(presented) = location::find_token(locations, request, body, expected).await?
        else {
            return Ok(None);
        };
        let proof = extract_csrf_proof(&presented, request, body).await?;

        let now = self.0.clock.now();
        let presented = self.select_valid_duplicate(presented, expected, now)?;
        let verified = self.verify(&presented, expected, now)?;
        let claims = &verified.claims;
        RequestUser::record(request, claims);
        let rejection = |error| Rejection {
            error,
            claims: Some(Arc::clone(claims)),
        };
        proof.verify(claims).map_err(rejection)?;
        check_freshness::<P>(claims, now).map_err(rejection)?;
        if matches!(P::REVOCATION_CHECK, RevocationCheck::Required) {
            check_denylist(&*self.0.denylist, &presented.token, claims, now)
                .await
                .map_err(rejection)?;
        }
        P::check(claims).map_err(rejection)?;
        if let Some((cookies, TokenKind::Access)) = presented.cookie {
            renewal::record_authentication(request, || CookieAuthentication {
                claims: Arc::clone(claims),
                cookies: Arc::clone(cookies),
                denylist: Arc::clone(&self.0.denylist),
                clock: self.0.clock.clone(),
            });
        }
        Ok(Some(Authenticated {
            location: presented.location,
            verified,
        }))
    }

    fn locations<P: TokenPolicy>(
        &self,
    ) -> Result<impl Iterator<Item = &Location> + Clone, AuthError> {
        let named_locations = match P::LOCATIONS {
            Some(_) => &self.0.named_locations[..],
            None => &[],
        };
        let is_selected = |location: &&Location| {
            P::LOCATIONS.is_none_or(|kinds| kinds.contains(&location.kind()))
        };
        let locations = self
            .0
            .locations
            .iter()
            .chain(named_locations)
            .filter(is_selected);
        if P::LOCATIONS.is_some() && locations.clone().next().is_none() {
            tracing::error!(
                locations = ?P::LOCATIONS,
                "a guard requires locations that its `Guards` do not have: add `.with_named_locations(..)`"
            );
            return Err(AuthError::Unavailable);
        }
        Ok(locations)
    }

    /// Selects the one valid token among several cookies of the same name. Two valid ones are ambiguous:
    /// an attacker may have planted a token of their own in the victim's browser.
    fn select_valid_duplicate<'r>(
        &self,
        mut presented: PresentedToken<'r>,
        expected: ExpectedKind,
        now: Time,
    ) -> Result<PresentedToken<'r>, AuthError> {
        if presented.duplicates.is_empty() {
            return Ok(presented);
        }
        let is_valid = |token: &str| self.0.verifier.verify(token, expected, now).is_ok();
        let mut duplicates = std::mem::take(&mut presented.duplicates);
        duplicates.retain(|duplicate| is_valid(duplicate));
        duplicates.dedup();
        match (&duplicates[..], is_valid(&presented.token)) {
            ([], _) => {}
            ([one], false) => presented.token = Cow::Borrowed(*one),
            _ => {
                let cookie = TokenLocation::Cookie;
                return Err(AuthError::AmbiguousToken(cookie, cookie));
            }
        }
        Ok(presented)
    }

    fn verify(
        &self,
        presented: &PresentedToken<'_>,
        expected: ExpectedKind,
        now: Time,
    ) -> Result<VerifiedToken, Rejection> {
        let GuardState {
            verifier,
            responder,
            ..
        } = &*self.0;
        let result = verifier.verify_with_header(&presented.token, expected, now);
        result.map_err(|error| {
            let needs_claims = error == AuthError::TokenExpired && responder.is_custom();
            let expired = needs_claims
                .then(|| {
                    verifier
                        .verify_even_expired(&presented.token, expected, now)
                        .ok()
                })
                .flatten();
            Rejection {
                error,
                claims: expired.map(|expired| expired.claims),
            }
        })
    }

    pub(super) fn refuse<P: TokenPolicy>(
        &self,
        request: &Request,
        rejection: &Rejection,
    ) -> poem::Error {
        let locations: Vec<_> = self.locations::<P>().into_iter().flatten().collect();
        self.0.responder.respond(&Refusal {
            error: &rejection.error,
            claims: rejection.claims.as_deref(),
            context: Some(RefusalContext {
                request,
                locations: &locations,
                expected: expected_kind::<P>(),
            }),
        })
    }
}

/// A token that passed every check, and its location.
pub(super) struct Authenticated {
    pub(super) verified: VerifiedToken,
    pub(super) location: LocationKind,
}

/// Reason for refusing a request, and the claims of its token if its signature was verified.
pub(super) struct Rejection {
    pub(super) error: AuthError,
    pub(super) claims: Option<Arc<Claims>>,
}

impl From<AuthError> for Rejection {
    fn from(error: AuthError) -> Self {
        Self {
            error,
            claims: None,
        }
    }
}

const fn expected_kind<P: TokenPolicy>() -> ExpectedKind {
    match P::KIND {
        Some(expected) => expected,
        None => ExpectedKind::Access,
    }
}

/// Extracts the CSRF value from a request, before any work is spent on its token.
async fn extract_csrf_proof<'r>(
    presented: &PresentedToken<'r>,
    request: &'r Request,
    body: &mut BodyAccess<'_>,
) -> Result<CsrfProof<'r>, AuthError> {
    let Some((cookies, kind)) = presented.cookie else {
        return Ok(CsrfProof::NotNeeded);
    };
    if !cookies.csrf.requires_value(request)? {
        return Ok(CsrfProof::NotNeeded);
    }
    let value = submitted_csrf_value(cookies.of(kind), request, body).await?;
    value
        .map(CsrfProof::Value)
        .ok_or(AuthError::CsrfFailed(CsrfFailure::ValueMissing))
}

/// The header takes precedence over the form: scripts set it deliberately.
async fn submitted_csrf_value<'r>(
    cookie: &TokenCookie,
    request: &'r Request,
    body: &mut BodyAccess<'_>,
) -> Result<Option<Cow<'r, [u8]>>, AuthError> {
    if let Some(value) = cookie.csrf_value_in_header(request) {
        return Ok(Some(Cow::Borrowed(value)));
    }
    let Some(field) = &cookie.csrf_field else {
        return Ok(None);
    };
    // Boxed, as in `location::find_token`.
    let value = Box::pin(body::form_field(request, body, field)).await?;
    let value = value.filter(|value| !value.is_empty());
    Ok(value.map(|value| Cow::Owned(value.into_bytes())))
}

fn check_freshness<P: TokenPolicy>(claims: &Claims, now: Time) -> Result<(), AuthError> {
    match P::FRESHNESS {
        Freshness::Fresh if !claims.fresh.is_fresh(now) => Err(AuthError::FreshTokenRequired),
        Freshness::Any | Freshness::Fresh => Ok(()),
    }
}

async fn check_denylist(
    denylist: &dyn Denylist,
    token: &str,
    claims: &Claims,
    now: Time,
) -> Result<(), AuthError> {
    match denylist.check_token(token, claims, now).await {
        Ok(TokenStatus::NotDenied) => Ok(()),
        Ok(TokenStatus::Revoked) => Err(AuthError::TokenRevoked),
        Ok(TokenStatus::Outdated) => Err(AuthError::TokenOutdated),
        Err(error) => Err(log_unavailable(error)),
    }
}
