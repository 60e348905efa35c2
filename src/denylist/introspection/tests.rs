//! Introspection at a local issuer that revokes, hangs, stops and restarts.

mod account;

use std::sync::Arc;
use std::time::Duration;

use poem::http::StatusCode;
use poem::test::TestClient;
use poem::web::Json;
use poem::{EndpointExt, IntoResponse, Request, Route, endpoint, get, handler};
use serde_json::json;

use super::*;
use crate::guard::{Guards, Required, authenticate};
use crate::remote::tests::site::Site;
use crate::testing::TestIssuer;
use crate::token::Expected;

/// An issuer with an introspection endpoint.
struct Pair {
    site: Site,
    issuer: TestIssuer,
}

impl Pair {
    fn new() -> Self {
        let mut site = Site::new();
        let issuer = TestIssuer::at(&site.url());
        site.serve(issuer.endpoint());
        Self { site, issuer }
    }

    fn settings(&self) -> IntrospectionSettings {
        let endpoint = format!("{}/oauth/introspect", self.site.url());
        IntrospectionSettings::new(endpoint, Credential::Bearer("secret".into()))
    }

    /// A list that caches no response.
    fn forgetful(&self) -> IntrospectionDenylist {
        list(IntrospectionSettings {
            active_for: Duration::ZERO,
            inactive_for: Duration::ZERO,
            ..self.settings()
        })
    }

    fn claims(&self, token: &str) -> Arc<Claims> {
        let now = self.issuer.clock().now();
        let verifier = self.issuer.verifier();
        verifier.verify(token, Expected::Access, now).unwrap()
    }

    /// `None` without a response.
    async fn refuses(&self, list: &IntrospectionDenylist, token: &str) -> Option<bool> {
        let now = self.issuer.clock().now();
        let status = list.check_token(token, &self.claims(token), now).await;
        Some(status.ok()? != TokenStatus::NotDenied)
    }
}

fn list(settings: IntrospectionSettings) -> IntrospectionDenylist {
    IntrospectionDenylist::new(settings).unwrap()
}

#[tokio::test]
async fn a_revocation_is_felt_by_the_next_check() {
    let pair = Pair::new();
    let list = pair.forgetful();
    let [token, other] = std::array::from_fn(|_| pair.issuer.token("alice").sign());

    assert_eq!(pair.refuses(&list, &token).await, Some(false));
    pair.issuer.revoke(&token);

    assert_eq!(pair.refuses(&list, &token).await, Some(true));
    assert_eq!(pair.refuses(&list, &other).await, Some(false));
}

#[tokio::test]
async fn an_answer_counts_for_a_while_and_no_longer() {
    let pair = Pair::new();
    let list = list(IntrospectionSettings {
        active_for: Duration::from_mins(10),
        ..pair.settings()
    });
    let token = pair.issuer.token("alice").sign();
    assert_eq!(pair.refuses(&list, &token).await, Some(false));
    pair.issuer.revoke(&token);
    let asked = pair.site.asked();

    assert_eq!(pair.refuses(&list, &token).await, Some(false));
    assert_eq!(pair.site.asked(), asked);
    pair.issuer.clock().shift(10 * 60 * 1000 + 1);
    assert_eq!(pair.refuses(&list, &token).await, Some(true));
    assert_eq!(pair.site.asked(), asked + 1);
    assert_eq!(pair.refuses(&list, &token).await, Some(true));
    assert_eq!(
        pair.site.asked(),
        asked + 1,
        "a refusal counts for a minute"
    );
}

#[tokio::test]
async fn what_is_remembered_of_one_token_says_nothing_of_another() {
    let pair = Pair::new();
    let list = list(IntrospectionSettings {
        active_for: Duration::from_mins(10),
        ..pair.settings()
    });
    let [token, revoked] = std::array::from_fn(|_| pair.issuer.token("alice").sign());
    pair.issuer.revoke(&revoked);

    for _ in 0..2 {
        assert_eq!(pair.refuses(&list, &token).await, Some(false));
        assert_eq!(pair.refuses(&list, &revoked).await, Some(true));
    }
}

