//! Users: own account, devices, passwords, and the creation of accounts.

use std::time::Duration;

use serde_json::json;

use crate::support::client::{ADMIN, Person, Session, claims};
use crate::support::http::Http;
use crate::support::local::InProcessServer;
use crate::support::postgres::Postgres;
use crate::support::{Backend, on_both};

on_both! {
    a_user_reads_the_own_account,
    a_user_lists_the_own_sessions_and_ends_one,
    a_session_of_someone_else_cannot_be_ended,
    a_new_password_ends_the_other_sessions,
    a_password_change_needs_the_old_password,
    reauthentication_by_password_returns_a_fresh_token,
    unknown_user_wrong_password_and_disabled_account_look_the_same,
    weak_passwords_are_refused,
    breached_passwords_are_refused_and_other_phrases_accepted,
    closed_registration_refuses_everybody,
    open_registration_creates_accounts,
    names_that_differ_by_invisible_characters_are_refused,
    the_well_known_address_leads_to_the_change_of_a_password,
}

async fn a_user_reads_the_own_account(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("Alice").await.login().await;

    let me = session.check().await.expect(200);

    assert_eq!(me.json()["user"]["username"], "Alice");
    assert_eq!(me.json()["user"]["id"], session.user_id());
    assert_eq!(me.json()["session_id"], session.id.as_str());
    assert_eq!(me.json()["roles"], json!([]));
    assert_eq!(me.header("cache-control"), "no-store");
}

