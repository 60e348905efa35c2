//! The cookie transport: no token in a body, no request without the CSRF header, no cookie set twice.

use std::time::Duration;

use serde_json::json;

use crate::support::browser::{Browser, CSRF_COOKIE, REFRESH_COOKIE};
use crate::support::http::HttpResponse;
use crate::support::local::InProcessServer;
use crate::support::{Backend, on_both};

on_both! {
    a_page_logs_in_refreshes_and_logs_out_by_cookie,
    a_cookie_without_the_csrf_header_is_refused,
    a_foreign_origin_is_refused,
    a_form_cannot_use_the_cookie,
    a_refresh_after_a_logout_sets_no_cookie,
    a_refresh_that_loses_a_race_clears_no_cookie,
    the_csrf_value_of_one_session_is_refused_in_another,
    a_password_change_replaces_the_csrf_value_and_the_refresh_token,
    a_lost_response_to_a_password_change_signs_nobody_out,
    a_login_by_cookie_ends_the_session_that_it_replaces,
    a_cookie_login_without_the_csrf_header_ends_no_session,
}

async fn a_page_logs_in_refreshes_and_logs_out_by_cookie(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let mut browser = Browser::login(&server.http.person("alice").await).await;
    let before = browser.jar[REFRESH_COOKIE].clone();

    let answer = browser.refresh().await.expect(200);
    assert!(answer.json()["refresh_token"].is_null(), "{}", answer.text);
    assert_eq!(answer.header("cache-control"), "no-store");
    let cookie = answer
        .set_cookies()
        .into_iter()
        .find(|cookie| cookie.starts_with(REFRESH_COOKIE));
    let cookie = cookie.expect("the refresh cookie is set").to_owned();
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    browser.take(&answer);
    assert_ne!(browser.jar[REFRESH_COOKIE], before);

    let access = browser.access.clone();
    server
        .http
        .get("/v1/me")
        .bearer(&access)
        .send()
        .await
        .expect(200);

    let answer = browser
        .page("POST", "/v1/logout")
        .bearer(&access)
        .json(&json!({}))
        .send()
        .await;
    browser.take(&answer.expect(204));
    assert!(
        !browser.jar.contains_key(REFRESH_COOKIE),
        "{:?}",
        browser.jar
    );
    assert!(!browser.jar.contains_key(CSRF_COOKIE), "{:?}", browser.jar);
    server
        .http
        .get("/v1/me")
        .bearer(&access)
        .send()
        .await
        .expect_problem(401, "token_revoked");
}

async fn a_cookie_without_the_csrf_header_is_refused(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let browser = Browser::login(&server.http.person("alice").await).await;

    let bare = browser.cookies_only("POST", "/v1/refresh").json(&json!({}));
    bare.send().await.expect_problem(403, "csrf_failed");

    for wrong in ["", "x", "a.b", &"x".repeat(5000)] {
        let forged = browser
            .cookies_only("POST", "/v1/refresh")
            .header("x-csrf-token", wrong)
            .json(&json!({}));
        forged.send().await.expect_problem(403, "csrf_failed");
    }
    browser.refresh().await.expect(200);
}

async fn a_foreign_origin_is_refused(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let browser = Browser::login(&server.http.person("alice").await).await;
    let csrf = browser.jar[CSRF_COOKIE].clone();

    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let request = browser
            .cookies_only("POST", "/v1/refresh")
            .header("x-csrf-token", &csrf);
        let answer = request.header(name, value).json(&json!({})).send().await;
        assert_eq!(
            answer.code(),
            "csrf_failed",
            "{name}: {value}: {}",
            answer.text
        );
    }
}

async fn a_form_cannot_use_the_cookie(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let browser = Browser::login(&server.http.person("alice").await).await;

    for content_type in [
        "application/x-www-form-urlencoded",
        "text/plain",
        "multipart/form-data; boundary=x",
    ] {
        let answer = browser
            .page("POST", "/v1/refresh")
            .body(content_type, "{}")
            .send()
            .await;
        assert!(
            (400..500).contains(&answer.status),
            "{content_type}: {}",
            answer.text
        );
        assert!(answer.set_cookies().is_empty(), "{content_type}");
    }
}

/// FJE #454, geolens #1446.
async fn a_refresh_after_a_logout_sets_no_cookie(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let browser = Browser::login(&server.http.person("alice").await).await;
    let mut late = browser.clone();
    late.take(&browser.refresh().await.expect(200));
    let logout = browser
        .page("POST", "/v1/logout")
        .bearer(&browser.access)
        .json(&json!({}));
    logout.send().await.expect(204);

    for stale in [&browser, &late] {
        let answer = stale.refresh().await.expect_problem(401, "session_revoked");
        let set = answer.set_cookies();
        assert!(
            set.iter().all(|cookie| cookie.contains("Max-Age=0")),
            "{set:?}"
        );
    }
}

/// revel-frontend #950, `OpenRisk` #700.
async fn a_refresh_that_loses_a_race_clears_no_cookie(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let browser = Browser::login(&server.http.person("alice").await).await;
    browser.refresh().await.expect(200);
    server.pass(Duration::from_secs(11));

    let answer = browser
        .refresh()
        .await
        .expect_problem(401, "refresh_reused");

    assert!(
        answer.set_cookies().is_empty(),
        "{:?}",
        answer.set_cookies()
    );
}

