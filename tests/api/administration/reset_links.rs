//! Links that set a new password once.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{Person, Session};
use crate::support::http::{Http, HttpResponse};
use crate::support::local::InProcessServer;
use crate::support::{Backend, on_both};

on_both! {
    a_link_sets_a_new_password_once_and_ends_every_session,
    a_reset_link_names_its_account_until_it_is_used,
    a_new_reset_link_replaces_the_older_one,
    a_link_works_for_a_day,
    invalid_reset_links_get_the_same_response,
    a_weak_password_leaves_the_link_open,
    a_changed_password_ends_the_reset_link,
    a_disabled_account_gets_no_link_and_loses_the_one_it_has,
    a_reset_link_ends_when_its_creator_loses_authority,
    a_reset_link_stays_valid_while_its_creator_is_an_administrator,
    open_links_are_listed_page_by_page,
    a_link_that_is_withdrawn_does_not_work,
}

const NEW: &str = "another long password of alice";

async fn ask_for_link(admin: &Session, user: &str) -> HttpResponse {
    let path = format!("/v1/users/{user}/reset-link");
    admin.http.post(&path).bearer(&admin.access).send().await
}

/// Returns the secret of a new link.
async fn link(admin: &Session, user: &str) -> String {
    let link = ask_for_link(admin, user).await.expect(201).field("link");
    let (page, secret) = link.split_once('#').expect("a secret follows `#`");
    assert_eq!(page, format!("{}/reset", admin.http.base()));
    secret.to_owned()
}

async fn reset(http: &Http, link: &str, password: &str) -> HttpResponse {
    let body = json!({"link": link, "password": password});
    http.post("/v1/password/reset").json(&body).send().await
}

async fn a_link_sets_a_new_password_once_and_ends_every_session(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let session = alice.login().await;
    let admin = server.http.admin().login().await;
    let link = link(&admin, &session.user_id()).await;
    session.check().await.expect(200);

    reset(&server.http, &link, NEW).await.expect(204);

    session.check().await.expect_problem(401, "token_outdated");
    session
        .refresh()
        .await
        .expect_problem(401, "session_revoked");
    alice
        .try_login(&alice.password)
        .await
        .expect_problem(401, "invalid_credentials");
    alice.try_login(NEW).await.expect(200);
    reset(&server.http, &link, "a password of somebody else")
        .await
        .expect_problem(404, "not_found");
    alice.try_login(NEW).await.expect(200);
}

