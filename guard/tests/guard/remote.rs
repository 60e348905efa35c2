//! Keys fetched from a local issuer that rotates, hangs, lies, stops and restarts.

mod refusals;
pub(crate) mod server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use poem::EndpointExt;

use latchet_guard::error::{AuthError, InvalidToken};
use latchet_guard::remote::{RemoteKeys, RemoteSettings};
use latchet_guard::testing::TestIssuer;
use latchet_guard::token::{ExpectedKind, Header};
use server::KillableServer;

/// An issuer, and the server at its address.
struct ServedIssuer {
    server: KillableServer,
    issuer: TestIssuer,
}

impl ServedIssuer {
    fn new() -> Self {
        let server = KillableServer::new();
        let issuer = TestIssuer::at(&server.url());
        Self { server, issuer }
    }

    fn serve(&mut self) {
        self.server.serve(self.issuer.endpoint());
    }

    /// Settings with which keys are fetched again only when a token requires it.
    fn settings(&self) -> RemoteSettings {
        RemoteSettings {
            min_fetch_interval: Duration::ZERO,
            max_fetch_interval: Duration::from_hours(1),
            deadline: Duration::from_secs(2),
            clock: self.issuer.clock().clone(),
            ..RemoteSettings::new(self.server.url(), [self.server.url()])
        }
    }

