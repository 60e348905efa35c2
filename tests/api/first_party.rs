//! A token that is limited to some scopes, or another program's, does not open the account.

use serde_json::{Value, json};

use crate::support::client::{ADMIN, Session, claims};
use crate::support::http::{Http, HttpResponse};
use crate::support::local::InProcessServer;
use crate::support::{Backend, on_both};

on_both! {
    a_narrowed_token_of_an_administrator_is_refused_by_admin_routes,
    a_token_of_another_client_is_refused_by_account_and_admin_routes,
    a_login_with_all_scopes_or_none_is_not_narrowed,
    a_session_keeps_its_narrowed_scope,
    a_narrowed_session_is_refreshed_and_logged_out,
}

const SCOPES: &str = "mail:read,mail:send";

/// Logs the administrator in by the password grant.
async fn grant(http: &Http, fields: &[(&str, &str)]) -> Session {
    let own = [
        ("grant_type", "password"),
        ("username", ADMIN.name),
        ("password", ADMIN.password),
    ];
    let form = [&own, fields].concat();
    let answer = http.post("/oauth/token").form(&form).send().await;
    Session::of(http.clone(), &answer.expect(200))
}

/// Logs the administrator in at `/v1/login`.
async fn login(http: &Http, scope: Option<&str>) -> Session {
    let mut body = json!({"username": ADMIN.name, "password": ADMIN.password});
    if let Some(scope) = scope {
        body["scope"] = scope.into();
    }
    let answer = http.post("/v1/login").json(&body).send().await;
    Session::of(http.clone(), &answer.expect(200))
}

async fn ask(by: &Session, method: &str, path: &str) -> HttpResponse {
    let request = by.http.request(method, path).bearer(&by.access);
    request.json(&json!({})).send().await
}

/// Every operation that asks for an access token, as the document of the server has it.
async fn guarded(http: &Http) -> Vec<(String, String)> {
    let document: Value = http.get("/openapi.json").send().await.expect(200).json();
    let mut found = Vec::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let security = operation.get("security").unwrap_or(&document["security"]);
            // These take refresh tokens as well, and any token of the session.
            let is_guarded = !security.as_array().is_none_or(Vec::is_empty);
            if is_guarded && !["/v1/logout", "/v1/refresh"].contains(&path.as_str()) {
                let path = path.replace("{id}", "c2Vzc2lvbi1vZi1hZGEtMQ");
                let path = path.replace("{profile}", "none");
                found.push((method.to_uppercase(), path));
            }
        }
    }
    assert!(found.len() > 20, "{found:?}");
    found
}

async fn a_narrowed_token_of_an_administrator_is_refused_by_admin_routes(backend: Backend) {
    let server = InProcessServer::start(&backend.with("LATCHET_SCOPES", SCOPES)).await;
    let narrowed = [
        login(&server.http, Some("mail:read")).await,
        grant(&server.http, &[("scope", "mail:read")]).await,
        grant(
            &server.http,
            &[("scope", "mail:send"), ("client_id", "mailer")],
        )
        .await,
    ];

    for (method, path) in guarded(&server.http).await {
        for session in &narrowed {
            assert!(claims(&session.access)["roles"] == json!(["admin"]));
            let answer = ask(session, &method, &path).await;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (403, "insufficient_scope"),
                "{method} {path}"
            );
        }
    }
    let found = server.http.admin().login().await;
    let users = ask(&found, "GET", "/v1/users").await.expect(200).json();
    assert_eq!(users["items"].as_array().map(Vec::len), Some(1), "{users}");
}

async fn a_token_of_another_client_is_refused_by_account_and_admin_routes(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let other = grant(&server.http, &[("client_id", "mailer")]).await;

    for (method, path) in guarded(&server.http).await {
        let answer = ask(&other, &method, &path).await;
        let is_open = match path.as_str() {
            // Proxies and services of the house: any program of the user's may ask.
            "/v1/verify" | "/oauth/introspect" | "/v1/tokens/none" => true,
            _ => false,
        };
        assert_eq!(
            answer.status != 403,
            is_open,
            "{method} {path}: {}",
            answer.text
        );
    }
}

async fn a_login_with_all_scopes_or_none_is_not_narrowed(backend: Backend) {
    let server = InProcessServer::start(&backend.with("LATCHET_SCOPES", SCOPES)).await;

    for session in [
        login(&server.http, None).await,
        login(&server.http, Some("")).await,
        login(&server.http, Some("mail:send mail:read")).await,
        grant(&server.http, &[]).await,
        grant(&server.http, &[("scope", "mail:read mail:send mail:read")]).await,
        login(&server.http, None).await.rotate().await,
    ] {
        assert_eq!(claims(&session.access)["scope"], "mail:read mail:send");
        ask(&session, "GET", "/v1/me").await.expect(200);
        ask(&session, "GET", "/v1/users").await.expect(200);
    }
}

async fn a_session_keeps_its_narrowed_scope(backend: Backend) {
    let server = InProcessServer::start(&backend.clone().with("LATCHET_SCOPES", SCOPES)).await;
    let whole = login(&server.http, None).await;
    let narrowed = login(&server.http, Some("mail:read")).await;
    server.stop().await;

    for scopes in ["mail:read", "mail:read,mail:send,mail:delete"] {
        let server = InProcessServer::start(&backend.clone().with("LATCHET_SCOPES", scopes)).await;
        let whole = whole.at(&server.http).rotate().await;
        ask(&whole, "GET", "/v1/users").await.expect(200);
        let narrowed = narrowed.at(&server.http).rotate().await;
        let refused = ask(&narrowed, "GET", "/v1/users").await;
        refused.expect_problem(403, "insufficient_scope");
        server.stop().await;
    }
}

async fn a_narrowed_session_is_refreshed_and_logged_out(backend: Backend) {
    let server = InProcessServer::start(&backend.with("LATCHET_SCOPES", SCOPES)).await;
    let session = login(&server.http, Some("mail:read")).await.rotate().await;
    assert_eq!(claims(&session.access)["scope"], "mail:read");

    session.logout().await.expect(204);

    let refused = session.refresh().await;
    refused.expect_problem(401, "session_revoked");
}