#[tokio::test]
async fn checks_that_come_together_ask_once() {
    let pair = Arc::new(Pair::new());
    let list = Arc::new(list(IntrospectionSettings {
        active_for: Duration::from_mins(10),
        ..pair.settings()
    }));
    let token: Arc<str> = pair.issuer.token("alice").sign().into();
    let asked = pair.site.asked();
    let mut checks = tokio::task::JoinSet::new();

    for _ in 0..50 {
        let (pair, list, token) = (Arc::clone(&pair), Arc::clone(&list), Arc::clone(&token));
        checks.spawn(async move { pair.refuses(&list, &token).await });
    }

    for answer in checks.join_all().await {
        assert_eq!(answer, Some(false));
    }
    assert_eq!(pair.site.asked(), asked + 1);
}

#[tokio::test]
async fn without_an_answer_there_is_none() {
    let mut pair = Pair::new();
    let list = list(IntrospectionSettings {
        deadline: Duration::from_secs(2),
        active_for: Duration::ZERO,
        ..pair.settings()
    });
    let token = pair.issuer.token("alice").sign();
    assert_eq!(pair.refuses(&list, &token).await, Some(false));

    pair.site.kill();
    assert_eq!(pair.refuses(&list, &token).await, None, "nobody answers");

    let hang = endpoint::make(async |_| std::future::pending::<poem::Result<()>>().await);
    pair.site.serve(hang);
    assert_eq!(pair.refuses(&list, &token).await, None, "it hangs");

    for (status, body) in [
        (StatusCode::OK, json!({})),
        (StatusCode::OK, json!({"active": "yes"})),
        (StatusCode::OK, json!({"active": true, "jti": "another"})),
        (StatusCode::UNAUTHORIZED, json!({"active": true})),
        (StatusCode::FOUND, json!({"active": true})),
        (StatusCode::SERVICE_UNAVAILABLE, json!({"active": true})),
    ] {
        pair.site.kill();
        let said = format!("{status} {body}");
        pair.site.serve(endpoint::make_sync(move |_| {
            Json(body.clone()).with_status(status)
        }));
        assert_eq!(pair.refuses(&list, &token).await, None, "{said}");
    }

    pair.site.kill();
    pair.site.serve(pair.issuer.endpoint());
    assert_eq!(pair.refuses(&list, &token).await, Some(false), "it is back");
}

#[handler]
async fn hello(request: &Request) -> poem::Result<String> {
    let claims = authenticate::<Required>(request).await?;
    Ok(format!("hello {}", claims.sub))
}

#[tokio::test]
async fn a_guarded_route_answers_503_while_the_issuer_is_away() {
    let mut pair = Pair::new();
    let guards = Guards::new(
        pair.issuer.verifier(),
        Arc::new(pair.forgetful()),
        pair.issuer.clock().clone(),
    );
    let client = TestClient::new(Route::new().at("/", get(hello)).data(guards));
    let token = pair.issuer.token("alice").sign();
    let status = async || {
        let request = client
            .get("/")
            .header("authorization", format!("Bearer {token}"));
        request.send().await.0.status()
    };

    assert_eq!(status().await, StatusCode::OK);
    pair.site.kill();
    assert_eq!(status().await, StatusCode::SERVICE_UNAVAILABLE);
    pair.site.serve(pair.issuer.endpoint());
    pair.issuer.revoke(&token);
    assert_eq!(status().await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn it_answers_about_no_id_and_denies_nothing() {
    let pair = Pair::new();
    let list = pair.forgetful();
    let now = pair.issuer.clock().now();

    let token = pair.issuer.token("alice").sign();
    let claims = pair.claims(&token);
    assert!(list.check((&*claims).into(), now).await.is_err());
    assert!(list.deny(&[], now).await.is_err());
}

#[test]
fn a_secret_goes_to_no_foreign_machine_in_clear_text() {
    let at = |endpoint: &str, token_endpoint: &str| {
        IntrospectionDenylist::new(IntrospectionSettings::new(
            endpoint,
            Credential::Account {
                token_endpoint: token_endpoint.into(),
                username: "notes".into(),
                password: "secret".into(),
            },
        ))
    };

    assert!(at("https://a.example/x", "https://a.example/y").is_ok());
    assert!(at("http://a.example/x", "https://a.example/y").is_err());
    assert!(at("https://a.example/x", "http://a.example/y").is_err());
}
