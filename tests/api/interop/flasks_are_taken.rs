//! Latchet accepts tokens of an app with Flask-JWT-Extended: the server, and the guard library alone.

use std::sync::Arc;

use latchet_guard::clock::Clock;
use latchet_guard::cookies::Cookies;
use latchet_guard::denylist::memory::MemoryDenylist;
use latchet_guard::keys::{Algorithm, KeySet, SigningKey};
use latchet_guard::token::{Verifier, VerifierSettings};
use latchet_guard::{Fresh, Guards, Location, Refresh, Required};
use serde_json::{Value, json};

use super::{FlaskAndLatchet, mutated, named_by_its_address};
use crate::support::flask::Flask;
use crate::support::http::HttpResponse;

async fn mint(flask: &Flask, order: &Value) -> HttpResponse {
    flask
        .http
        .post("/mint")
        .json(order)
        .send()
        .await
        .expect(200)
}

/// Every sort of token that such an app may make, and the `code` that it is refused with, if it is.
fn orders(user: &str) -> Vec<(&'static str, Value, Option<&'static str>)> {
    let access = |more: Value| {
        let mut order = json!({"kind": "access", "identity": user});
        let members = order.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        order
    };
    let says = |claims: Value| access(json!({ "claims": claims }));
    vec![
        ("access", access(json!({})), None),
        ("fresh", access(json!({"fresh": true})), None),
        ("fresh for a minute", access(json!({"fresh_for": 60})), None),
        ("with more in it", says(json!({"plan": "gold"})), None),
        (
            "refresh",
            json!({"kind": "refresh", "identity": user}),
            Some("wrong_token_type"),
        ),
        (
            "expired",
            access(json!({"lifetime": -1})),
            Some("token_expired"),
        ),
        (
            "without end",
            access(json!({"lifetime": false})),
            Some("malformed_token"),
        ),
        (
            "of a type unknown",
            says(json!({"type": "app"})),
            Some("malformed_token"),
        ),
        (
            "of no type",
            says(json!({"type": null})),
            Some("malformed_token"),
        ),
        (
            "by another issuer",
            says(json!({"iss": "x"})),
            Some("invalid_token"),
        ),
        (
            "for another service",
            says(json!({"aud": "x"})),
            Some("invalid_token"),
        ),
        (
            "with a name alone",
            json!({"kind": "bare", "claims": {"sub": user}}),
            Some("malformed_token"),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_accepts_tokens_of_flask_jwt_extended_with_its_setting() {
    for algorithm in Algorithm::ALL {
        let FlaskAndLatchet { server, flask, .. } = FlaskAndLatchet::start(algorithm).await;
        let alice = server.http.person("alice").await.login().await;
        let check = async |token: &str| server.http.get("/v1/me").bearer(token).send().await;

        for (what, order, code) in orders(&alice.user_id()) {
            let token: String = mint(&flask, &order).await.field("token");
            let answer = check(&token).await;
            match code {
                None => assert_eq!(answer.json()["user"]["username"], "alice", "{what}"),
                Some(code) => assert_eq!(answer.field("code"), code, "{algorithm} {what}"),
            }
        }
        let order = json!({"kind": "access", "identity": alice.user_id()});
        let token: String = mint(&flask, &order).await.field("token");
        check(&mutated(&token))
            .await
            .expect_problem(401, "invalid_token");
        let form = [("token", token.as_str())];
        let revoke = server.http.post("/oauth/revoke").form(&form);
        revoke.send().await.expect(200);
        check(&token).await.expect_problem(401, "token_revoked");
    }
}

/// The limits that the page states before the setting is turned on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_flask_jwt_extended_carry_roles_and_no_session() {
    let FlaskAndLatchet { server, flask, .. } = FlaskAndLatchet::start(Algorithm::Es256).await;
    let alice = server.http.person("alice").await.login().await;
    let order = json!({
        "kind": "access", "identity": alice.user_id(), "claims": {"roles": ["admin"]},
    });

    let token = mint(&flask, &order).await.field("token");

    let users = server.http.get("/v1/users").bearer(&token).send();
    users.await.expect(200);
    let logout = server.http.post("/v1/logout").bearer(&token).send();
    logout.await.expect_problem(401, "invalid_token");
    alice.logout_everywhere().await.expect(204);
    let outdated = server.http.get("/v1/me").bearer(&token).send();
    outdated.await.expect_problem(401, "token_outdated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_refuses_tokens_of_flask_jwt_extended_by_default() {
    let neighbours = FlaskAndLatchet::on(named_by_its_address(), Algorithm::EdDsa).await;
    let alice = neighbours.server.http.person("alice").await.login().await;

    for (what, order, _) in orders(&alice.user_id()) {
        let token: String = mint(&neighbours.flask, &order).await.field("token");
        let http = &neighbours.server.http;
        let answer = http.get("/v1/me").bearer(&token).send().await;
        assert_eq!(
            (answer.status, &*answer.field("code")),
            (401, "invalid_token"),
            "{what}"
        );
    }
    assert!(crate::support::client::claims(&alice.access)["csrf"].is_null());
}

/// Returns guards that know the key of the app and nothing else.
fn guards(key: &SigningKey) -> Guards {
    let keys = KeySet::new([key.verifying_key().for_tokens_without_kid()]);
    let settings = VerifierSettings::new("https://issuer.test", ["https://issuer.test"]);
    let verifier = Verifier::new(keys, settings.with_flask_jwt_extended());
    Guards::new(
        Arc::new(verifier),
        Arc::new(MemoryDenylist::new()),
        Clock::system(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guard_library_accepts_tokens_of_flask_jwt_extended() {
    for algorithm in Algorithm::ALL {
        let FlaskAndLatchet {
            flask,
            key,
            server: _server,
            ..
        } = FlaskAndLatchet::start(algorithm).await;
        let guards = guards(&key);
        let request = |token: &str| {
            let value = format!("Bearer {token}");
            poem::Request::builder()
                .header("authorization", value)
                .finish()
        };

        for (what, order, code) in orders("alice") {
            let token: String = mint(&flask, &order).await.field("token");
            let request = request(&token);
            let answer = guards.authenticate::<Required>(&request).await;
            let refused = answer.err().map(|error| error.problem().code);
            assert_eq!(refused, code, "{algorithm} {what}");
            let is_fresh = guards.authenticate::<Fresh>(&request).await.is_ok();
            assert_eq!(is_fresh, what.starts_with("fresh"), "{algorithm} {what}");
            let is_refresh = guards.authenticate::<Refresh>(&request).await.is_ok();
            assert_eq!(is_refresh, what == "refresh", "{algorithm} {what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guard_library_accepts_cookies_of_flask_jwt_extended() {
    let FlaskAndLatchet {
        flask,
        key,
        server: _server,
        ..
    } = FlaskAndLatchet::start(Algorithm::Hs256).await;
    let cookies = Cookies::flask_jwt_extended();
    let guards = guards(&key).with_locations([Location::cookies(cookies)]);
    let order = json!({"kind": "cookie", "identity": "alice"});
    let answer = mint(&flask, &order).await;
    let sent: Vec<_> = answer
        .set_cookies()
        .iter()
        .map(|line| line.split(';').next().unwrap())
        .collect();
    let csrf = sent
        .iter()
        .find_map(|cookie| cookie.strip_prefix("csrf_access_token="))
        .unwrap();
    let post = async |csrf: &str| {
        let request = poem::Request::builder()
            .method(poem::http::Method::POST)
            .header("cookie", sent.join("; "))
            .header("x-csrf-token", csrf)
            .finish();
        let answer = guards.authenticate::<Required>(&request).await;
        answer
            .map(|claims| claims.sub.clone())
            .map_err(|error| error.problem().code)
    };

    assert_eq!(post(csrf).await, Ok("alice".to_owned()));
    assert_eq!(post("x").await, Err("csrf_failed"));
}
