//! Checks at `/v1/verify` of a Latchet, with the token of the caller.

use poem::http::StatusCode;
use poem::http::header::WWW_AUTHENTICATE;
use poem::{Request, Response, endpoint};
use serde_json::{Value, json};

use super::{IntrospectionSettings, IssuerCredential, ServedIssuer, list};
use crate::remote::server::KillableServer;
use latchet_guard::denylist::{DenylistUnavailable, TokenStatus};
use latchet_guard::testing::TestIssuer;

const CHALLENGE: &str = "Bearer error=\"invalid_token\"";

/// Returns the status of a token of `scope` if `/v1/verify` responds like this, and what was requested there.
async fn status(
    scope: Option<&str>,
    (code, challenge, body): (StatusCode, Option<&'static str>, Value),
) -> (Result<TokenStatus, DenylistUnavailable>, String) {
    let mut server = KillableServer::new();
    let issuer = TestIssuer::at(&server.url());
    let token = issuer.token("alice");
    let token = match scope {
        Some(scope) => token.scope(scope).sign(),
        None => token.sign(),
    };
    let requested = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let seen = std::sync::Arc::clone(&requested);
    let own = server.url();
    server.serve(endpoint::make_sync(move |request: Request| {
        let authorization = request.header("authorization").unwrap_or_default();
        *seen.lock().unwrap() = format!("{} {authorization}", request.uri());
        let body = body.to_string().replace("ISSUER", &own);
        let response = Response::builder().status(code);
        match challenge {
            Some(challenge) => response.header(WWW_AUTHENTICATE, challenge).body(body),
            None => response.body(body),
        }
    }));
    let endpoint = format!("{}/v1/verify", server.url());
    let list = list(IntrospectionSettings::new(
        endpoint,
        IssuerCredential::Caller,
    ));
    let served_issuer = ServedIssuer { server, issuer };
    let status = served_issuer.status(&list, &token).await;
    let requested = requested.lock().unwrap().replace(&token, "TOKEN");
    (status, requested)
}

#[tokio::test]
async fn a_refusal_of_latchet_says_why_and_that_of_a_proxy_says_nothing() {
    let problem = |code: &str| json!({"code": code});
    let unauthorized = StatusCode::UNAUTHORIZED;
    for (response, expected) in [
        (
            (unauthorized, Some(CHALLENGE), problem("token_revoked")),
            Some(TokenStatus::Revoked),
        ),
        (
            (unauthorized, Some(CHALLENGE), problem("token_outdated")),
            Some(TokenStatus::Outdated),
        ),
        (
            (
                StatusCode::FORBIDDEN,
                Some("Bearer error=\"insufficient_scope\""),
                problem("insufficient_scope"),
            ),
            Some(TokenStatus::NotDenied),
        ),
        ((unauthorized, None, problem("token_revoked")), None),
        ((unauthorized, Some(CHALLENGE), json!("sign in")), None),
        (
            (unauthorized, Some("Basic"), problem("token_revoked")),
            None,
        ),
        ((StatusCode::FORBIDDEN, None, json!("blocked")), None),
        ((StatusCode::OK, None, json!({})), None),
        ((StatusCode::OK, None, json!({"jti": "another"})), None),
        ((StatusCode::NO_CONTENT, None, json!({})), None),
        ((StatusCode::FOUND, None, json!({})), None),
    ] {
        let said = format!("{response:?}");
        let (status, _) = status(None, response).await;
        assert_eq!(status.ok(), expected, "{said}");
    }
}

#[tokio::test]
async fn the_token_is_sent_with_its_scopes() {
    let response = (StatusCode::NO_CONTENT, None, json!({}));

    let (_, without) = status(None, response.clone()).await;
    let (_, with) = status(Some("mail:read a&b"), response).await;

    assert_eq!(without, "/v1/verify Bearer TOKEN");
    assert_eq!(with, "/v1/verify?scope=mail%3Aread+a%26b Bearer TOKEN");
}
