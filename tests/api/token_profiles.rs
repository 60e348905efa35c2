//! Tokens for third parties: what they say, and that they open nothing here.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use latchet_guard::keys::SigningKey;
use serde_json::{Value, json};

use crate::readme::{shell, snippets};
use crate::support::backend::ISSUER;
use crate::support::client::{Session, header};
use crate::support::http::{Http, HttpResponse};
use crate::support::local::InProcessServer;
use crate::support::server::{Replica, command, run};
use crate::support::tool::assert_passes;
use crate::support::{Backend, on_both};

mod refusals;

on_both! {
    a_user_gets_exactly_the_claims_that_iterable_reads,
    a_service_gets_a_token_on_behalf_of_a_user,
    an_exchanged_token_carries_the_current_roles,
    a_session_that_was_ended_gets_no_token,
}

const KEY: &str = "fW1rT0xk7uQp3vZ9yBn5sGd2hJc8aLe4";
const SHOP: &str = "nH6yUj2kOq8wXe5rVb1mTz7cPs4dLf9g";
const BANK: &str = "Zx3cVb6nMa9sDf2gHj5kQw8eRt1yUi4o";

const PROFILES: &str = r#"
[token_profiles.iterable]
algorithm = "HS256"
key_file = "key"
lifetime = "1h"
claims = { email = { user = "username" } }
users = "any"
services = ["shop"]

[token_profiles.partner]
algorithm = "HS256"
key_file = "key"
lifetime = "365d"
claims = { userId = { user = "id" }, groups = { user = "roles" }, plan = { constant = "pro" } }
issuer = "https://app.example"
audience = "https://partner.example"
users = { role = "customer" }

[token_profiles.nightly]
algorithm = "HS256"
key_file = "key"
lifetime = "1m"
claims = { sub = { user = "id" } }
services = ["shop", "bank"]

[token_services.shop]
secret_file = "shop"

[token_services.bank]
secret_file = "bank"
"#;

/// Returns `backend` with these tables in its settings, and the files that they name.
fn profiles(backend: Backend, tables: &str, files: &[(&str, &str)]) -> Backend {
    let folder = backend.folder.path().to_owned();
    let mut tables = tables.to_owned();
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
        let path = folder.join(name).display().to_string();
        tables = tables.replace(&format!("\"{name}\"\n"), &format!("{path:?}\n"));
    }
    let file = folder.join("latchet.toml");
    std::fs::write(&file, tables).unwrap();
    backend.with("LATCHET_CONFIG", file.to_str().unwrap())
}

async fn start(backend: Backend) -> InProcessServer {
    let files = [("key", KEY), ("shop", SHOP), ("bank", BANK)];
    InProcessServer::start(&profiles(backend, PROFILES, &files)).await
}

async fn ask(session: &Session, profile: &str) -> HttpResponse {
    let path = format!("/v1/tokens/{profile}");
    session
        .http
        .post(&path)
        .bearer(&session.access)
        .send()
        .await
}

/// Asks as the service of this name, on behalf of whom the body says.
async fn order(
    http: &Http,
    profile: &str,
    (name, secret): (&str, &str),
    body: &Value,
) -> HttpResponse {
    let basic = STANDARD.encode(format!("{name}:{secret}"));
    let request = http
        .post(&format!("/v1/tokens/{profile}"))
        .header("authorization", &format!("Basic {basic}"));
    request.json(body).send().await
}

/// Checks a token as the third party would, and returns its claims.
fn read(token: &str) -> Value {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_required_spec_claims(&["exp"]);
    validation.validate_aud = false;
    let key = DecodingKey::from_secret(KEY.as_bytes());
    decode::<Value>(token, &key, &validation).unwrap().claims
}

fn names(claims: &Value) -> Vec<&str> {
    let claims = claims.as_object().unwrap();
    claims.keys().map(String::as_str).collect()
}

async fn a_user_gets_exactly_the_claims_that_iterable_reads(backend: Backend) {
    let server = start(backend).await;
    let alice = server.http.person("alice@app.example").await.login().await;

    let answer = ask(&alice, "iterable").await.expect(200);

    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.json()["expires_in"], 3600);
    let token = answer.field("token");
    assert_eq!(header(&token), json!({"typ": "JWT", "alg": "HS256"}));
    let claims = read(&token);
    assert_eq!(names(&claims), ["email", "exp", "iat"]);
    assert_eq!(claims["email"], "alice@app.example");
    let time = |name: &str| claims[name].as_i64().unwrap();
    assert_eq!(time("exp") - time("iat"), 3600);
}

async fn a_service_gets_a_token_on_behalf_of_a_user(backend: Backend) {
    let server = start(backend).await;
    let alice = server.http.person("alice").await.login().await;
    let body = json!({"user_id": alice.user_id()});

    let answer = order(&server.http, "nightly", ("shop", SHOP), &body).await;

    let claims = read(&answer.expect(200).field("token"));
    assert_eq!(names(&claims), ["exp", "iat", "sub"]);
    assert_eq!(claims["sub"], alice.user_id());
    let other = order(&server.http, "nightly", ("bank", BANK), &body).await;
    other.expect(200);
}

