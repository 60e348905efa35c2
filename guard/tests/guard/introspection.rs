//! Introspection at a local issuer that revokes, hangs, stops and restarts.

mod caller;
mod service_account;

use std::sync::Arc;
use std::time::Duration;

use poem::http::StatusCode;
use poem::test::TestClient;
use poem::web::Json;
use poem::{EndpointExt, IntoResponse, Request, Route, endpoint, get, handler};
use serde_json::json;

use crate::remote::server::KillableServer;
use latchet_guard::clock::Time;
use latchet_guard::denylist::introspection::*;
use latchet_guard::denylist::{Denylist, DenylistUnavailable, TokenStatus};
use latchet_guard::testing::TestIssuer;
use latchet_guard::token::{Claims, ExpectedKind};
use latchet_guard::{Guards, Required, authenticate};

/// An issuer with an introspection endpoint.
struct ServedIssuer {
    server: KillableServer,
    issuer: TestIssuer,
}

impl ServedIssuer {
    fn new() -> Self {
        let mut server = KillableServer::new();
        let issuer = TestIssuer::at(&server.url());
        server.serve(issuer.endpoint());
        Self { server, issuer }
    }

    fn settings(&self) -> IntrospectionSettings {
        let endpoint = format!("{}/oauth/introspect", self.server.url());
        IntrospectionSettings::new(endpoint, IssuerCredential::Bearer("secret".into()))
    }

    /// A list that caches no response.
    fn without_cache(&self) -> IntrospectionDenylist {
        list(IntrospectionSettings {
            active_for: Duration::ZERO,
            inactive_for: Duration::ZERO,
            ..self.settings()
        })
    }

    fn claims(&self, token: &str) -> Arc<Claims> {
        let now = self.issuer.clock().now();
        let verifier = self.issuer.verifier();
        verifier.verify(token, ExpectedKind::Access, now).unwrap()
    }

    async fn status(
        &self,
        list: &IntrospectionDenylist,
        token: &str,
    ) -> Result<TokenStatus, DenylistUnavailable> {
        let now = self.issuer.clock().now();
        list.check_token(token, &self.claims(token), now).await
    }

    /// `None` without a response.
    async fn refuses(&self, list: &IntrospectionDenylist, token: &str) -> Option<bool> {
        let status = self.status(list, token).await;
        Some(status.ok()? != TokenStatus::NotDenied)
    }
}

fn list(settings: IntrospectionSettings) -> IntrospectionDenylist {
    IntrospectionDenylist::new(settings).unwrap()
}

#[tokio::test]
async fn a_revocation_takes_effect_with_the_next_check() {
    let served_issuer = ServedIssuer::new();
    let list = served_issuer.without_cache();
    let [token, other] = std::array::from_fn(|_| served_issuer.issuer.token("alice").sign());

    assert_eq!(served_issuer.refuses(&list, &token).await, Some(false));
    served_issuer.issuer.revoke(&token);

    assert_eq!(served_issuer.refuses(&list, &token).await, Some(true));
    assert_eq!(served_issuer.refuses(&list, &other).await, Some(false));
}

#[tokio::test]
async fn a_result_is_cached_for_its_lifetime_only() {
    let served_issuer = ServedIssuer::new();
    let list = list(IntrospectionSettings {
        active_for: Duration::from_mins(10),
        ..served_issuer.settings()
    });
    let token = served_issuer.issuer.token("alice").sign();
    assert_eq!(served_issuer.refuses(&list, &token).await, Some(false));
    served_issuer.issuer.revoke(&token);
    let request_count = served_issuer.server.request_count();

    assert_eq!(served_issuer.refuses(&list, &token).await, Some(false));
    assert_eq!(served_issuer.server.request_count(), request_count);
    served_issuer.issuer.clock().shift(10 * 60 * 1000 + 1);
    assert_eq!(served_issuer.refuses(&list, &token).await, Some(true));
    assert_eq!(served_issuer.server.request_count(), request_count + 1);
    assert_eq!(served_issuer.refuses(&list, &token).await, Some(true));
    assert_eq!(
        served_issuer.server.request_count(),
        request_count + 1,
        "a refusal counts for a minute"
    );
}

#[tokio::test]
async fn cached_results_are_kept_per_token() {
    let served_issuer = ServedIssuer::new();
    let list = list(IntrospectionSettings {
        active_for: Duration::from_mins(10),
        ..served_issuer.settings()
    });
    let [token, revoked] = std::array::from_fn(|_| served_issuer.issuer.token("alice").sign());
    served_issuer.issuer.revoke(&revoked);

    for _ in 0..2 {
        assert_eq!(served_issuer.refuses(&list, &token).await, Some(false));
        assert_eq!(served_issuer.refuses(&list, &revoked).await, Some(true));
    }
}

