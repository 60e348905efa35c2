//! A common set-up of services: axum, and jsonwebtoken called in an extractor. Every request is
//! verified; nobody asks whether the token was revoked.

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::routing::get;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;

use super::handler::{AUDIENCE, ISSUER, eddsa_key, hs256_key, tokens};

struct Trust {
    key: DecodingKey,
    validation: Validation,
}

impl Trust {
    fn new(algorithm: Algorithm, key: DecodingKey) -> Arc<Self> {
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        Arc::new(Self { key, validation })
    }
}

#[derive(Deserialize)]
struct Caller {
    sub: String,
    roles: Vec<String>,
}

impl FromRequestParts<Arc<Trust>> for Caller {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, trust: &Arc<Trust>) -> Result<Self, StatusCode> {
        let token = parts.headers.get(AUTHORIZATION);
        let token = token.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let token = token.ok_or(StatusCode::UNAUTHORIZED)?;
        let verified = decode(token, &trust.key, &trust.validation);
        Ok(verified.map_err(|_| StatusCode::UNAUTHORIZED)?.claims)
    }
}

async fn guarded(caller: Caller) {
    std::hint::black_box((caller.sub, caller.roles));
}

pub(super) fn eddsa() {
    let key = eddsa_key();
    let jwk = key.verifying_key().jwk().expect("the key is public");
    let jwk = serde_json::from_value(jwk).expect("it is a JWK");
    let public = DecodingKey::from_jwk(&jwk).expect("the key is sound");
    serve(Trust::new(Algorithm::EdDSA, public), &tokens(key));
}

pub(super) fn hs256() {
    let secret = DecodingKey::from_secret(hs256_key().private_bytes());
    serve(Trust::new(Algorithm::HS256, secret), &[]);
}

fn serve(trust: Arc<Trust>, tokens: &[String]) {
    let runtime = tokio::runtime::Runtime::new().expect("the system gives threads");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("there are free ports");
        let address = listener.local_addr().expect("it is bound");
        println!("{address} {}", tokens.join(" "));
        let routes = Router::new().route("/", get(guarded)).with_state(trust);
        axum::serve(listener, routes)
            .await
            .expect("it runs until it is killed");
    });
}