    fn check(&self, keys: &RemoteKeys, token: &str) -> Result<String, AuthError> {
        let now = self.issuer.clock().now();
        let claims = keys.verifier().verify(token, ExpectedKind::Access, now)?;
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
    AuthError::InvalidToken(InvalidToken::UntrustedKey)
}

#[tokio::test]
async fn tokens_of_the_issuer_are_accepted() {
    let mut served_issuer = ServedIssuer::new();
    served_issuer.serve();
    let keys = RemoteKeys::start(served_issuer.settings()).unwrap();

    keys.ready().await.unwrap();

    let token = served_issuer.issuer.token("alice");
    assert_eq!(
        served_issuer.check(&keys, &token.clone().sign()),
        Ok("alice".into())
    );
    assert!(keys.failure().is_none());
    assert_eq!(
        served_issuer.check(&keys, &token.clone().expired().sign()),
        Err(AuthError::TokenExpired)
    );
    assert_eq!(
        served_issuer.check(&keys, &token.audience("https://other.example").sign()),
        Err(AuthError::InvalidToken(InvalidToken::ForeignAudience))
    );
}

#[tokio::test]
async fn a_service_may_start_before_its_issuer() {
    let mut served_issuer = ServedIssuer::new();
    let token = served_issuer.issuer.token("alice").sign();
    let keys = RemoteKeys::start(served_issuer.settings()).unwrap();

    assert_eq!(
        served_issuer.check(&keys, &token),
        Err(AuthError::Unavailable)
    );
    // The keys are unknown, so junk is not refused as invalid either.
    assert_eq!(
        served_issuer.check(&keys, "junk"),
        Err(AuthError::Unavailable)
    );
    let error = keys.ready().await.unwrap_err();
    assert!(
        error.to_string().starts_with("request failed: http://"),
        "{error}"
    );
    assert_eq!(
        served_issuer.check(&keys, &token),
        Err(AuthError::Unavailable)
    );

    served_issuer.serve();
    served_issuer.until(&keys, &token, Ok("alice")).await;
    assert!(keys.failure().is_none());
}

#[tokio::test]
async fn the_last_keys_are_used_for_a_day_of_outage() {
    let mut served_issuer = ServedIssuer::new();
    served_issuer.serve();
    let token = served_issuer
        .issuer
        .token("alice")
        .lifetime(Duration::from_hours(72))
        .sign();
    let keys = RemoteKeys::start(RemoteSettings {
        max_fetch_interval: Duration::from_millis(20),
        ..served_issuer.settings()
    })
    .unwrap();
    keys.ready().await.unwrap();

    served_issuer.server.kill();
    while keys.failure().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(served_issuer.check(&keys, &token), Ok("alice".into()));
    shift(&served_issuer, Duration::from_hours(23));
    assert_eq!(served_issuer.check(&keys, &token), Ok("alice".into()));
    shift(&served_issuer, Duration::from_hours(2));
    assert_eq!(
        served_issuer.check(&keys, &token),
        Err(AuthError::Unavailable)
    );

    served_issuer.serve();
    served_issuer.until(&keys, &token, Ok("alice")).await;
}

fn shift(served_issuer: &ServedIssuer, by: Duration) {
    let millis = i64::try_from(by.as_millis()).unwrap();
    served_issuer.issuer.clock().shift(millis);
}

#[tokio::test]
async fn a_token_with_a_new_key_triggers_a_fetch() {
    let mut served_issuer = ServedIssuer::new();
    served_issuer.serve();
    let old = served_issuer.issuer.token("alice").sign();
    let keys = RemoteKeys::start(RemoteSettings {
        min_fetch_interval: Duration::from_millis(100),
        ..served_issuer.settings()
    })
    .unwrap();
    keys.ready().await.unwrap();
    assert_eq!(served_issuer.check(&keys, &old), Ok("alice".into()));

    served_issuer.issuer.rotate_key();
    let new = served_issuer.issuer.token("alice").sign();

    // The new key counts as nonexistent for a tenth of a second, then as unknown, then it is known.
    served_issuer
        .until(&keys, &new, Err(AuthError::Unavailable))
        .await;
    served_issuer.until(&keys, &new, Ok("alice")).await;
    // The issuer withdrew the old key, and its tokens are refused although they are cached.
    served_issuer.until(&keys, &old, Err(unknown_key())).await;
}

#[tokio::test]
async fn old_keys_are_fetched_again() {
    let mut served_issuer = ServedIssuer::new();
    served_issuer.serve();
    let old = served_issuer.issuer.token("alice").sign();
    let keys = RemoteKeys::start(RemoteSettings {
        max_fetch_interval: Duration::from_millis(20),
        ..served_issuer.settings()
    })
    .unwrap();
    keys.ready().await.unwrap();
    assert_eq!(served_issuer.check(&keys, &old), Ok("alice".into()));

    served_issuer.issuer.rotate_key();

    let deadline = Instant::now() + Duration::from_secs(20);
    while served_issuer.check(&keys, &old).is_ok() {
        assert!(
            Instant::now() < deadline,
            "a withdrawn key is still trusted"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn many_unknown_keys_cause_no_extra_request() {
    let mut served_issuer = ServedIssuer::new();
    served_issuer.serve();
    let keys = RemoteKeys::start(RemoteSettings {
        min_fetch_interval: Duration::from_hours(1),
        ..served_issuer.settings()
    })
    .unwrap();
    keys.ready().await.unwrap();
    let request_count = served_issuer.server.request_count();

    for _ in 0..1_000 {
        let forged = served_issuer.issuer.token("alice").forged().sign();
        assert_eq!(served_issuer.check(&keys, &forged), Err(unknown_key()));
    }
    let good = served_issuer.issuer.token("alice").sign();

    assert_eq!(served_issuer.check(&keys, &good), Ok("alice".into()));
    assert_eq!(
        served_issuer.server.request_count(),
        request_count,
        "the issuer was asked a moment ago"
    );
}

#[tokio::test]
async fn only_an_unknown_kid_triggers_a_fetch() {
    let mut served_issuer = ServedIssuer::new();
    served_issuer.serve();
    let keys = RemoteKeys::start(served_issuer.settings()).unwrap();
    keys.ready().await.unwrap();
    let good = served_issuer.issuer.token("alice").sign();
    let (header, rest) = good.split_once('.').unwrap();
    let with = |name: &str, value: Option<&str>| {
        let mut members = Header::unverified(header).members();
        members.remove(name);
        members.extend(value.map(|value| (name.to_owned(), value.into())));
        let header = URL_SAFE_NO_PAD.encode(serde_json::to_string(&members).unwrap());
        served_issuer.check(&keys, &format!("{header}.{rest}"))
    };

    assert_eq!(with("alg", Some("HS256")), Err(unknown_key()));
    assert_eq!(with("kid", None), Err(unknown_key()));
    assert_eq!(with("kid", Some("new")), Err(AuthError::Unavailable));
}

/// The keys are old, so that the first forged token requests newer ones; the response is slow.
#[tokio::test]
async fn one_fetch_runs_at_a_time_and_no_check_waits_for_it() {
    let mut served_issuer = ServedIssuer::new();
    served_issuer.serve();
    let good = served_issuer.issuer.token("alice").sign();
    let keys = RemoteKeys::start(served_issuer.settings()).unwrap();
    keys.ready().await.unwrap();
    served_issuer.server.kill();
    let hang = served_issuer
        .issuer
        .endpoint()
        .before(async |_| std::future::pending().await);
    served_issuer.server.serve(Arc::new(hang));
    let request_count = served_issuer.server.request_count();

    let deadline = Instant::now() + Duration::from_secs(20);
    while served_issuer.server.request_count() == request_count {
        let forged = served_issuer.issuer.token("mallory").forged().sign();
        assert_eq!(
            served_issuer.check(&keys, &forged),
            Err(AuthError::Unavailable)
        );
        assert_eq!(served_issuer.check(&keys, &good), Ok("alice".into()));
        assert!(Instant::now() < deadline, "the issuer is not asked");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..1_000 {
        let forged = served_issuer.issuer.token("mallory").forged().sign();
        assert_eq!(
            served_issuer.check(&keys, &forged),
            Err(AuthError::Unavailable)
        );
        assert_eq!(served_issuer.check(&keys, &good), Ok("alice".into()));
    }

    assert_eq!(served_issuer.server.request_count(), request_count + 1);
}

#[tokio::test]
async fn no_request_is_sent_after_the_handle_is_dropped() {
    let mut served_issuer = ServedIssuer::new();
    served_issuer.serve();
    let token = served_issuer.issuer.token("alice").sign();
    let keys = RemoteKeys::start(served_issuer.settings()).unwrap();
    keys.ready().await.unwrap();
    let verifier = keys.verifier();
    let request_count = served_issuer.server.request_count();

    drop(keys);

    let check = |token: &str| {
        let now = served_issuer.issuer.clock().now();
        verifier
            .verify(token, ExpectedKind::Access, now)
            .map(|_| ())
    };
    assert_eq!(check(&token), Ok(()));
    let forged = served_issuer.issuer.token("alice").forged().sign();
    assert_eq!(
        check(&forged),
        Err(unknown_key()),
        "no task will fetch its key"
    );
    assert_eq!(served_issuer.server.request_count(), request_count);
}