async fn a_user_lists_the_own_sessions_and_ends_one(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let (phone, laptop) = (alice.login().await, alice.login().await);

    let listed = laptop
        .http
        .get("/v1/me/sessions")
        .bearer(&laptop.access)
        .send()
        .await
        .expect(200);
    let ids: Vec<_> = listed.json()["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|session| (session["id"].clone(), session["current"].clone()))
        .collect();
    assert_eq!(ids.len(), 2, "{}", listed.text);
    assert!(
        ids.contains(&(json!(phone.id), json!(false))),
        "{}",
        listed.text
    );
    assert!(
        ids.contains(&(json!(laptop.id), json!(true))),
        "{}",
        listed.text
    );

    let path = format!("/v1/me/sessions/{}", phone.id);
    laptop
        .http
        .delete(&path)
        .bearer(&laptop.access)
        .send()
        .await
        .expect(204);
    phone.check().await.expect_problem(401, "token_revoked");
    laptop.check().await.expect(200);
}

async fn a_session_of_someone_else_cannot_be_ended(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await.login().await;
    let bob = server.http.person("bob").await.login().await;

    let path = format!("/v1/me/sessions/{}", alice.id);
    bob.http
        .delete(&path)
        .bearer(&bob.access)
        .send()
        .await
        .expect_problem(404, "not_found");

    alice.check().await.expect(200);
}

async fn a_new_password_ends_the_other_sessions(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let mut alice = server.http.person("alice").await;
    let (here, elsewhere) = (alice.login().await, alice.login().await);

    let new = "another long password of alice";
    let body = json!({"current_password": alice.password, "new_password": new});
    let answer = here
        .http
        .post("/v1/me/password")
        .bearer(&here.access)
        .json(&body)
        .send()
        .await
        .expect(200);
    let renewed = Session::of(here.http.clone(), &answer);
    assert_eq!(renewed.id, here.id);
    assert_ne!(renewed.refresh, here.refresh);
    assert_eq!(claims(&renewed.access)["fresh"], true);

    elsewhere
        .check()
        .await
        .expect_problem(401, "token_outdated");
    elsewhere
        .refresh()
        .await
        .expect_problem(401, "session_revoked");
    renewed.check().await.expect(200);
    assert_eq!(
        here.rotate().await.refresh,
        renewed.refresh,
        "an answer that was lost is repeated"
    );
    renewed.rotate().await.check().await.expect(200);
    server.pass(Duration::from_secs(11));
    here.refresh().await.expect_problem(401, "refresh_reused");
    alice
        .try_login(&alice.password)
        .await
        .expect_problem(401, "invalid_credentials");
    new.clone_into(&mut alice.password);
    alice.login().await;
}

async fn a_password_change_needs_the_old_password(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let session = alice.login().await;

    let body = json!({"current_password": "not it, though long enough", "new_password": "another long password"});
    let answer = session
        .http
        .post("/v1/me/password")
        .bearer(&session.access)
        .json(&body)
        .send()
        .await;

    answer.expect_problem(401, "invalid_credentials");
    alice.login().await;
}

async fn reauthentication_by_password_returns_a_fresh_token(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let session = alice.login().await.rotate().await;

    let body = json!({"password": alice.password});
    let fresh = session
        .http
        .post("/v1/reauthenticate")
        .bearer(&session.access)
        .json(&body)
        .send()
        .await
        .expect(200);

    assert_eq!(fresh.field("session_id"), session.id);
    let fresh = claims(&fresh.field("access_token"));
    assert_eq!(fresh["sid"], session.id.as_str());
    assert_ne!(fresh["fresh"], false, "{fresh}");
    assert_eq!(
        claims(&session.access)["fresh"],
        false,
        "a refreshed token is not fresh"
    );

    let body = json!({"password": "not it, though long enough"});
    let refused = session
        .http
        .post("/v1/reauthenticate")
        .bearer(&session.access)
        .json(&body)
        .send()
        .await;
    refused.expect_problem(401, "invalid_credentials");
}

async fn unknown_user_wrong_password_and_disabled_account_look_the_same(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let bob = server.http.person("bob").await;
    let id = bob.login().await.user_id();
    let admin = server.http.admin().login().await.access;
    server
        .http
        .post(&format!("/v1/users/{id}/disable"))
        .bearer(&admin)
        .send()
        .await
        .expect(200);
    let nobody = Person {
        name: "nobody".to_owned(),
        ..alice.clone()
    };

    let answers = [
        nobody.try_login("some long password").await,
        alice.try_login("some long password").await,
        bob.try_login(&bob.password).await,
        bob.try_login("some long password").await,
    ];

    let bodies = answers.map(|answer| {
        let mut body = answer.expect_problem(401, "invalid_credentials").json();
        body["request_id"].take();
        body.to_string()
    });
    assert!(bodies.iter().all(|body| body == &bodies[0]), "{bodies:?}");
}

async fn weak_passwords_are_refused(backend: Backend) {
    let backend = backend
        .with("LATCHET_REGISTRATION", "open")
        .with("LATCHET_MIN_PASSWORD", "8");
    let server = InProcessServer::start(&backend).await;

    for password in ["short", "password1", "12345678", "alicealice"] {
        let body = json!({"username": "alicealice", "password": password});
        let answer = server.http.post("/v1/register").json(&body).send().await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "weak_password"),
            "{password}: {}",
            answer.text
        );
    }
}

async fn breached_passwords_are_refused_and_other_phrases_accepted(backend: Backend) {
    let server = InProcessServer::start(&backend.with("LATCHET_REGISTRATION", "open")).await;
    let register = async |password: &str| {
        let body = json!({"username": "alice", "password": password});
        server.http.post("/v1/register").json(&body).send().await
    };

    for password in [
        "thequickbrownfox",
        "The Quick Brown Fox",
        "L1verp00lFootballClub",
    ] {
        let refused = register(password)
            .await
            .expect_problem(400, "weak_password");
        assert!(
            refused.text.contains("breached"),
            "{password}: {}",
            refused.text
        );
    }
    register("the quick brown otter").await.expect(201);
}

async fn closed_registration_refuses_everybody(backend: Backend) {
    let server = InProcessServer::start(&backend).await;

    let body = json!({"username": "alice", "password": "quite a long password"});
    let answer = server.http.post("/v1/register").json(&body).send().await;

    answer.expect_problem(404, "not_found");
}

