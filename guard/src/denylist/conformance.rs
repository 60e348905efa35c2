//! Conformance check for every [`Denylist`], as one function that the tests of each backend call.

use std::time::Duration;

use super::{Denial, DenialTarget, Denylist, TokenIds, TokenStatus};
use crate::clock::Time;
use crate::keys::random_id;

/// Ids as other issuers may write them: separators, quotes, globs, hash tags, not ASCII, nothing.
const ODD_IDS: [&str; 8] = [
    "",
    " ",
    "a:b",
    "{x}",
    "*",
    "it's",
    "line\r\nbreak",
    "käse\u{1f9c0}",
];

/// Checks that `list` denies exactly what was added to it.
///
/// It uses unique ids, so that it can check a shared list in use. Expiry is not covered: some backends
/// expire entries by their own clock.
///
/// # Errors
/// A description of the first requirement that `list` violates.
pub async fn check(list: &dyn Denylist, now: Time) -> Result<(), String> {
    let conformance = ConformanceCheck { list, now };
    conformance.a_session_takes_its_tokens_along().await?;
    conformance.a_token_goes_alone().await?;
    conformance.sessions_and_tokens_do_not_mix().await?;
    conformance.one_call_denies_many().await?;
    conformance.denying_again_never_shortens().await?;
    conformance.older_versions_of_a_user_are_outdated().await?;
    conformance
        .a_repeated_version_never_lowers_another()
        .await?;
    conformance.odd_ids_are_ids().await
}

struct ConformanceCheck<'a> {
    list: &'a dyn Denylist,
    now: Time,
}