async fn an_exchanged_token_carries_the_current_roles(backend: Backend) {
    let server = start(backend).await;
    let alice = server.http.person("alice").await.login().await;
    let admin = server.http.admin().login().await.access;
    let roles = async |roles: &[&str]| {
        let path = format!("/v1/users/{}/roles", alice.user_id());
        let request = server.http.request("PUT", &path).bearer(&admin);
        request
            .json(&json!({"roles": roles}))
            .send()
            .await
            .expect(200);
    };

    roles(&["customer", "editor"]).await;

    let now = alice.rotate().await;
    let token = ask(&now, "partner").await.expect(200).field("token");
    let claims = read(&token);
    assert_eq!(
        names(&claims),
        ["aud", "exp", "groups", "iat", "iss", "plan", "userId"]
    );
    assert_eq!(claims["groups"], json!(["customer", "editor"]));
    assert_eq!(claims["plan"], "pro");
    assert_eq!(claims["iss"], "https://app.example");
    assert_eq!(claims["aud"], "https://partner.example");
    roles(&[]).await;
    let now = alice.rotate().await;
    ask(&now, "partner").await.expect_problem(403, "forbidden");
}

async fn a_session_that_was_ended_gets_no_token(backend: Backend) {
    let server = start(backend).await;
    let person = server.http.person("alice").await;
    let (one, other) = (person.login().await, person.login().await);

    one.logout().await.expect(204);

    ask(&one, "iterable")
        .await
        .expect_problem(401, "token_revoked");
    ask(&other, "iterable").await.expect(200);
    server.pass(Duration::from_hours(1));
    ask(&other, "iterable")
        .await
        .expect_problem(401, "token_expired");
}

/// Even where the key is trusted, tokens of Flask apps are taken, and the profile says everything that
/// can be said to be like ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guards_of_latchet_refuse_tokens_for_third_parties() {
    let backend = Backend::sqlite();
    let pem = run(&backend, &["key", "generate"]);
    let key = SigningKey::from_pem(&pem).unwrap();
    let jwk = key.verifying_key().jwk().unwrap();
    let jwk_file = backend.folder.path().join("jwk");
    std::fs::write(&jwk_file, jwk.to_string()).unwrap();
    let tables = format!(
        r#"
[token_profiles.mimic]
algorithm = "EdDSA"
key_file = "key"
lifetime = "10m"
claims = {{ sub = {{ user = "id" }}, fresh = {{ constant = true }}, roles = {{ user = "roles" }} }}
issuer = "{ISSUER}"
audience = "{ISSUER}"
users = "any"
"#
    );
    let backend = profiles(backend, &tables, &[("key", &pem)])
        .with("LATCHET_VERIFICATION_KEYS", jwk_file.to_str().unwrap())
        .with("LATCHET_COMPAT_FLASK_JWT_EXTENDED", "true");
    let server = InProcessServer::start(&backend).await;
    let admin = server.http.admin().login().await;

    let token = ask(&admin, "mimic").await.expect(200).field("token");

    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&[ISSUER]);
    let public = DecodingKey::from_jwk(&serde_json::from_value(jwk).unwrap()).unwrap();
    let claims = decode::<Value>(&token, &public, &validation)
        .unwrap()
        .claims;
    assert_eq!(claims["sub"], admin.user_id());
    assert_eq!(header(&token)["kid"], key.kid());
    let http = &server.http;
    for (method, path) in [
        ("GET", "/v1/me"),
        ("GET", "/v1/users"),
        ("POST", "/v1/tokens/mimic"),
        ("POST", "/v1/logout"),
        ("POST", "/v1/refresh"),
    ] {
        let answer = http.request(method, path).bearer(&token).send().await;
        assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text);
    }
    let introspect = http.post("/oauth/introspect").bearer(&admin.access);
    let found = introspect.form(&[("token", &token)]).send().await;
    assert_eq!(found.expect(200).json(), json!({"active": false}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_snippets_of_the_token_profiles_page_work() {
    let backend = Backend::sqlite();
    let page = "docs/how-to/third-party-tokens.md";
    let (commands, settings) = (snippets(page, "sh"), snippets(page, "toml"));
    assert_passes(&mut shell(&backend, &commands[0]));
    let file = backend.folder.path().join("latchet.toml");
    std::fs::write(&file, &settings[0]).unwrap();
    let backend = backend.with("LATCHET_CONFIG", file.to_str().unwrap());
    let server = Replica::start(&backend).await;
    let alice = server.http.person("alice@app.example").await.login().await;
    let script = format!(
        "at={}\naccess={}\nuser={}\n{}",
        server.http.base(),
        alice.access,
        alice.user_id(),
        commands[1]
    );

    let said = assert_passes(&mut shell(&backend, &script));

    let key = std::fs::read_to_string(backend.folder.path().join("iterable-key")).unwrap();
    let key = DecodingKey::from_secret(key.trim().as_bytes());
    assert_eq!(said.lines().count(), 2, "{said}");
    for token in said.lines() {
        let validation = Validation::new(Algorithm::HS256);
        let claims = decode::<Value>(token, &key, &validation).unwrap().claims;
        assert_eq!(names(&claims), ["email", "exp", "iat"]);
        assert_eq!(claims["email"], "alice@app.example");
    }
    let doctor = command(&backend).arg("doctor").output().unwrap();
    let found = String::from_utf8(doctor.stdout).unwrap();
    assert!(
        found.contains("iterable-key is readable by its owner only"),
        "{found}"
    );
}
