//! Checks that every guard applies to a request, in a fixed order.

use std::borrow::Cow;
use std::sync::Arc;

use poem::Request;

use super::body::BodySlot;
use super::guards::{Guards, Inner, unavailable};
use super::location::{self, Location, Place, Shown};
use super::refusal::{Asked, Refusal};
use super::request_user::RequestUser;
use super::{Admission, Freshness, Policy, Revocation, csrf};
use crate::clock::Time;
use crate::cookies::renewal;
use crate::denylist::{Denylist, TokenStatus};
use crate::error::AuthError;
use crate::token::{Claims, Expected, Kind, Verified};

impl Guards {
    /// Returns the claims of the token in `request` after every check, or the reason for the refusal.
    /// The body is not read.
    ///
    /// # Errors
    /// The reason for the refusal; [`AuthError::Unavailable`] when the denylist did not respond.
    pub async fn authenticate<A: Admission>(
        &self,
        request: &Request,
    ) -> Result<A::Of<Arc<Claims>>, AuthError> {
        let shown = self
            .check::<A::Policy>(request, &mut BodySlot::Closed)
            .await
            .map_err(|refused| refused.error)?;
        A::admit(shown.map(|admitted| admitted.verified.claims))
    }

    /// Returns whether a token that was valid a moment ago is certainly still not denied.
    pub(crate) async fn has_been_left_alone(&self, claims: &Claims) -> bool {
        let status = self.0.denylist.check(claims.into(), self.now()).await;
        matches!(status, Ok(TokenStatus::NotDenied))
    }

    /// Runs every check; every guard of every policy calls this function.
    pub(super) async fn check<P: Policy>(
        &self,
        request: &Request,
        body: &mut BodySlot<'_>,
    ) -> Result<Option<Admitted>, Refused> {
        let expected = const { expected::<P>() };
        let locations = self.locations::<P>()?;
        let Some(shown) = location::find(locations, request, body, expected).await? else {
            return Ok(None);
        };
        let proof = csrf::proof(&shown, request, body).await?;

        let now = self.0.clock.now();
        let shown = self.genuine(shown, expected, now)?;
        let verified = self.verify(&shown, expected, now)?;
        let claims = &verified.claims;
        RequestUser::note(request, claims);
        let refused = |error| Refused {
            error,
            claims: Some(Arc::clone(claims)),
        };
        proof.check(claims).map_err(refused)?;
        check_freshness::<P>(claims, now).map_err(refused)?;
        if matches!(P::REVOCATION, Revocation::Checked) {
            check_denylist(&*self.0.denylist, &shown.token, claims, now)
                .await
                .map_err(refused)?;
        }
        P::check(claims).map_err(refused)?;
        if let Some((cookies, Kind::Access)) = shown.cookie {
            renewal::note(request, self, claims, cookies);
        }
        Ok(Some(Admitted {
            place: shown.place,
            verified,
        }))
    }

    fn locations<P: Policy>(&self) -> Result<impl Iterator<Item = &Location> + Clone, AuthError> {
        let named = match P::PLACES {
            Some(_) => &self.0.named_locations[..],
            None => &[],
        };
        let meant = |location: &&Location| {
            P::PLACES.is_none_or(|places| places.contains(&location.place()))
        };
        let locations = self.0.locations.iter().chain(named).filter(meant);
        if P::PLACES.is_some() && locations.clone().next().is_none() {
            tracing::error!(
                places = ?P::PLACES,
                "a guard requires locations that its `Guards` do not have: add `.with_named_locations(..)`"
            );
            return Err(AuthError::Unavailable);
        }
        Ok(locations)
    }

    /// Selects the one valid token among several cookies of the same name. Two valid ones are ambiguous:
    /// an attacker may have planted a token of their own in the victim's browser.
    fn genuine<'r>(
        &self,
        mut shown: Shown<'r>,
        expected: Expected,
        now: Time,
    ) -> Result<Shown<'r>, AuthError> {
        if shown.rivals.is_empty() {
            return Ok(shown);
        }
        let is_genuine = |token: &str| self.0.verifier.verify(token, expected, now).is_ok();
        let mut rivals = std::mem::take(&mut shown.rivals);
        rivals.retain(|rival| is_genuine(rival));
        rivals.dedup();
        match (&rivals[..], is_genuine(&shown.token)) {
            ([], _) => {}
            ([one], false) => shown.token = Cow::Borrowed(*one),
            _ => {
                let cookie = Place::Cookie.shown();
                return Err(AuthError::AmbiguousToken(cookie, cookie));
            }
        }
        Ok(shown)
    }

    fn verify(
        &self,
        shown: &Shown<'_>,
        expected: Expected,
        now: Time,
    ) -> Result<Verified, Refused> {
        let Inner {
            verifier, wording, ..
        } = &*self.0;
        let answer = verifier.verify_with_header(&shown.token, expected, now);
        answer.map_err(|error| {
            let tells_whose = error == AuthError::TokenExpired && wording.is_custom();
            let ended = tells_whose
                .then(|| {
                    verifier
                        .verify_even_expired(&shown.token, expected, now)
                        .ok()
                })
                .flatten();
            Refused {
                error,
                claims: ended.map(|ended| ended.claims),
            }
        })
    }

    pub(super) fn refuse<P: Policy>(&self, request: &Request, refused: &Refused) -> poem::Error {
        let locations: Vec<_> = self.locations::<P>().into_iter().flatten().collect();
        self.0.wording.say(&Refusal {
            error: &refused.error,
            claims: refused.claims.as_deref(),
            asked: Some(Asked {
                request,
                locations: &locations,
                expected: expected::<P>(),
            }),
        })
    }
}

/// A token that passed every check, and its location.
pub(super) struct Admitted {
    pub(super) verified: Verified,
    pub(super) place: Place,
}

/// Reason for refusing a request, and the claims of its token if its signature was verified.
pub(super) struct Refused {
    pub(super) error: AuthError,
    pub(super) claims: Option<Arc<Claims>>,
}

impl From<AuthError> for Refused {
    fn from(error: AuthError) -> Self {
        Self {
            error,
            claims: None,
        }
    }
}

const fn expected<P: Policy>() -> Expected {
    match P::KIND {
        Some(expected) => expected,
        None => Expected::Access,
    }
}

fn check_freshness<P: Policy>(claims: &Claims, now: Time) -> Result<(), AuthError> {
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
        Err(error) => Err(unavailable(error)),
    }
}