/// Password managers keep a password under the name beside it.
async fn a_reset_link_names_its_account_until_it_is_used(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("Alice").await.login().await.user_id();
    let admin = server.http.admin().login().await;
    let link = link(&admin, &alice).await;
    let user = async |link: &str| {
        let request = server.http.post("/v1/password/reset/user");
        request.json(&json!({ "link": link })).send().await
    };

    for _ in 0..2 {
        let answer = user(&link).await.expect(200);
        assert_eq!(answer.json(), json!({ "username": "Alice" }));
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    user("a-link-that-nobody-made-at-all")
        .await
        .expect_problem(404, "not_found");
    reset(&server.http, &link, NEW).await.expect(204);
    user(&link).await.expect_problem(404, "not_found");
}

async fn a_new_reset_link_replaces_the_older_one(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let (alice, bob) = (
        server.http.person("alice").await.login().await,
        server.http.person("bob").await.login().await,
    );
    let admin = server.http.admin().login().await;
    let older = link(&admin, &alice.user_id()).await;
    let newer = link(&admin, &alice.user_id()).await;
    let of_bob = link(&admin, &bob.user_id()).await;

    reset(&server.http, &older, NEW)
        .await
        .expect_problem(404, "not_found");

    reset(&server.http, &newer, NEW).await.expect(204);
    reset(&server.http, &of_bob, NEW).await.expect(204);
}

async fn a_link_works_for_a_day(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await.login().await.user_id();
    let bob = server.http.person("bob").await.login().await.user_id();
    let admin = server.http.admin().login().await;
    let (timely, late) = (link(&admin, &alice).await, link(&admin, &bob).await);

    server.pass(Duration::from_hours(24) - Duration::from_mins(1));
    reset(&server.http, &timely, NEW).await.expect(204);

    server.pass(Duration::from_mins(1));
    reset(&server.http, &late, NEW)
        .await
        .expect_problem(404, "not_found");
}

async fn invalid_reset_links_get_the_same_response(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await.login().await.user_id();
    let bob = server.http.person("bob").await.login().await.user_id();
    let admin = server.http.admin().login().await;
    let expired = link(&admin, &bob).await;
    server.pass(Duration::from_hours(24));
    let admin = server.http.admin().login().await;
    let used = link(&admin, &alice).await;
    reset(&server.http, &used, NEW).await.expect(204);

    let mut bodies = Vec::new();
    // A client without a link does not learn whether a password is weak.
    for (link, password) in [
        ("unknown", NEW),
        (&used, NEW),
        (&expired, NEW),
        (&used, "x"),
    ] {
        let answer = reset(&server.http, link, password).await;
        let mut body = answer.expect_problem(404, "not_found").json();
        body["request_id"].take();
        bodies.push(body);
    }

    assert!(bodies.iter().all(|body| body == &bodies[0]), "{bodies:?}");
}

async fn a_weak_password_leaves_the_link_open(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await.login().await.user_id();
    let admin = server.http.admin().login().await;
    let link = link(&admin, &alice).await;

    reset(&server.http, &link, "short")
        .await
        .expect_problem(400, "weak_password");

    reset(&server.http, &link, NEW).await.expect(204);
}

async fn a_changed_password_ends_the_reset_link(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let session = alice.login().await;
    let admin = server.http.admin().login().await;
    let link = link(&admin, &session.user_id()).await;
    let body = json!({"current_password": alice.password, "new_password": NEW});
    session
        .http
        .post("/v1/me/password")
        .bearer(&session.access)
        .json(&body)
        .send()
        .await
        .expect(200);

    let answer = reset(&server.http, &link, "a password of somebody else").await;

    answer.expect_problem(404, "not_found");
}

async fn a_disabled_account_gets_no_link_and_loses_the_one_it_has(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice: Person = server.http.person("alice").await;
    let id = alice.login().await.user_id();
    let admin = server.http.admin().login().await;
    let link = link(&admin, &id).await;
    let change = async |what: &str| {
        let path = format!("/v1/users/{id}/{what}");
        let request = admin.http.post(&path).bearer(&admin.access);
        request.send().await.expect(200)
    };
    change("disable").await;

    ask_for_link(&admin, &id)
        .await
        .expect_problem(409, "conflict");
    ask_for_link(&admin, "c2Vzc2lvbi1vZi1hZGEtMQ")
        .await
        .expect_problem(404, "not_found");

    change("enable").await;
    reset(&server.http, &link, NEW)
        .await
        .expect_problem(404, "not_found");
    alice.login().await;
}

async fn change(by: &Session, method: &str, path: &str, body: &Value) {
    let request = by.http.request(method, path).bearer(&by.access);
    let answer = request.json(body).send().await;
    assert!(answer.status < 300, "{method} {path}: {}", answer.text);
}

async fn a_reset_link_ends_when_its_creator_loses_authority(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await.login().await.user_id();
    let root = server.http.admin().login().await;

    for way in ["disabled", "demoted", "password", "reset", "everywhere"] {
        let maker = server.http.administrator(&format!("maker-{way}")).await;
        let making = maker.login().await;
        let of_maker = format!("/v1/users/{}", making.user_id());
        let made = link(&making, &alice).await;
        match way {
            "disabled" => change(&root, "POST", &format!("{of_maker}/disable"), &json!({})).await,
            "demoted" => {
                let roles = json!({"roles": ["editor"]});
                change(&root, "PUT", &format!("{of_maker}/roles"), &roles).await;
            }
            "password" => {
                let passwords = json!({"current_password": maker.password, "new_password": NEW});
                change(&making, "POST", "/v1/me/password", &passwords).await;
            }
            "reset" => {
                let of_maker = link(&root, &making.user_id()).await;
                reset(&server.http, &of_maker, NEW).await.expect(204);
            }
            _ => change(&making, "POST", "/v1/logout/all", &json!({})).await,
        }

        let answer = reset(&server.http, &made, NEW).await;

        assert_eq!(
            (answer.status, answer.code().as_str()),
            (404, "not_found"),
            "{way}"
        );
        // Nor does it come back.
        change(&root, "POST", &format!("{of_maker}/enable"), &json!({})).await;
        let admin = json!({"roles": ["admin"]});
        change(&root, "PUT", &format!("{of_maker}/roles"), &admin).await;
        let answer = reset(&server.http, &made, NEW).await;
        answer.expect_problem(404, "not_found");
    }
}

async fn a_reset_link_stays_valid_while_its_creator_is_an_administrator(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await.login().await.user_id();
    let maker = server.http.administrator("maker").await;
    let making = maker.login().await;
    let made = link(&making, &alice).await;
    making.logout().await.expect(204);
    maker.login().await.rotate().await;

    reset(&server.http, &made, NEW).await.expect(204);
}

async fn list(by: &Session, query: &str) -> Value {
    let path = format!("/v1/reset-links{query}");
    let answer = by.http.get(&path).bearer(&by.access).send().await;
    answer.expect(200).json()
}

async fn open_links_are_listed_page_by_page(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let admin = server.http.admin().login().await;
    let other = server.http.administrator("other").await.login().await;
    assert_eq!(list(&admin, "").await["items"], json!([]));
    let mut links = Vec::new();
    for (name, maker) in [("bob", &admin), ("alice", &other), ("carol", &admin)] {
        let user = server.http.person(name).await.login().await.user_id();
        links.push(link(maker, &user).await);
    }

    let first = list(&admin, "?limit=2").await;
    let second = list(&admin, "?limit=2&after=bob").await;

    let shown = |page: &Value| -> Vec<(Value, Value)> {
        let items = page["items"].as_array().expect("a list").iter();
        let shown = items.map(|item| (item["username"].clone(), item["by"].clone()));
        shown.collect()
    };
    let pair = |user: &str, by: &str| (json!(user), json!(by));
    let root = server.http.admin().name;
    assert_eq!(shown(&first), [pair("alice", "other"), pair("bob", &root)]);
    assert_eq!(first["next"], "bob");
    assert_eq!(shown(&second), [pair("carol", &root)]);
    assert_eq!(second.get("next"), None);
    let text = format!("{first}{second}");
    assert!(links.iter().all(|secret| !text.contains(secret)), "{text}");
    assert!(first["items"][0]["made_at"].as_str() < first["items"][0]["expires_at"].as_str());

    reset(&server.http, &links[0], NEW).await.expect(204);
    assert_eq!(shown(&list(&admin, "").await).len(), 2);
    server.pass(Duration::from_hours(24));
    let admin = server.http.admin().login().await;
    assert_eq!(list(&admin, "").await["items"], json!([]));
}

async fn a_link_that_is_withdrawn_does_not_work(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await.login().await.user_id();
    let admin = server.http.admin().login().await;
    let made = link(&admin, &alice).await;
    let withdraw = async || {
        let path = format!("/v1/users/{alice}/reset-link");
        admin.http.delete(&path).bearer(&admin.access).send().await
    };

    withdraw().await.expect(204);

    let answer = reset(&server.http, &made, NEW).await;
    answer.expect_problem(404, "not_found");
    withdraw().await.expect_problem(404, "not_found");
    assert_eq!(list(&admin, "").await["items"], json!([]));
    let events = admin.http.get("/v1/events?limit=1").bearer(&admin.access);
    let event = events.send().await.expect(200).json()["items"][0].clone();
    assert_eq!(event["kind"], "reset_link_withdrawn");
    assert_eq!(
        (&event["username"], &event["by"]),
        (&json!("alice"), &json!(server.http.admin().name))
    );
}
