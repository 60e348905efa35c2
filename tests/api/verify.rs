//! Forward authentication: the headers that proxies receive about a request, and their responses.

use std::time::Duration;

use latchet_guard::clock::Clock;
use latchet_guard::keys::{Algorithm, SigningKey};
use latchet_guard::token::{Claims, Issuer};
use sea_orm::ConnectionTrait;

use crate::support::backend::ISSUER;
use crate::support::browser::Browser;
use crate::support::client::{Session, claims};
use crate::support::http::{Http, HttpResponse};
use crate::support::local::InProcessServer;
use crate::support::{Backend, on_both};

mod proxies;

on_both! {
    a_valid_token_returns_its_user_to_the_proxy,
    a_program_receives_the_claims_of_the_token,
    checks_of_access_tokens_read_no_row_of_the_user,
    invalid_access_tokens_are_refused,
    cookies_are_not_accepted_by_forward_auth,
    a_refused_page_is_redirected_to_sign_in_when_configured,
    the_account_page_returns_to_the_address_of_the_request,
    redirects_lead_only_to_configured_sites,
    a_token_of_another_issuer_passes_only_for_an_enabled_user,
}

/// `Accept` of a browser that opens an address.
const PAGE: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

async fn verify(session: &Session) -> HttpResponse {
    let request = session.http.get("/v1/verify").bearer(&session.access);
    request.send().await
}

async fn a_valid_token_returns_its_user_to_the_proxy(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await.login().await;
    let zoe = server.http.administrator("zoë,").await.login().await;

    let (of_alice, of_zoe) = (verify(&alice).await, verify(&zoe).await);

    let of_alice = of_alice.expect(204);
    assert_eq!(of_alice.header("remote-user"), "alice");
    assert_eq!(of_alice.header("remote-id"), claims(&alice.access)["sub"]);
    assert_eq!(of_alice.headers["remote-roles"], "");
    assert_eq!(of_alice.header("remote-session"), alice.id);
    assert_eq!(of_alice.header("cache-control"), "no-store");
    let of_zoe = of_zoe.expect(204);
    assert_eq!(of_zoe.header("remote-user"), "zo%C3%AB%2C");
    assert_eq!(of_zoe.header("remote-roles"), "admin");
    assert_eq!(of_zoe.header("remote-session"), zoe.id);
}

async fn a_program_receives_the_claims_of_the_token(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let zoe = server.http.administrator("zoë,").await.login().await;
    let ask = async |accept: &str| {
        let request = server.http.get("/v1/verify").bearer(&zoe.access);
        request.header("accept", accept).send().await
    };

    let answer = ask("application/json").await.expect(200);

    let body = answer.json();
    let claims = claims(&zoe.access);
    for name in ["sub", "sid", "iss", "jti", "iat", "exp", "roles", "amr"] {
        assert_eq!(body[name], claims[name], "{name}");
    }
    assert_eq!(body["aud"], serde_json::json!([ISSUER]));
    assert_eq!(body["fresh"], true);
    assert_eq!(body["preferred_username"], "zoë,");
    assert_eq!(answer.header("remote-user"), "zo%C3%AB%2C");
    assert_eq!(answer.header("cache-control"), "no-store");
    for accept in ["*/*", PAGE, "application/*"] {
        ask(accept).await.expect(204);
    }
    zoe.logout().await.expect(204);
    ask("application/json")
        .await
        .expect_problem(401, "token_revoked");
}

async fn checks_of_access_tokens_read_no_row_of_the_user(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await.login().await;
    let admin = server.http.admin().login().await;

    let database = backend.connect().await;
    let changed = "UPDATE users SET username = 'read' WHERE username = 'alice'";
    database.execute_unprepared(changed).await.unwrap();

    let verified = verify(&alice).await.expect(204);
    assert_eq!(verified.header("remote-user"), "alice");
    let introspect = server.http.post("/oauth/introspect").bearer(&admin.access);
    let introspected = introspect.form(&[("token", &alice.access)]).send().await;
    assert_eq!(introspected.expect(200).json()["username"], "alice");
}

async fn invalid_access_tokens_are_refused(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let person = server.http.person("alice").await;
    let (session, over) = (person.login().await, person.login().await);
    over.logout().await.expect(204);

    let none = server.http.get("/v1/verify").send().await;
    none.expect_problem(401, "missing_token");
    verify(&over).await.expect_problem(401, "token_revoked");
    for (token, code) in [
        (&session.refresh, "invalid_token"),
        (&"a.b.c".to_owned(), "malformed_token"),
    ] {
        let answer = server.http.get("/v1/verify").bearer(token).send().await;
        let answer = answer.expect_problem(401, code);
        assert!(
            answer
                .header("www-authenticate")
                .contains("error=\"invalid_token\"")
        );
    }
    server.pass(Duration::from_mins(16));
    verify(&session).await.expect_problem(401, "token_expired");
}

