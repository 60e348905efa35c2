//! The HTTP endpoints of the issuer that services use.

use poem::http::header::CACHE_CONTROL;
use poem::web::{Data, Form, Json};
use poem::{Endpoint, EndpointExt, IntoResponse, Response, Route, get, handler, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{TestIssuer, unverified_claims};
use crate::denylist::TokenStatus;
use crate::token::ExpectedKind;

impl TestIssuer {
    /// Returns its metadata, JWK set and introspection as an endpoint, for tests that go over HTTP.
    /// Serve it at [`url`](Self::url). Introspection accepts any credential.
    pub fn endpoint(&self) -> impl Endpoint<Output = Response> + use<> {
        Route::new()
            .at("/.well-known/oauth-authorization-server", get(metadata))
            .at("/.well-known/jwks.json", get(jwks))
            .at("/oauth/introspect", post(introspect))
            .data(self.clone())
            .map_to_response()
    }
}

#[handler]
fn metadata(Data(issuer): Data<&TestIssuer>) -> Json<Value> {
    let url = issuer.url().trim_end_matches('/');
    Json(json!({
        "issuer": issuer.url(),
        "jwks_uri": format!("{url}/.well-known/jwks.json"),
        "introspection_endpoint": format!("{url}/oauth/introspect"),
    }))
}

#[handler]
fn jwks(Data(issuer): Data<&TestIssuer>) -> Response {
    Json(issuer.jwks())
        .with_header(CACHE_CONTROL, "public, max-age=300")
        .into_response()
}

#[derive(Deserialize)]
struct IntrospectionRequest {
    token: String,
}

#[handler]
fn introspect(
    Data(issuer): Data<&TestIssuer>,
    Form(request): Form<IntrospectionRequest>,
) -> Json<Value> {
    Json(introspection_response(issuer, &request.token).unwrap_or_else(|| json!({"active": false})))
}

fn introspection_response(issuer: &TestIssuer, token: &str) -> Option<Value> {
    let now = issuer.clock().now();
    issuer
        .verifier()
        .verify(token, ExpectedKind::Either, now)
        .ok()?;
    let claims = unverified_claims(token)?;
    if issuer.denylist().status((&claims).into(), now) != TokenStatus::NotDenied {
        return None;
    }
    let mut answer = serde_json::to_value(&claims).ok()?;
    answer["active"] = json!(true);
    Some(answer)
}