#[tokio::test]
async fn concurrent_checks_share_one_introspection() {
    let served_issuer = Arc::new(ServedIssuer::new());
    let list = Arc::new(list(IntrospectionSettings {
        active_for: Duration::from_mins(10),
        ..served_issuer.settings()
    }));
    let token: Arc<str> = served_issuer.issuer.token("alice").sign().into();
    let request_count = served_issuer.server.request_count();
    let mut checks = tokio::task::JoinSet::new();

    for _ in 0..50 {
        let (served_issuer, list, token) = (
            Arc::clone(&served_issuer),
            Arc::clone(&list),
            Arc::clone(&token),
        );
        checks.spawn(async move { served_issuer.refuses(&list, &token).await });
    }

    for answer in checks.join_all().await {
        assert_eq!(answer, Some(false));
    }
    assert_eq!(served_issuer.server.request_count(), request_count + 1);
}

#[tokio::test]
async fn without_a_valid_response_the_check_fails() {
    let mut served_issuer = ServedIssuer::new();
    let list = list(IntrospectionSettings {
        deadline: Duration::from_secs(2),
        active_for: Duration::ZERO,
        ..served_issuer.settings()
    });
    let token = served_issuer.issuer.token("alice").sign();
    assert_eq!(served_issuer.refuses(&list, &token).await, Some(false));

    served_issuer.server.kill();
    assert_eq!(
        served_issuer.refuses(&list, &token).await,
        None,
        "nobody answers"
    );

    let hang = endpoint::make(async |_| std::future::pending::<poem::Result<()>>().await);
    served_issuer.server.serve(hang);
    assert_eq!(served_issuer.refuses(&list, &token).await, None, "it hangs");

    for (status, body) in [
        (StatusCode::OK, json!({})),
        (StatusCode::OK, json!({"active": "yes"})),
        (StatusCode::OK, json!({"active": true, "jti": "another"})),
        (StatusCode::UNAUTHORIZED, json!({"active": true})),
        (StatusCode::FOUND, json!({"active": true})),
        (StatusCode::SERVICE_UNAVAILABLE, json!({"active": true})),
    ] {
        served_issuer.server.kill();
        let said = format!("{status} {body}");
        served_issuer.server.serve(endpoint::make_sync(move |_| {
            Json(body.clone()).with_status(status)
        }));
        assert_eq!(served_issuer.refuses(&list, &token).await, None, "{said}");
    }

    served_issuer.server.kill();
    served_issuer.server.serve(served_issuer.issuer.endpoint());
    assert_eq!(
        served_issuer.refuses(&list, &token).await,
        Some(false),
        "it is back"
    );
}

#[handler]
async fn hello(request: &Request) -> poem::Result<String> {
    let claims = authenticate::<Required>(request).await?;
    Ok(format!("hello {}", claims.sub))
}

#[tokio::test]
async fn a_guarded_route_returns_503_while_the_issuer_is_unreachable() {
    let mut served_issuer = ServedIssuer::new();
    let guards = Guards::new(
        served_issuer.issuer.verifier(),
        Arc::new(served_issuer.without_cache()),
        served_issuer.issuer.clock().clone(),
    );
    let client = TestClient::new(Route::new().at("/", get(hello)).data(guards));
    let token = served_issuer.issuer.token("alice").sign();
    let status = async || {
        let request = client
            .get("/")
            .header("authorization", format!("Bearer {token}"));
        request.send().await.0.status()
    };

    assert_eq!(status().await, StatusCode::OK);
    served_issuer.server.kill();
    assert_eq!(status().await, StatusCode::SERVICE_UNAVAILABLE);
    served_issuer.server.serve(served_issuer.issuer.endpoint());
    served_issuer.issuer.revoke(&token);
    assert_eq!(status().await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn introspection_needs_the_token_and_cannot_deny() {
    let served_issuer = ServedIssuer::new();
    let list = served_issuer.without_cache();
    let now = served_issuer.issuer.clock().now();

    let token = served_issuer.issuer.token("alice").sign();
    let claims = served_issuer.claims(&token);
    assert!(list.check((&*claims).into(), now).await.is_err());
    assert!(list.deny(&[], now).await.is_err());
}

#[test]
fn secrets_are_not_sent_over_plain_http_to_other_hosts() {
    let at = |endpoint: &str, token_endpoint: &str| {
        IntrospectionDenylist::new(IntrospectionSettings::new(
            endpoint,
            IssuerCredential::Account {
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