async fn cookies_are_not_accepted_by_forward_auth(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let browser = Browser::login(&server.http.person("alice").await).await;

    let answer = browser.page("GET", "/v1/verify").send().await;

    answer.expect_problem(401, "missing_token");
}

async fn a_refused_page_is_redirected_to_sign_in_when_configured(backend: Backend) {
    let backend = backend.with("LATCHET_ALLOWED_ORIGINS", "https://app.example.org");
    let server = InProcessServer::start(&backend).await;
    let http = Http::without_redirects(server.http.base());
    let session = server.http.person("alice").await.login().await;
    let own = format!("{}/docs", server.http.base());
    let ask = async |sign_in: &str, accept: &str, token: &str| {
        let path = format!("/v1/verify?sign_in={sign_in}");
        let request = http.get(&path).header("accept", accept);
        let request = match token {
            "" => request,
            token => request.bearer(token),
        };
        request.send().await
    };

    for sign_in in ["/sign-in", "https://app.example.org/sign-in", &own] {
        for token in ["", session.refresh.as_str()] {
            let sent = ask(sign_in, PAGE, token).await.expect(303);
            assert_eq!(sent.header("location"), sign_in);
            assert_eq!(sent.header("cache-control"), "no-store");
        }
        let program = ask(sign_in, "*/*", "").await;
        program.expect_problem(401, "missing_token");
        ask(sign_in, PAGE, &session.access).await.expect(204);
    }
    let unasked = server.http.get("/v1/verify").header("accept", PAGE);
    unasked.send().await.expect_problem(401, "missing_token");
}

async fn the_account_page_returns_to_the_address_of_the_request(backend: Backend) {
    let backend = backend.with("LATCHET_ALLOWED_ORIGINS", "https://app.example.org");
    let server = InProcessServer::start(&backend).await;
    let http = Http::without_redirects(server.http.base());
    let ask = async |host: &str| {
        let request = http
            .get("/v1/verify?sign_in=/account")
            .header("accept", PAGE)
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", host)
            .header("x-forwarded-uri", "/orders?page=2&all");
        let sent = request.send().await.expect(303);
        sent.header("location").to_owned()
    };

    let (known, unknown) = (ask("app.example.org").await, ask("evil.example").await);

    assert_eq!(unknown, "/account");
    let page = http.get(&known).send().await.expect(200);
    assert_eq!(page.header("cache-control"), "no-store");
    let address = "data-return-to=\"https://app.example.org/orders?page=2&amp;all\"";
    assert!(page.text.contains(address), "{known}: {}", page.text);
}

async fn redirects_lead_only_to_configured_sites(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("alice").await.login().await;

    for sign_in in [
        "https://evil.example/",
        "//evil.example",
        "/%5Cevil.example",
        "/%0D%0ASet-Cookie:%20a=b",
        "",
    ] {
        let path = format!("/v1/verify?sign_in={sign_in}");
        let stranger = server.http.get(&path).header("accept", PAGE);
        let alice = server.http.get(&path).bearer(&session.access);
        for request in [stranger, alice] {
            let answer = request.send().await;
            let answer = answer.expect_problem(400, "validation_failed");
            assert_eq!(answer.json()["errors"][0]["field"], "sign_in");
            assert!(!answer.headers.contains_key("location"));
        }
    }
}

async fn a_token_of_another_issuer_passes_only_for_an_enabled_user(backend: Backend) {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let file = backend.folder.path().join("key.json");
    std::fs::write(&file, key.verifying_key().jwk().unwrap().to_string()).unwrap();
    let backend = backend.with("LATCHET_VERIFICATION_KEYS", file.to_str().unwrap());
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await.login().await;
    let issue = |user: &str| {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: vec![ISSUER.to_owned()],
            sub: user.to_owned(),
            // The session and the name that the other issuer knows.
            sid: Some("its own session".to_owned()),
            extra: [("preferred_username".to_owned(), "mallory".into())]
                .into_iter()
                .collect(),
            ..Claims::access(Clock::system().now(), Duration::from_mins(5))
        };
        Issuer::new(key.clone()).sign(&claims).unwrap()
    };
    let ask = async |token: &str| server.http.get("/v1/verify").bearer(token).send().await;
    let (known, unknown) = (issue(&alice.user_id()), issue("nobody"));

    let passed = ask(&known).await.expect(204);
    assert_eq!(passed.header("remote-user"), "alice");
    assert_eq!(passed.header("remote-session"), "its%20own%20session");
    ask(&unknown).await.expect_problem(401, "unknown_user");

    let disable = format!("/v1/users/{}/disable", alice.user_id());
    let admin = server.http.admin().login().await;
    let disabled = server.http.post(&disable).bearer(&admin.access);
    disabled.send().await.expect(200);
    ask(&known).await.expect_problem(401, "token_outdated");
}