async fn the_csrf_value_of_one_session_is_refused_in_another(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let mut browser = Browser::login(&alice).await;
    let other = Browser::login(&alice).await;

    browser
        .jar
        .insert(CSRF_COOKIE.to_owned(), other.jar[CSRF_COOKIE].clone());

    browser.refresh().await.expect_problem(403, "csrf_failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_https_the_cookies_are_bound_to_the_host() {
    let backend = Backend::sqlite().with("LATCHET_PUBLIC_URL", "https://auth.example.org");
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let body = json!({"username": alice.name, "password": alice.password, "transport": "cookie"});

    let answer = server
        .http
        .post("/v1/login")
        .json(&body)
        .send()
        .await
        .expect(200);

    for (prefix, http_only) in [
        ("__Host-latchet_rt=", true),
        ("__Host-latchet_csrf=", false),
    ] {
        let cookie = answer
            .set_cookies()
            .into_iter()
            .find(|cookie| cookie.starts_with(prefix));
        let cookie = cookie.expect("both cookies are set");
        for attribute in ["Secure", "SameSite=Strict", "Path=/"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        assert!(!cookie.contains("Domain"), "{cookie}");
        assert_eq!(cookie.contains("HttpOnly"), http_only, "{cookie}");
    }
}

const NEW: &str = "another long password of alice";

async fn change_password(browser: &Browser, old: &str) -> HttpResponse {
    let body = json!({"current_password": old, "new_password": NEW});
    let request = browser.page("POST", "/v1/me/password");
    request.bearer(&browser.access).json(&body).send().await
}

async fn a_password_change_replaces_the_csrf_value_and_the_refresh_token(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let before = Browser::login(&alice).await;
    let mut after = before.clone();

    let answer = change_password(&before, &alice.password).await.expect(200);
    assert!(answer.json()["refresh_token"].is_null(), "{}", answer.text);
    after.take(&answer);

    assert_eq!(answer.json()["csrf_token"], after.jar[CSRF_COOKIE]);
    for cookie in [REFRESH_COOKIE, CSRF_COOKIE] {
        assert_ne!(after.jar[cookie], before.jar[cookie], "{cookie}");
    }
    // The old value is refused with the new token, and the new value with the old token.
    for (token, value) in [(&after, &before), (&before, &after)] {
        let mut mixed = token.clone();
        let value = value.jar[CSRF_COOKIE].clone();
        mixed.jar.insert(CSRF_COOKIE.to_owned(), value);
        mixed.refresh().await.expect_problem(403, "csrf_failed");
        let logout = mixed.page("POST", "/v1/logout").json(&json!({}));
        logout.send().await.expect_problem(403, "csrf_failed");
    }
    let answer = after.refresh().await.expect(200);
    let kept = after.jar[CSRF_COOKIE].clone();
    after.take(&answer);
    assert_eq!(after.jar[CSRF_COOKIE], kept);
    after.refresh().await.expect(200);
}

async fn a_lost_response_to_a_password_change_signs_nobody_out(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let mut browser = Browser::login(&alice).await;
    let lost = change_password(&browser, &alice.password).await.expect(200);
    let mut told = browser.clone();
    told.take(&lost);

    let answer = browser.refresh().await.expect(200);
    browser.take(&answer);

    assert_eq!(browser.jar[REFRESH_COOKIE], told.jar[REFRESH_COOKIE]);
    let answer = browser.refresh().await.expect(200);
    browser.take(&answer);
    let check = server.http.get("/v1/me").bearer(&browser.access);
    check.send().await.expect(200);
}

async fn a_login_by_cookie_ends_the_session_that_it_replaces(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let (alice, bob) = (
        server.http.person("alice").await,
        server.http.person("bob").await,
    );

    for next in [&alice, &bob] {
        let old = Browser::login(&alice).await;
        let elsewhere = alice.login().await;
        let mut browser = old.clone();
        let body = json!({"username": next.name, "password": next.password, "transport": "cookie"});
        let login = browser.page("POST", "/v1/login").json(&body);
        browser.take(&login.send().await.expect(200));

        let check = server.http.get("/v1/me").bearer(&old.access);
        check.send().await.expect_problem(401, "token_revoked");
        old.refresh().await.expect_problem(401, "session_revoked");
        browser.refresh().await.expect(200);
        elsewhere.check().await.expect(200);
    }
}

async fn a_cookie_login_without_the_csrf_header_ends_no_session(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let bob = server.http.person("bob").await;
    let body = json!({"username": bob.name, "password": bob.password, "transport": "cookie"});
    let old = Browser::login(&alice).await;
    let mut of_bob = old.clone();
    of_bob.jar.insert(
        CSRF_COOKIE.to_owned(),
        Browser::login(&bob).await.jar[CSRF_COOKIE].clone(),
    );
    let in_body = json!({"username": bob.name, "password": bob.password});
    let wrong =
        json!({"username": bob.name, "password": "not it, though long", "transport": "cookie"});

    for (request, status) in [
        (old.cookies_only("POST", "/v1/login").json(&body), 200),
        (of_bob.page("POST", "/v1/login").json(&body), 200),
        (old.page("POST", "/v1/login").json(&in_body), 200),
        (old.page("POST", "/v1/login").json(&wrong), 401),
    ] {
        request.send().await.expect(status);
        let check = server.http.get("/v1/me").bearer(&old.access);
        check.send().await.expect(200);
    }
    let csrf = &old.jar[CSRF_COOKIE];
    let foreign = old.cookies_only("POST", "/v1/login");
    let foreign = foreign
        .header("origin", "https://evil.example")
        .header("x-csrf-token", csrf);
    foreign.json(&body).send().await;
    old.refresh().await.expect(200);
}