impl ConformanceCheck<'_> {
    async fn a_session_takes_its_tokens_along(&self) -> Result<(), String> {
        let (sid, other) = (random_id(), random_id());
        self.expect(Some(&sid), &random_id(), ExpectedStatus::NotDenied)
            .await?;
        self.deny(&[self.denial(DenialTarget::Session(sid.clone()))])
            .await?;
        self.expect(Some(&sid), &random_id(), ExpectedStatus::Revoked)
            .await?;
        self.expect(Some(&sid), &random_id(), ExpectedStatus::Revoked)
            .await?;
        self.expect(Some(&other), &random_id(), ExpectedStatus::NotDenied)
            .await?;
        self.expect(None, &random_id(), ExpectedStatus::NotDenied)
            .await
    }

    async fn a_token_goes_alone(&self) -> Result<(), String> {
        let (sid, jti) = (random_id(), random_id());
        self.deny(&[self.denial(DenialTarget::Token(jti.clone()))])
            .await?;
        self.expect(Some(&sid), &jti, ExpectedStatus::Revoked)
            .await?;
        self.expect(None, &jti, ExpectedStatus::Revoked).await?;
        self.expect(Some(&sid), &random_id(), ExpectedStatus::NotDenied)
            .await
    }

    async fn sessions_and_tokens_do_not_mix(&self) -> Result<(), String> {
        let (sid, jti) = (random_id(), random_id());
        self.deny(&[
            self.denial(DenialTarget::Session(sid.clone())),
            self.denial(DenialTarget::Token(jti.clone())),
        ])
        .await?;
        self.expect(None, &sid, ExpectedStatus::NotDenied).await?;
        self.expect(Some(&jti), &random_id(), ExpectedStatus::NotDenied)
            .await
    }

    async fn one_call_denies_many(&self) -> Result<(), String> {
        self.deny(&[]).await?;
        let sids: Vec<String> = (0..300).map(|_| random_id()).collect();
        let denials: Vec<Denial> = sids
            .iter()
            .map(|sid| self.denial(DenialTarget::Session(sid.clone())))
            .collect();
        self.deny(&denials).await?;
        for sid in &sids {
            self.expect(Some(sid), &random_id(), ExpectedStatus::Revoked)
                .await?;
        }
        Ok(())
    }

    async fn denying_again_never_shortens(&self) -> Result<(), String> {
        let jti = random_id();
        let long = self.denial(DenialTarget::Token(jti.clone()));
        let lapsed = Denial {
            denied: long.denied.clone(),
            not_after: self.now - Duration::from_mins(1),
        };
        self.deny(&[long.clone(), long]).await?;
        self.deny(&[lapsed]).await?;
        self.expect(None, &jti, ExpectedStatus::Revoked).await
    }

    async fn older_versions_of_a_user_are_outdated(&self) -> Result<(), String> {
        let (user, sid, jti) = (random_id(), random_id(), random_id());
        self.expect_of(&user, FIRST_VERSION, ExpectedStatus::NotDenied)
            .await?;
        self.deny(&[self.user(&user, FIRST_VERSION)]).await?;
        self.expect_of(&user, 0, ExpectedStatus::Outdated).await?;
        self.expect_of(&user, FIRST_VERSION - 1, ExpectedStatus::Outdated)
            .await?;
        self.expect_of(&user, FIRST_VERSION, ExpectedStatus::NotDenied)
            .await?;
        self.expect_of(&random_id(), 0, ExpectedStatus::NotDenied)
            .await?;
        // A user id denies no session and no token with the same id.
        self.expect(Some(&user), &user, ExpectedStatus::NotDenied)
            .await?;
        self.deny(&[self.denial(DenialTarget::Session(sid.clone()))])
            .await?;
        self.deny(&[self.user(&jti, FIRST_VERSION)]).await?;
        let both = TokenIds {
            sid: Some(&sid),
            jti: &random_id(),
            sub: &user,
            authority_version: 0,
        };
        self.expect_ids(both, ExpectedStatus::Revoked).await
    }

    async fn a_repeated_version_never_lowers_another(&self) -> Result<(), String> {
        let user = random_id();
        let newer = self.user(&user, FIRST_VERSION + 2);
        let older = Denial {
            not_after: self.now + Duration::from_hours(1),
            ..self.user(&user, FIRST_VERSION)
        };
        self.deny(&[newer, older]).await?;
        self.deny(&[self.user(&user, FIRST_VERSION + 1)]).await?;
        self.expect_of(&user, FIRST_VERSION + 1, ExpectedStatus::Outdated)
            .await?;
        self.expect_of(&user, FIRST_VERSION + 2, ExpectedStatus::NotDenied)
            .await?;
        // Of another length: versions are numbers, not texts.
        self.deny(&[self.user(&user, 10 * FIRST_VERSION)]).await?;
        self.expect_of(&user, 9 * FIRST_VERSION, ExpectedStatus::Outdated)
            .await?;
        self.expect_of(&user, 10 * FIRST_VERSION, ExpectedStatus::NotDenied)
            .await
    }

    async fn odd_ids_are_ids(&self) -> Result<(), String> {
        let prefix = random_id();
        for odd in ODD_IDS {
            let id = format!("{prefix}{odd}");
            self.expect(Some(&id), &id, ExpectedStatus::NotDenied)
                .await?;
            self.deny(&[self.denial(DenialTarget::Session(id.clone()))])
                .await?;
            self.expect(Some(&id), &random_id(), ExpectedStatus::Revoked)
                .await?;
            self.expect_of(&id, 0, ExpectedStatus::NotDenied).await?;
            self.deny(&[self.user(&id, FIRST_VERSION)]).await?;
            self.expect_of(&id, 0, ExpectedStatus::Outdated).await?;
        }
        Ok(())
    }

    fn user(&self, id: &str, below: u64) -> Denial {
        let id = id.to_owned();
        self.denial(DenialTarget::User { id, below })
    }

    fn denial(&self, denied: DenialTarget) -> Denial {
        Denial {
            denied,
            not_after: self.now + Duration::from_mins(10),
        }
    }

    async fn deny(&self, denials: &[Denial]) -> Result<(), String> {
        self.list
            .deny(denials, self.now)
            .await
            .map_err(|_| format!("could not deny {} entries", denials.len()))
    }

    async fn expect(
        &self,
        sid: Option<&str>,
        jti: &str,
        expected: ExpectedStatus,
    ) -> Result<(), String> {
        let ids = TokenIds {
            sid,
            jti,
            sub: &random_id(),
            authority_version: 0,
        };
        self.expect_ids(ids, expected).await
    }

    /// Expects this status for a token of the user with this version.
    async fn expect_of(
        &self,
        sub: &str,
        version: u64,
        expected: ExpectedStatus,
    ) -> Result<(), String> {
        let ids = TokenIds {
            sid: Some(&random_id()),
            jti: &random_id(),
            sub,
            authority_version: version,
        };
        self.expect_ids(ids, expected).await
    }

    async fn expect_ids(&self, ids: TokenIds<'_>, expected: ExpectedStatus) -> Result<(), String> {
        let status = match self.list.check(ids, self.now).await {
            Ok(TokenStatus::Revoked) => ExpectedStatus::Revoked,
            Ok(TokenStatus::Outdated) => ExpectedStatus::Outdated,
            Ok(TokenStatus::NotDenied) => ExpectedStatus::NotDenied,
            Err(_) => return Err(format!("no response for {ids:?}")),
        };
        if status == expected {
            return Ok(());
        }
        Err(format!("{ids:?}: {status:?}, not {expected:?}"))
    }
}

/// As large as the versions that servers write: milliseconds since the unix epoch.
const FIRST_VERSION: u64 = 1_800_000_000_000;

#[derive(Debug, PartialEq, Eq)]
enum ExpectedStatus {
    Revoked,
    Outdated,
    NotDenied,
}