/// RFC 8265: at every place where an account gets its name.
async fn names_that_differ_by_invisible_characters_are_refused(backend: Backend) {
    let server = InProcessServer::start(&backend.with("LATCHET_REGISTRATION", "open")).await;
    server.http.person("root").await;
    let admin = server.http.admin().login().await;

    for name in [
        "ro\u{200b}ot",
        "\u{202e}toor",
        "root\u{2060}",
        "ro\u{ad}ot",
        "\u{feff}root",
        "ro\u{34f}ot",
        "root\u{fe0f}",
        "root\u{200e}",
        "roo\u{3164}t",
        "root\u{e0020}",
    ] {
        let body = json!({ "username": name, "password": "quite a long password" });
        let requests = [
            server.http.post("/v1/register"),
            server.http.post("/v1/users").bearer(&admin.access),
        ];
        for request in requests {
            let answer = request.json(&body).send().await;
            answer.expect_problem(400, "validation_failed");
        }
    }
    // These are the same name.
    for name in ["ROOT", "\u{ff52}oot", "\u{ff32}OOT"] {
        let body = json!({ "username": name, "password": "quite a long password" });
        let answer = server.http.post("/v1/register").json(&body).send().await;
        answer.expect_problem(409, "conflict");
    }
}

async fn the_well_known_address_leads_to_the_change_of_a_password(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let http = Http::without_redirects(server.http.base());

    let answer = http.get("/.well-known/change-password").send().await;

    assert_eq!(answer.expect(302).header("location"), "/account");
    let absent = "/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200";
    http.get(absent).send().await.expect(404);
}

async fn open_registration_creates_accounts(backend: Backend) {
    let server = InProcessServer::start(&backend.with("LATCHET_REGISTRATION", "open")).await;

    let body = json!({"username": "alice", "password": "quite a long password"});
    server
        .http
        .post("/v1/register")
        .json(&body)
        .send()
        .await
        .expect(201);

    let alice = Person {
        http: server.http.clone(),
        name: "alice".to_owned(),
        password: "quite a long password".to_owned(),
    };
    let session = alice.login().await;
    assert!(
        claims(&session.access)["roles"]
            .as_array()
            .is_none_or(Vec::is_empty)
    );
    server.pass(Duration::from_secs(1));
    session.check().await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_rehashed_at_login_after_the_cost_was_raised() {
    let backend = Backend::postgres_alone();
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let hash = || {
        let select = "SELECT password_hash FROM users WHERE username = 'alice'";
        Postgres::shared().sql(&backend.database(), select)
    };
    assert!(
        hash().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{}",
        hash()
    );
    server.stop().await;

    let server = InProcessServer::start(&backend.clone().with("LATCHET_ARGON2_PASSES", "3")).await;
    alice.at(&server.http).login().await;

    assert!(
        hash().starts_with("$argon2id$v=19$m=19456,t=3,p=1$"),
        "{}",
        hash()
    );
    alice.at(&server.http).login().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_link_for_the_first_administrator_works_for_half_an_hour() {
    let backend = Backend::sqlite().without("LATCHET_BOOTSTRAP_ADMIN");
    let server =
        InProcessServer::start(&backend.without("LATCHET_BOOTSTRAP_ADMIN_PASSWORD_FILE")).await;
    let (late, timely) = (server.setup_link().await, server.setup_link().await);
    let set_up = async |link: &str, name: &str| {
        let body = json!({"link": link, "username": name, "password": ADMIN.password});
        server.http.post("/v1/setup").json(&body).send().await
    };

    set_up("not-a-link", "mallory")
        .await
        .expect_problem(404, "not_found");
    server.pass(Duration::from_mins(29));
    set_up(&timely, ADMIN.name).await.expect(201);
    set_up(&late, "mallory")
        .await
        .expect_problem(404, "not_found");

    let admin = server.http.admin().login().await;
    server
        .http
        .get("/v1/users")
        .bearer(&admin.access)
        .send()
        .await
        .expect(200);
}
