//! Programs that authenticate with a name and a secret, and the end of their credentials.

use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::client::claims;
use crate::support::http::{Http, HttpResponse};
use crate::support::local::InProcessServer;
use crate::support::server::{Replica, run};
use crate::support::{Backend, on_both};

on_both! {
    a_service_gets_a_token_for_itself,
    a_service_may_ask_for_fewer_scopes_and_for_no_others,
    clients_without_the_secret_of_a_service_get_no_token,
    a_token_of_a_service_opens_only_what_its_scopes_name,
    a_service_may_introspect_if_its_table_says_so,
    a_service_revokes_its_own_tokens_only,
    two_secrets_are_valid_at_once,
    tokens_of_a_service_that_was_removed_are_refused,
    a_revoked_service_is_refused_by_the_running_server,
    a_service_gets_no_tokens_of_users,
    the_metadata_name_the_grant_where_there_are_services,
}

const SHOP: &str = "nH6yUj2kOq8wXe5rVb1mTz7cPs4dLf9g";
const NEXT: &str = "Zx3cVb6nMa9sDf2gHj5kQw8eRt1yUi4o";

/// Returns the hash of a secret, as the settings contain it.
fn hash(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, secret.as_bytes()))
}

/// Returns the table of the service `shop` with these secrets.
fn shop(secrets: &[&str], rest: &str) -> String {
    let hashes: Vec<String> = secrets.iter().map(|secret| hash(secret)).collect();
    format!(
        "[token_services.shop]\nsecret_hashes = {hashes:?}\nscopes = [\"orders:read\", \"orders:write\"]\n{rest}\n"
    )
}

/// Returns `backend` with these tables in its settings.
fn with_tables(backend: Backend, tables: &str) -> Backend {
    let file = backend.folder.path().join("latchet.toml");
    std::fs::write(&file, tables).unwrap();
    backend.with("LATCHET_CONFIG", file.to_str().unwrap())
}

fn rewrite_tables(backend: &Backend, tables: &str) {
    let file = backend.folder.path().join("latchet.toml");
    std::fs::write(Path::new(&file), tables).unwrap();
}

async fn start(backend: Backend) -> InProcessServer {
    let backend = with_tables(backend, &shop(&[SHOP], ""));
    InProcessServer::start(&backend).await
}

/// Asks for a token with `Authorization: Basic`.
async fn ask(http: &Http, (name, secret): (&str, &str), fields: &[(&str, &str)]) -> HttpResponse {
    let basic = STANDARD.encode(format!("{name}:{secret}"));
    let grant = [("grant_type", "client_credentials")];
    let request = http
        .post("/oauth/token")
        .header("authorization", &format!("Basic {basic}"));
    request.form(&[&grant, fields].concat()).send().await
}

async fn token(http: &Http) -> String {
    let answer = ask(http, ("shop", SHOP), &[]).await;
    answer.expect(200).field("access_token")
}

/// Checks a token as a proxy does that requires a scope.
async fn verify(http: &Http, token: &str) -> HttpResponse {
    let request = http.get("/v1/verify?scope=orders:read").bearer(token);
    request.send().await
}

async fn introspect(http: &Http, (name, secret): (&str, &str), token: &str) -> HttpResponse {
    let basic = STANDARD.encode(format!("{name}:{secret}"));
    let request = http
        .post("/oauth/introspect")
        .header("authorization", &format!("Basic {basic}"));
    request.form(&[("token", token)]).send().await
}

/// RFC 6749, 4.4; RFC 9068, 2.2.
async fn a_service_gets_a_token_for_itself(backend: Backend) {
    let server = start(backend).await;

    let by_header = ask(&server.http, ("shop", SHOP), &[]).await.expect(200);
    let in_body = [
        ("grant_type", "client_credentials"),
        ("client_id", "shop"),
        ("client_secret", SHOP),
    ];
    let by_body = server.http.post("/oauth/token").form(&in_body).send().await;

    let by_body = by_body.expect(200);
    for answer in [&by_header, &by_body] {
        assert_eq!(answer.header("cache-control"), "no-store");
        let body = answer.json();
        let names: Vec<&String> = body.as_object().unwrap().keys().collect();
        assert_eq!(names, ["access_token", "expires_in", "scope", "token_type"]);
        assert_eq!(body["scope"], "orders:read orders:write");
        let claims = claims(&answer.field("access_token"));
        assert_eq!(claims["sub"], "service:shop");
        assert_eq!(claims["client_id"], "shop");
        assert_eq!(claims["scope"], body["scope"]);
        let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert_eq!(body["expires_in"], lifetime);
        assert!((300..=900).contains(&lifetime), "{lifetime}");
        assert_eq!(claims.get("roles"), None);
    }
    let sid = |answer: &HttpResponse| claims(&answer.field("access_token"))["sid"].clone();
    assert_eq!(sid(&by_header), sid(&by_body));
}

