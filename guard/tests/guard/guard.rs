//! Small poem and poem-openapi applications, called without a network.

use std::sync::Arc;

use poem::http::{HeaderName, Method, StatusCode, header};
use poem::{Body, Endpoint, EndpointExt, Request, Route, handler};
use poem_openapi::payload::{Json, PlainText};
use poem_openapi::{OpenApi, OpenApiService};
use serde_json::Value;

use latchet_guard::denylist::DenialTarget;
use latchet_guard::token::{self, Claims, TokenKind};
use latchet_guard::*;
use support::*;

mod bodies;
mod browser;
mod csrf_choices;
mod flask_jwt;
mod flask_jwt_extended;
mod flask_jwt_extended_locations;
mod header_variants;
mod location_names;
mod locations;
mod logout;
mod matrix;
mod openapi;
mod order;
mod parity;
mod refusals;
mod rules;
mod support;
mod users;

#[tokio::test]
async fn an_unauthenticated_request_with_a_broken_body_gets_401() {
    let service = TestService::new();
    let post = |headers: &[(HeaderName, &str)]| {
        let mut request = request(Method::POST, "/notes", headers);
        request.set_body(Body::from_string("{ not json".to_owned()));
        request
    };
    let (name, value) = bearer(&service.token());

    let stranger = service.app().get_response(post(&[])).await;
    let alice = service.app().get_response(post(&[(name, &value)])).await;

    assert_eq!(read_response(stranger).await, refused(401, "missing_token"));
    assert_ne!(alice.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_unavailable_denylist_is_503_only_for_valid_tokens() {
    let service = TestService::new();
    let guards = Guards::new(
        service.verifier.clone(),
        Arc::new(Unreachable),
        service.clock.clone(),
    );
    let app = app(guards);
    let (name, value) = bearer(&service.token());

    let response = app
        .get_response(request(Method::GET, "/required", &[(name, &value)]))
        .await;

    assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    assert!(!response.headers().contains_key(header::WWW_AUTHENTICATE));
    assert_eq!(read_response(response).await, refused(503, "unavailable"));
    assert_eq!(
        get(&app, "/optional", Some(&value)).await,
        refused(503, "unavailable")
    );
    assert_eq!(
        get(&app, "/fresh", Some(&value)).await,
        refused(401, "fresh_token_required")
    );
    assert_eq!(
        get(&app, "/required", Some("Bearer junk")).await,
        refused(401, "malformed_token")
    );
    assert_eq!(get(&app, "/optional", None).await, ok("nobody"));
}

#[tokio::test]
async fn a_route_without_guards_refuses_every_request() {
    let app = Route::new().nest("/", OpenApiService::new(Api, "test", "1"));

    assert_eq!(
        get(&app, "/required", None).await,
        refused(503, "unavailable")
    );
    assert_eq!(
        get(&app, "/optional", None).await,
        refused(503, "unavailable")
    );
}

#[tokio::test]
async fn a_token_is_refused_by_the_request_after_its_session_was_denied() {
    let service = TestService::new();
    let claims = service.claims();
    let authorization = format!("Bearer {}", service.sign(&claims));
    let app = service.app();

    let before = get(&app, "/required", Some(&authorization)).await;
    service.deny(DenialTarget::Session(claims.sid.unwrap()));
    let after = get(&app, "/required", Some(&authorization)).await;

    assert_eq!(before, ok("alice"));
    assert_eq!(after, refused(401, "token_revoked"));
}

#[tokio::test]
async fn a_token_without_a_session_is_denied_by_its_own_id() {
    let service = TestService::new();
    let claims = Claims {
        sid: None,
        ..service.claims()
    };
    let authorization = format!("Bearer {}", service.sign(&claims));

    service.deny(DenialTarget::Token(claims.jti));

    assert_eq!(
        get(&service.app(), "/required", Some(&authorization)).await,
        refused(401, "token_revoked")
    );
}

#[tokio::test]
async fn the_challenge_has_an_error_only_if_a_token_was_presented() {
    let service = TestService::new();
    let challenge = async |authorization: &str| {
        let headers = [(header::AUTHORIZATION, authorization)];
        let response = service
            .app()
            .get_response(request(Method::GET, "/required", &headers))
            .await;
        response.headers()[header::WWW_AUTHENTICATE]
            .to_str()
            .unwrap()
            .to_owned()
    };

    assert!(!challenge("Basic dTpw").await.contains("error"));
    assert!(
        challenge("Bearer junk")
            .await
            .contains(r#"error="invalid_token""#)
    );
}
