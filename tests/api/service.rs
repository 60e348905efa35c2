//! A service of a third party: the guard crate, and the public keys of a running server.

#![expect(
    clippy::unused_async,
    reason = "the framework wants operations to be async"
)]

use std::sync::Arc;

use latchet_guard::clock::Clock;
use latchet_guard::denylist::memory::MemoryDenylist;
use latchet_guard::keys::KeySet;
use latchet_guard::token::{Verifier, VerifierSettings};
use latchet_guard::{Guards, JwtOptional};
use poem::http::StatusCode;
use poem::{Endpoint, EndpointExt, Request, Route};
use poem_openapi::payload::PlainText;
use poem_openapi::{OpenApi, OpenApiService};

use crate::support::Backend;
use crate::support::backend::ISSUER;
use crate::support::local::InProcessServer;

struct Greeter;

#[OpenApi]
impl Greeter {
    #[oai(path = "/hello", method = "get")]
    async fn hello(&self, jwt: JwtOptional) -> PlainText<String> {
        let name = jwt
            .claims
            .map_or_else(|| "stranger".to_owned(), |claims| claims.sub.clone());
        PlainText(format!("hello {name}"))
    }
}

/// Returns a service that trusts `server` and shares nothing with it.
async fn service(server: &InProcessServer) -> impl Endpoint {
    let jwks = server
        .http
        .get("/.well-known/jwks.json")
        .send()
        .await
        .expect(200)
        .json();
    let settings = VerifierSettings::new(ISSUER, [ISSUER]);
    let verifier = Verifier::new(KeySet::from_jwks(&jwks).unwrap(), settings);
    let guards = Guards::new(
        Arc::new(verifier),
        Arc::new(MemoryDenylist::new()),
        Clock::system(),
    );
    Route::new()
        .nest("/", OpenApiService::new(Greeter, "greeter", "1"))
        .data(guards)
}

async fn ask(service: &impl Endpoint, token: &str) -> (StatusCode, String) {
    let mut request = Request::builder().uri_str("/hello");
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let response = service.get_response(request.finish()).await;
    (
        response.status(),
        response.into_body().into_string().await.unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_every_public_algorithm_are_checked_by_the_published_keys() {
    for algorithm in ["EdDSA", "ES256", "RS256"] {
        let server =
            InProcessServer::start(&Backend::sqlite().with("LATCHET_ALGORITHM", algorithm)).await;
        let session = server.http.person("alice").await.login().await;

        let (status, said) = ask(&service(&server).await, &session.access).await;

        assert_eq!(status, StatusCode::OK, "{algorithm}: {said}");
        assert_eq!(said, format!("hello {}", session.user_id()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_token_is_refused_on_optional_routes() {
    let server = InProcessServer::start(&Backend::sqlite()).await;
    let session = server.http.person("alice").await.login().await;
    let service = service(&server).await;
    let (unsigned, _) = session.access.rsplit_once('.').unwrap();

    for forged in [&format!("{unsigned}."), &session.refresh, "a.b.c"] {
        assert_eq!(
            ask(&service, forged).await.0,
            StatusCode::UNAUTHORIZED,
            "{forged}"
        );
    }
    assert_eq!(
        ask(&service, "").await,
        (StatusCode::OK, "hello stranger".to_owned())
    );
}
