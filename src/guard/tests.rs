//! Small poem and poem-openapi applications, called without a network.

use std::sync::Arc;

use poem::http::{HeaderName, Method, StatusCode, header};
use poem::{Body, Endpoint, EndpointExt, Request, Route, handler};
use poem_openapi::payload::{Json, PlainText};
use poem_openapi::{OpenApi, OpenApiService};
use serde_json::Value;

use super::*;
use crate::denylist::Denied;
use crate::token::{self, Kind};
use support::*;

mod bodies;
mod browser;
mod csrf_choices;
mod flask;
mod flask_jwt;
mod flask_places;
mod header_variants;
mod logout;
mod matrix;
mod openapi;
mod order;
mod parity;
mod place_names;
mod places;
mod refusals;
mod rules;
mod support;
mod users;

#[tokio::test]
async fn a_stranger_with_a_broken_body_is_told_401() {
    let desk = Desk::new();
    let post = |headers: &[(HeaderName, &str)]| {
        let mut request = request(Method::POST, "/notes", headers);
        request.set_body(Body::from_string("{ not json".to_owned()));
        request
    };
    let (name, value) = bearer(&desk.token());

    let stranger = desk.app().get_response(post(&[])).await;
    let alice = desk.app().get_response(post(&[(name, &value)])).await;

    assert_eq!(see(stranger).await, refused(401, "missing_token"));
    assert_ne!(alice.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_denylist_out_of_order_is_503_for_good_tokens_alone() {
    let desk = Desk::new();
    let guards = Guards::new(
        desk.verifier.clone(),
        Arc::new(Unreachable),
        desk.clock.clone(),
    );
    let app = app(guards);
    let (name, value) = bearer(&desk.token());

    let response = app
        .get_response(request(Method::GET, "/required", &[(name, &value)]))
        .await;

    assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    assert!(!response.headers().contains_key(header::WWW_AUTHENTICATE));
    assert_eq!(see(response).await, refused(503, "unavailable"));
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
async fn a_route_without_guards_admits_nobody() {
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
    let desk = Desk::new();
    let claims = desk.claims();
    let authorization = format!("Bearer {}", desk.sign(&claims));
    let app = desk.app();

    let before = get(&app, "/required", Some(&authorization)).await;
    desk.deny(Denied::Session(claims.sid.unwrap()));
    let after = get(&app, "/required", Some(&authorization)).await;

    assert_eq!(before, ok("alice"));
    assert_eq!(after, refused(401, "token_revoked"));
}

#[tokio::test]
async fn a_token_without_a_session_is_denied_by_its_own_id() {
    let desk = Desk::new();
    let claims = Claims {
        sid: None,
        ..desk.claims()
    };
    let authorization = format!("Bearer {}", desk.sign(&claims));

    desk.deny(Denied::Token(claims.jti));

    assert_eq!(
        get(&desk.app(), "/required", Some(&authorization)).await,
        refused(401, "token_revoked")
    );
}

#[tokio::test]
async fn the_challenge_blames_a_token_only_when_one_was_shown() {
    let desk = Desk::new();
    let challenge = async |authorization: &str| {
        let headers = [(header::AUTHORIZATION, authorization)];
        let response = desk
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