async fn a_service_may_ask_for_fewer_scopes_and_for_no_others(backend: Backend) {
    let server = start(backend).await;
    let ask = async |scope: &str| ask(&server.http, ("shop", SHOP), &[("scope", scope)]).await;

    let fewer = ask("orders:read").await.expect(200);

    assert_eq!(fewer.json()["scope"], "orders:read");
    for scope in ["admin", "orders:read admin", "Orders:read", "a\\b"] {
        let refused = ask(scope).await.expect(400);
        assert_eq!(refused.field("error"), "invalid_scope", "{scope}");
    }
}

async fn clients_without_the_secret_of_a_service_get_no_token(backend: Backend) {
    let server = start(backend).await;
    let http = &server.http;
    let post = async |fields: &[(&str, &str)]| {
        let grant = [("grant_type", "client_credentials")];
        let request = http.post("/oauth/token").form(&[&grant, fields].concat());
        request.send().await
    };
    let refusals = [
        ask(http, ("shop", NEXT), &[]).await,
        ask(http, ("bank", SHOP), &[]).await,
        ask(http, ("shop", ""), &[]).await,
        ask(http, ("", SHOP), &[]).await,
        post(&[]).await,
        post(&[("client_id", "shop")]).await,
        post(&[("client_id", "app")]).await,
        post(&[("client_id", "shop"), ("client_secret", NEXT)]).await,
        post(&[("client_secret", SHOP)]).await,
    ];
    for refused in refusals {
        let refused = refused.expect(401);
        assert_eq!(refused.field("error"), "invalid_client");
        assert!(refused.header("www-authenticate").starts_with("Basic "));
    }
    let twice = ask(http, ("shop", SHOP), &[("client_secret", SHOP)]).await;
    assert_eq!(twice.expect(400).field("error"), "invalid_request");
}

async fn a_token_of_a_service_opens_only_what_its_scopes_name(backend: Backend) {
    let server = start(backend).await;
    let token = token(&server.http).await;
    let get = async |path: &str| server.http.get(path).bearer(&token).send().await;

    let passed = get("/v1/verify?scope=orders:read").await.expect(204);

    assert_eq!(passed.headers["remote-user"], "");
    assert_eq!(passed.header("remote-id"), "service:shop");
    for path in [
        "/v1/verify",
        "/v1/verify?scope=orders:delete",
        "/v1/verify?scope=orders:read%20orders:delete",
        "/v1/me",
        "/v1/me/sessions",
        "/v1/users",
    ] {
        get(path).await.expect_problem(403, "insufficient_scope");
    }
    let request = server.http.get("/v1/verify?scope=orders:read");
    let request = request.bearer(&token).header("accept", "application/json");
    let body: Value = request.send().await.expect(200).json();
    assert_eq!(body["client_id"], "shop");
    assert_eq!(body["sub"], "service:shop");
    assert_eq!(body.get("preferred_username"), None);
    // A user has none of these scopes.
    let alice = server.http.person("alice").await.login().await;
    let refused = verify(&server.http, &alice.access).await;
    refused.expect_problem(403, "insufficient_scope");
    // Its `sid` is no session, so nothing would end.
    let logout = server.http.post("/v1/logout").bearer(&token).send().await;
    logout.expect_problem(403, "insufficient_scope");
    let wrong = get("/v1/verify?scope=%22").await;
    wrong.expect_problem(400, "validation_failed");
}

async fn a_service_may_introspect_if_its_table_says_so(backend: Backend) {
    let tables = format!(
        "{}[token_services.gateway]\nsecret_hashes = [{:?}]\nintrospection = true\n",
        shop(&[SHOP], ""),
        hash(NEXT)
    );
    let server = InProcessServer::start(&with_tables(backend, &tables)).await;
    let alice = server.http.person("alice").await.login().await;
    let own = token(&server.http).await;
    let gateway = ("gateway", NEXT);

    let user = introspect(&server.http, gateway, &alice.access).await;
    let service = introspect(&server.http, gateway, &own).await;

    let user = user.expect(200).json();
    assert_eq!(user["active"], true);
    assert_eq!(user["username"], "alice");
    let service = service.expect(200).json();
    assert_eq!(service["active"], true);
    assert_eq!(service["client_id"], "shop");
    assert_eq!(service.get("username"), None);
    alice.logout().await.expect(204);
    let ended = introspect(&server.http, gateway, &alice.access).await;
    assert_eq!(ended.expect(200).json(), json!({"active": false}));
    introspect(&server.http, ("shop", SHOP), &own)
        .await
        .expect(403);
    let wrong = introspect(&server.http, ("gateway", SHOP), &own).await;
    assert_eq!(wrong.expect(401).field("error"), "invalid_client");
}

/// RFC 7009, 2.1.
async fn a_service_revokes_its_own_tokens_only(backend: Backend) {
    let server = start(backend).await;
    let (one, other) = (token(&server.http).await, token(&server.http).await);
    let alice = server.http.person("alice").await.login().await;
    let revoke = async |token: &str| {
        let fields = [
            ("token", token),
            ("client_id", "shop"),
            ("client_secret", SHOP),
        ];
        server.http.post("/oauth/revoke").form(&fields).send().await
    };

    revoke(&one).await.expect(200);

    let refused = verify(&server.http, &one).await;
    refused.expect_problem(401, "token_revoked");
    verify(&server.http, &other).await.expect(204);
    let foreign = revoke(&alice.access).await.expect(400);
    assert_eq!(foreign.field("error"), "invalid_grant");
    alice.check().await.expect(200);
}

