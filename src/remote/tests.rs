//! Keys fetched from a local issuer that rotates, hangs, lies, stops and restarts.

mod refusals;
pub(crate) mod site;

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use poem::EndpointExt;

use super::{RemoteKeys, RemoteSettings};
use crate::error::AuthError;
use crate::keys::KeySet;
use crate::testing::TestIssuer;
use crate::token::{Expected, Header, Verifier, VerifierSettings, Wanted};
use site::Site;

/// An issuer, and the server at its address.
struct Pair {
    site: Site,
    issuer: TestIssuer,
}

impl Pair {
    fn new() -> Self {
        let site = Site::new();
        let issuer = TestIssuer::at(&site.url());
        Self { site, issuer }
    }

    fn serve(&mut self) {
        self.site.serve(self.issuer.endpoint());
    }

    /// Settings with which keys are fetched again only when a token requires it.
    fn settings(&self) -> RemoteSettings {
        RemoteSettings {
            shortest_age: Duration::ZERO,
            longest_age: Duration::from_hours(1),
            deadline: Duration::from_secs(2),
            clock: self.issuer.clock().clone(),
            ..RemoteSettings::new(self.site.url(), [self.site.url()])
        }
    }

    fn check(&self, keys: &RemoteKeys, token: &str) -> Result<String, AuthError> {
        let now = self.issuer.clock().now();
        let claims = keys.verifier().verify(token, Expected::Access, now)?;
        Ok(claims.sub.clone())
    }

