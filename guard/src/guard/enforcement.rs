//! Checks that every guard applies to a request, in a fixed order.

use std::borrow::Cow;
use std::sync::Arc;

use poem::Request;

use super::body::BodyAccess;
use super::guards::{GuardState, Guards, log_unavailable};
use super::location::{self, Location, LocationKind, PresentedToken};
use super::refusal::{Refusal, RefusalContext};
use super::request_user::RequestUser;
use super::{Freshness, Requirement, RevocationCheck, TokenPolicy, csrf};
use crate::clock::Time;
use crate::cookies::renewal;
use crate::denylist::{Denylist, TokenStatus};
use crate::error::{AuthError, TokenLocation};
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

    /// Returns whether a token that was valid a moment ago is certainly still not denied.
    pub(crate) async fn is_still_valid(&self, claims: &Claims) -> bool {
        let status = self.0.denylist.check(claims.into(), self.now()).await;
        matches!(status, Ok(TokenStatus::NotDenied))
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
        let proof = csrf::extract_proof(&presented, request, body).await?;

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
            renewal::record_authentication(request, self, claims, cookies);
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