async fn two_secrets_are_valid_at_once(backend: Backend) {
    let backend = with_tables(backend, &shop(&[SHOP, NEXT], ""));
    let server = InProcessServer::start(&backend).await;
    let both = [SHOP, NEXT];
    let mut tokens = Vec::new();
    for secret in both {
        let answer = ask(&server.http, ("shop", secret), &[]).await.expect(200);
        tokens.push(answer.field("access_token"));
    }
    drop(server);

    rewrite_tables(&backend, &shop(&[NEXT], ""));
    let server = InProcessServer::start(&backend).await;

    let refused = verify(&server.http, &tokens[0]).await;
    refused.expect_problem(401, "token_revoked");
    verify(&server.http, &tokens[1]).await.expect(204);
    ask(&server.http, ("shop", SHOP), &[]).await.expect(401);
    ask(&server.http, ("shop", NEXT), &[]).await.expect(200);
}

async fn tokens_of_a_service_that_was_removed_are_refused(backend: Backend) {
    let backend = with_tables(backend, &shop(&[SHOP], ""));
    let server = InProcessServer::start(&backend).await;
    let old = token(&server.http).await;
    drop(server);

    for tables in ["", &shop(&[SHOP], "disabled = true")] {
        rewrite_tables(&backend, tables);
        let server = InProcessServer::start(&backend).await;
        let refused = verify(&server.http, &old).await;
        refused.expect_problem(401, "token_revoked");
        ask(&server.http, ("shop", SHOP), &[]).await.expect(401);
    }

    // It returns with the same secret, and with tokens of a new credential.
    rewrite_tables(&backend, &shop(&[SHOP], ""));
    let server = InProcessServer::start(&backend).await;
    let new = token(&server.http).await;
    verify(&server.http, &new).await.expect(204);
    verify(&server.http, &old)
        .await
        .expect_problem(401, "token_revoked");
    assert_ne!(claims(&new)["sid"], claims(&old)["sid"]);
}

async fn a_revoked_service_is_refused_by_the_running_server(backend: Backend) {
    let backend = with_tables(backend, &shop(&[SHOP], ""));
    let server = Replica::start(&backend).await;
    let old = token(&server.http).await;
    let listed = run(&backend, &["service", "list"]);
    assert!(listed.starts_with("shop  "), "{listed}");
    assert!(
        listed.contains("last used ") && listed.ends_with("active\n"),
        "{listed}"
    );

    run(&backend, &["service", "revoke", "shop"]);
    // As after an outcome that was not certain.
    run(&backend, &["service", "revoke", "shop"]);

    let refused = verify(&server.http, &old).await;
    refused.expect_problem(401, "token_revoked");
    ask(&server.http, ("shop", SHOP), &[]).await.expect(401);
    assert!(run(&backend, &["service", "list"]).contains("  revoked "));
    let events = run(&backend, &["events", "--json"]);
    assert!(events.contains("service_credential_ended"), "{events}");
    // The settings still contain the secret.
    server.kill();
    let server = Replica::start(&backend).await;
    server.log_line("a credential that was revoked").await;
    ask(&server.http, ("shop", SHOP), &[]).await.expect(401);
}

async fn a_service_gets_no_tokens_of_users(backend: Backend) {
    let server = start(backend).await;
    let admin = server.http.admin();
    let fields = [
        ("grant_type", "password"),
        ("username", &*admin.name),
        ("password", &*admin.password),
        ("client_id", "shop"),
    ];
    let post = async |fields: &[(&str, &str)]| {
        let request = server.http.post("/oauth/token").form(fields);
        request.send().await
    };

    let named = post(&fields).await.expect(401);
    let authenticated = post(&[&fields[..], &[("client_secret", SHOP)]].concat()).await;

    assert_eq!(named.field("error"), "invalid_client");
    let authenticated = authenticated.expect(400);
    assert_eq!(authenticated.field("error"), "unauthorized_client");
}

async fn the_metadata_name_the_grant_where_there_are_services(backend: Backend) {
    let without = InProcessServer::start(&backend).await;
    let metadata = async |server: &InProcessServer| {
        let request = server.http.get("/.well-known/oauth-authorization-server");
        request.send().await.expect(200).json()
    };
    let before = metadata(&without).await;
    drop(without);

    let with = start(backend).await;
    let after = metadata(&with).await;

    let (grants, methods) = (
        "grant_types_supported",
        "token_endpoint_auth_methods_supported",
    );
    assert_eq!(before[grants], json!(["password", "refresh_token"]));
    assert_eq!(before[methods], json!(["none"]));
    assert_eq!(
        after[grants],
        json!(["password", "refresh_token", "client_credentials"])
    );
    assert_eq!(
        after[methods],
        json!(["none", "client_secret_basic", "client_secret_post"])
    );
}