    /// Checks until the result is the expected one.
    async fn until(&self, keys: &RemoteKeys, token: &str, expected: Result<&str, AuthError>) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let outcome = self.check(keys, token);
            if outcome.as_deref() == expected.as_ref().copied() {
                return;
            }
            assert!(Instant::now() < deadline, "still {outcome:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn unknown_key() -> AuthError {
    AuthError::InvalidToken("it was not signed with a trusted key")
}

#[tokio::test]
async fn tokens_of_the_issuer_are_taken() {
    let mut pair = Pair::new();
    pair.serve();
    let keys = RemoteKeys::follow(pair.settings()).unwrap();

    keys.ready().await.unwrap();

    let token = pair.issuer.token("alice");
    assert_eq!(pair.check(&keys, &token.clone().sign()), Ok("alice".into()));
    assert!(keys.failure().is_none());
    assert_eq!(
        pair.check(&keys, &token.clone().expired().sign()),
        Err(AuthError::TokenExpired)
    );
    assert_eq!(
        pair.check(&keys, &token.audience("https://other.example").sign()),
        Err(AuthError::InvalidToken("it is meant for another audience"))
    );
}

#[tokio::test]
async fn a_service_may_start_before_its_issuer() {
    let mut pair = Pair::new();
    let token = pair.issuer.token("alice").sign();
    let keys = RemoteKeys::follow(pair.settings()).unwrap();

    assert_eq!(pair.check(&keys, &token), Err(AuthError::Unavailable));
    // The keys are unknown, so junk is not refused as invalid either.
    assert_eq!(pair.check(&keys, "junk"), Err(AuthError::Unavailable));
    let error = keys.ready().await.unwrap_err();
    assert!(
        error.to_string().starts_with("request failed: http://"),
        "{error}"
    );
    assert_eq!(pair.check(&keys, &token), Err(AuthError::Unavailable));

    pair.serve();
    pair.until(&keys, &token, Ok("alice")).await;
    assert!(keys.failure().is_none());
}

#[tokio::test]
async fn the_last_keys_serve_through_an_outage_for_a_day() {
    let mut pair = Pair::new();
    pair.serve();
    let token = pair
        .issuer
        .token("alice")
        .lifetime(Duration::from_hours(72))
        .sign();
    let keys = RemoteKeys::follow(RemoteSettings {
        longest_age: Duration::from_millis(20),
        ..pair.settings()
    })
    .unwrap();
    keys.ready().await.unwrap();

    pair.site.kill();
    while keys.failure().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(pair.check(&keys, &token), Ok("alice".into()));
    shift(&pair, Duration::from_hours(23));
    assert_eq!(pair.check(&keys, &token), Ok("alice".into()));
    shift(&pair, Duration::from_hours(2));
    assert_eq!(pair.check(&keys, &token), Err(AuthError::Unavailable));

    pair.serve();
    pair.until(&keys, &token, Ok("alice")).await;
}

#[test]
fn keys_are_trusted_until_the_last_millisecond() {
    let issuer = TestIssuer::new();
    let token = issuer.token("alice").sign();
    let now = issuer.clock().now();
    let settings = VerifierSettings::new(issuer.url(), [issuer.url()]);
    let wanted = Arc::new(Wanted::new(Duration::ZERO));
    let verifier = Verifier::following(settings, wanted);
    let check = |now| verifier.verify(&token, Expected::Access, now).map(drop);

    verifier.trust(KeySet::from_jwks(&issuer.jwks()).unwrap(), now);

    assert_eq!(check(now), Ok(()));
    let later = now + Duration::from_millis(1);
    assert_eq!(check(later), Err(AuthError::Unavailable));
}

fn shift(pair: &Pair, by: Duration) {
    let millis = i64::try_from(by.as_millis()).unwrap();
    pair.issuer.clock().shift(millis);
}

#[tokio::test]
async fn a_token_of_a_new_key_brings_that_key_in() {
    let mut pair = Pair::new();
    pair.serve();
    let old = pair.issuer.token("alice").sign();
    let keys = RemoteKeys::follow(RemoteSettings {
        shortest_age: Duration::from_millis(100),
        ..pair.settings()
    })
    .unwrap();
    keys.ready().await.unwrap();
    assert_eq!(pair.check(&keys, &old), Ok("alice".into()));

    pair.issuer.rotate_key();
    let new = pair.issuer.token("alice").sign();

    // The new key counts as nonexistent for a tenth of a second, then as unknown, then it is known.
    pair.until(&keys, &new, Err(AuthError::Unavailable)).await;
    pair.until(&keys, &new, Ok("alice")).await;
    // The issuer withdrew the old key, and its tokens are refused although they are cached.
    pair.until(&keys, &old, Err(unknown_key())).await;
}

#[tokio::test]
async fn keys_are_fetched_anew_when_they_are_old() {
    let mut pair = Pair::new();
    pair.serve();
    let old = pair.issuer.token("alice").sign();
    let keys = RemoteKeys::follow(RemoteSettings {
        longest_age: Duration::from_millis(20),
        ..pair.settings()
    })
    .unwrap();
    keys.ready().await.unwrap();
    assert_eq!(pair.check(&keys, &old), Ok("alice".into()));

    pair.issuer.rotate_key();

    let deadline = Instant::now() + Duration::from_secs(20);
    while pair.check(&keys, &old).is_ok() {
        assert!(
            Instant::now() < deadline,
            "a withdrawn key is still trusted"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_flood_of_unknown_keys_is_one_question() {
    let mut pair = Pair::new();
    pair.serve();
    let keys = RemoteKeys::follow(RemoteSettings {
        shortest_age: Duration::from_hours(1),
        ..pair.settings()
    })
    .unwrap();
    keys.ready().await.unwrap();
    let asked = pair.site.asked();

    for _ in 0..1_000 {
        let forged = pair.issuer.token("alice").forged().sign();
        assert_eq!(pair.check(&keys, &forged), Err(unknown_key()));
    }
    let good = pair.issuer.token("alice").sign();

    assert_eq!(pair.check(&keys, &good), Ok("alice".into()));
    assert_eq!(
        pair.site.asked(),
        asked,
        "the issuer was asked a moment ago"
    );
}

#[tokio::test]
async fn only_a_key_that_is_named_and_unknown_is_asked_for() {
    let mut pair = Pair::new();
    pair.serve();
    let keys = RemoteKeys::follow(pair.settings()).unwrap();
    keys.ready().await.unwrap();
    let good = pair.issuer.token("alice").sign();
    let (header, rest) = good.split_once('.').unwrap();
    let with = |name: &str, value: Option<&str>| {
        let mut members = Header::of(header).members();
        members.remove(name);
        members.extend(value.map(|value| (name.to_owned(), value.into())));
        let header = URL_SAFE_NO_PAD.encode(serde_json::to_string(&members).unwrap());
        pair.check(&keys, &format!("{header}.{rest}"))
    };

    assert_eq!(with("alg", Some("HS256")), Err(unknown_key()));
    assert_eq!(with("kid", None), Err(unknown_key()));
    assert_eq!(with("kid", Some("new")), Err(AuthError::Unavailable));
}

/// The keys are old, so that the first forged token requests newer ones; the response is slow.
#[tokio::test]
async fn one_question_at_a_time_and_no_check_waits_for_it() {
    let mut pair = Pair::new();
    pair.serve();
    let good = pair.issuer.token("alice").sign();
    let keys = RemoteKeys::follow(pair.settings()).unwrap();
    keys.ready().await.unwrap();
    pair.site.kill();
    let hang = pair
        .issuer
        .endpoint()
        .before(async |_| std::future::pending().await);
    pair.site.serve(Arc::new(hang));
    let asked = pair.site.asked();

    let deadline = Instant::now() + Duration::from_secs(20);
    while pair.site.asked() == asked {
        let forged = pair.issuer.token("mallory").forged().sign();
        assert_eq!(pair.check(&keys, &forged), Err(AuthError::Unavailable));
        assert_eq!(pair.check(&keys, &good), Ok("alice".into()));
        assert!(Instant::now() < deadline, "the issuer is not asked");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..1_000 {
        let forged = pair.issuer.token("mallory").forged().sign();
        assert_eq!(pair.check(&keys, &forged), Err(AuthError::Unavailable));
        assert_eq!(pair.check(&keys, &good), Ok("alice".into()));
    }

    assert_eq!(pair.site.asked(), asked + 1);
}

#[tokio::test]
async fn once_the_handle_is_dropped_the_issuer_is_left_alone() {
    let mut pair = Pair::new();
    pair.serve();
    let token = pair.issuer.token("alice").sign();
    let keys = RemoteKeys::follow(pair.settings()).unwrap();
    keys.ready().await.unwrap();
    let verifier = keys.verifier();
    let asked = pair.site.asked();

    drop(keys);

    let check = |token: &str| {
        let now = pair.issuer.clock().now();
        verifier.verify(token, Expected::Access, now).map(|_| ())
    };
    assert_eq!(check(&token), Ok(()));
    let forged = pair.issuer.token("alice").forged().sign();
    assert_eq!(
        check(&forged),
        Err(unknown_key()),
        "no task will fetch its key"
    );
    assert_eq!(pair.site.asked(), asked);
}
